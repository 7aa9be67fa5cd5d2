"""What a chat template must do to be trained with."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_templates import HEADERS, THINKING, write_foreign_tokenizer

from modelwright.tokens.chat_template import CHAT_TEMPLATE
from modelwright.tokens.template_checks import check_template
from modelwright.tokens.tokenizer import Tokenizer


def test_ours_has_nothing_wrong(tokenizer: Tokenizer) -> None:
    assert check_template(tokenizer) == []


def test_one_that_forgets_thoughts_changes_what_was_said(tmp_path: Path) -> None:
    folder = write_foreign_tokenizer(THINKING, tmp_path / "thinking")
    (finding,) = check_template(Tokenizer.load(folder))
    assert finding.property == "prefix"
    assert not finding.is_fatal
    assert "last_turn" in finding.fix


def test_one_with_headers_has_nothing_wrong(tmp_path: Path) -> None:
    folder = write_foreign_tokenizer(HEADERS, tmp_path / "headers")
    assert check_template(Tokenizer.load(folder)) == []


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        (  # the end is not learnt, as in GLM's template before TRL mended it
            "{{- '<|im_end|>' }}{% endgeneration %}",
            "{% endgeneration %}{{- '<|im_end|>' }}",
            ["stop"],
        ),
        (
            "{%- if add_generation_prompt -%}\n{{- '<|im_start|>assistant\\n' -}}",
            "{%- if add_generation_prompt -%}\n{{- '<|im_start|>assistant: ' -}}",
            ["serve"],
        ),
        ("{% generation %}", "{% generation %}{{- 'So: ' }}", []),
        ("{%- for message in messages -%}", "{{- messages|length }}{%- for message in messages -%}",
         ["serve", "prefix"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    tokenizer_folder: Path, tokenizer: Tokenizer, old: str, new: str, wrong: list[str]
) -> None:
    assert CHAT_TEMPLATE.count(old) == 1
    changed = Tokenizer.load(tokenizer_folder)
    changed.template = CHAT_TEMPLATE.replace(old, new)
    findings = check_template(changed)
    assert [finding.property for finding in findings] == wrong
    assert all(finding.is_fatal for finding in findings if finding.property != "prefix")
