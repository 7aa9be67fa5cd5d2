"""What a GGUF file says of a tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from exported_models import SPLITTERS, MakeModel
from hypothesis import given
from hypothesis import strategies as st
from public_models import LLAMA, QWEN3, SMOL, write_public_tokenizer

from modelwright.core.conversation import ROLES
from modelwright.core.errors import InputError
from modelwright.export.gguf_tokenizer import (
    CONTROL,
    NORMAL,
    UNUSED,
    USER_DEFINED,
    plain_jinja,
    read_vocabulary,
)
from modelwright.tokens.chat_template import CHAT_TEMPLATE
from modelwright.tokens.jinja_template import render
from modelwright.tokens.tokenizer import Tokenizer

TEXTS = ["Some text, 12 times over; it's said again and again."] * 20


@pytest.mark.parametrize("family", SPLITTERS)
def test_each_of_our_regular_expressions_has_its_name(make_model: MakeModel, family: str) -> None:
    folder = make_model(family)
    assert read_vocabulary(folder, Tokenizer.load(folder), 512).splitter == SPLITTERS[family]


def test_every_row_has_a_token_of_its_kind(make_model: MakeModel) -> None:
    folder = make_model("qwen3")
    tokenizer = Tokenizer.load(folder)
    found = read_vocabulary(folder, tokenizer, 512)
    assert len(found.tokens) == len(set(found.tokens)) == len(found.kinds) == 512
    for id, (token, kind) in enumerate(zip(found.tokens, found.kinds, strict=True)):
        if token in tokenizer.special_tokens:
            assert (kind, tokenizer.special_tokens[token]) == (CONTROL, id)
        else:
            assert kind == (NORMAL if id < tokenizer.vocabulary_size else UNUSED)
    assert found.end == tokenizer.message_end
    assert found.pad == found.begin == tokenizer.end_of_text
    assert found.adds_begin is False


def test_visible_tokens_are_matched_in_any_text(make_model: MakeModel, tmp_path: Path) -> None:
    shutil.copytree(make_model("qwen3"), tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 500, "content": "<think>"})
    content["added_tokens"][-1]["special"] = False
    path.write_text(json.dumps(content))
    found = read_vocabulary(path.parent, Tokenizer.load(path.parent), 512)
    assert (found.tokens[500], found.kinds[500]) == ("<think>", USER_DEFINED)


def test_a_regular_expression_without_a_name_is_refused(
    make_model: MakeModel, tmp_path: Path
) -> None:
    shutil.copytree(make_model("qwen3"), tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    path.write_text(path.read_text().replace(r"\\p{N}|", r"\\p{N}{1,2}|", 1))
    with pytest.raises(InputError, match=r"llama\.cpp does not have"):
        read_vocabulary(path.parent, Tokenizer.load(path.parent), 512)


def test_damaged_merges_are_an_error_that_says_where(make_model: MakeModel, tmp_path: Path) -> None:
    shutil.copytree(make_model("qwen3"), tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    content = json.loads(path.read_text())
    for merges in (None, [5], "ab"):
        path.write_text(json.dumps(content | {"model": {**content["model"], "merges": merges}}))
        with pytest.raises(InputError, match="merges"):
            read_vocabulary(path.parent, Tokenizer.load(path.parent), 512)


@pytest.mark.parametrize(
    ("name", "splitter"), [(QWEN3, "qwen2"), (LLAMA, "llama-bpe"), (SMOL, "smollm")]
)
def test_public_tokenizers_are_known(tmp_path: Path, name: str, splitter: str) -> None:
    write_public_tokenizer(name, tmp_path, TEXTS)
    tokenizer = Tokenizer.load(tmp_path)
    assert read_vocabulary(tmp_path, tokenizer, 512).splitter == splitter


def test_what_goes_before_every_text_is_read_from_either_file(tmp_path: Path) -> None:
    write_public_tokenizer(LLAMA, tmp_path, TEXTS)
    begin = Tokenizer.load(tmp_path).special_tokens["<|begin_of_text|>"]
    path, settings = tmp_path / "tokenizer.json", tmp_path / "tokenizer_config.json"
    plain, given = path.read_text(), json.loads(settings.read_text())

    def adds_begin() -> bool:
        found = read_vocabulary(tmp_path, Tokenizer.load(tmp_path), 512)
        assert found.begin == begin
        return found.adds_begin

    assert not adds_begin()
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|begin_of_text|>"}}, {"Sequence": {"id": "A"}}],
        "special_tokens": {"<|begin_of_text|>": {"ids": [begin]}},
    }
    both = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]}
    path.write_text(json.dumps(json.loads(plain) | {"post_processor": both}))
    assert adds_begin()
    path.write_text(plain)
    settings.write_text(json.dumps(given | {"add_bos_token": True}))
    assert adds_begin()


MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": st.text(max_size=8)}),
    min_size=1,
    max_size=4,
)


@given(MESSAGES, st.booleans(), st.sampled_from(["", "-"]), st.sampled_from(["", "-"]))
def test_templates_without_tags_say_the_same(
    messages: list[dict[str, str]], asks: bool, left: str, right: str
) -> None:
    template = CHAT_TEMPLATE.replace("{% generation %}", f" \n{{%{left} generation {right}%}}\n ")
    template = template.replace("{% endgeneration %}", f"\n {{%{right}endgeneration{left}%}} \n")
    plain = plain_jinja(template)
    assert "generation %" not in plain.replace("add_generation", "")
    variables = {"messages": messages, "add_generation_prompt": asks, "tools": None}
    assert render(plain, variables) == render(template, variables)
