"""The gate lets right exports through and none that is wrong."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import MakeModel

from modelwright.export import gguf_layout
from modelwright.export.gate import (
    BOUNDS,
    Answer,
    Reference,
    Verdict,
    judge,
    logits_of,
    make_reference,
    make_sequences,
    table,
)
from modelwright.export.gate_strings import STRINGS, make_probes
from modelwright.export.gguf import Described, write_gguf
from modelwright.export.gguf_reader import GGUFFile
from modelwright.export.gguf_tokenizer import GGUFVocabulary, read_vocabulary
from modelwright.export.reading import read_gguf
from modelwright.models.pretrained import load_model, model_tensors
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer

pytest.importorskip("gguf")

KINDS = {"Lu", "Ll", "Lo", "Nd", "Nl", "No", "Mn", "Zs", "Cc"}
"""Categories of characters that have to come up."""


def reference_of(model: CausalLM, tokenizer: Tokenizer) -> Reference:
    return make_reference(model, tokenizer, begin=None, texts=130)


def verdict_on(reference: Reference, answer: Answer, type: str = "f32") -> Verdict:
    return judge(reference, answer, reference.logits, file="x", type=type, size=1)


@pytest.fixture(scope="module")
def reference(make_model: MakeModel) -> Reference:
    folder = make_model("qwen3")
    return reference_of(load_model(folder), Tokenizer.load(folder))


def test_the_texts_are_always_the_same_and_of_every_kind(make_model: MakeModel) -> None:
    tokenizer = Tokenizer.load(make_model("qwen3"))
    probes = make_probes(tokenizer)
    assert probes == make_probes(tokenizer)
    assert len(probes) == STRINGS
    assert len({probe.text for probe in probes}) > 0.98 * STRINGS
    assert {probe.how for probe in probes} == {"plain", "special", "start"}
    whole = "".join(probe.text for probe in probes)
    assert {unicodedata.category(one) for one in whole} >= KINDS
    assert all(name in whole for name in tokenizer.special_tokens)
    used = {id for probe in probes for id in tokenizer.encode_special(probe.text)}
    assert len(used) > 0.93 * tokenizer.vocabulary_size


def test_texts_can_be_had_in_form_nfc(make_model: MakeModel) -> None:
    probes = make_probes(Tokenizer.load(make_model("qwen3")), 500, normalised=True)
    assert all(unicodedata.is_normalized("NFC", probe.text) for probe in probes)


def test_sequences_fit_the_context_and_hold_all_kinds_of_tokens(make_model: MakeModel) -> None:
    folder = make_model("qwen3")
    sequences = make_sequences(load_model(folder), Tokenizer.load(folder))
    assert {len(one) for one in sequences} == {64}
    assert len({tuple(one) for one in sequences}) == len(sequences)


def test_what_says_the_same_passes(reference: Reference) -> None:
    verdict = verdict_on(reference, Answer(reference.ids, reference.logits.copy(), "itself"))
    assert verdict.problems == []
    assert (verdict.wrong_texts, verdict.wrong_chats, verdict.same_best_token) == (0, 0, 1.0)
    assert verdict.chats == 10
    assert "0 of 130" in table([verdict])[1]


def test_one_wrong_token_is_found(reference: Reference) -> None:
    for place, said in (
        (7, "1 of 130 texts and 0 of 10 chats"),
        (-1, "0 of 130 texts and 1 of 10"),
    ):
        ids = [list(one) for one in reference.ids]
        ids[place][-1] += 1
        verdict = verdict_on(reference, Answer(ids, reference.logits, "other"))
        assert said in verdict.problems[0]
        assert f"from token {len(ids[place]) - 1} on" in verdict.problems[1]


def test_a_missing_token_is_shown(reference: Reference) -> None:
    ids = [reference.ids[0][:-1], *reference.ids[1:]]
    verdict = verdict_on(reference, Answer(ids, reference.logits, "other"))
    assert f"goes on with [] there and [{reference.ids[0][-1]}] here" in verdict.problems[1]


def test_one_wrong_logit_is_found(reference: Reference) -> None:
    for wrong in (0.01, float("nan")):
        logits = reference.logits.copy()
        logits[5, 7] += wrong
        verdict = verdict_on(reference, Answer(reference.ids, logits, "other"))
        assert "from the same weights" in verdict.problems[0]


def test_divergence_is_that_of_torch(reference: Reference) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, reference.logits.shape)
    logits = reference.logits + noise.astype(np.float32)
    verdict = verdict_on(reference, Answer(reference.ids, logits, "other"), "q4_0")
    expected = torch.nn.functional.kl_div(
        torch.from_numpy(logits).double().log_softmax(-1),
        torch.from_numpy(reference.logits).double().log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )
    assert verdict.mean_divergence == pytest.approx(float(expected), rel=1e-6)
    same = np.mean(logits.argmax(-1) == reference.logits.argmax(-1))
    assert verdict.same_best_token == pytest.approx(same)


def test_coarser_types_may_differ_more() -> None:
    divergences = [one.divergence for one in BOUNDS.values()]
    assert divergences == sorted(divergences)


def written(model: CausalLM, vocabulary: GGUFVocabulary, path: Path, type: str = "f32") -> Path:
    write_gguf(model.config, model_tensors(model), vocabulary, type, path, Described("x", []))
    return path


def vocabulary_of(folder: Path, model: CausalLM) -> GGUFVocabulary:
    return read_vocabulary(folder, Tokenizer.load(folder), model.config.vocab_size)


@pytest.mark.parametrize("type", ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])
@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_every_type_of_every_family_passes(
    make_model: MakeModel, tmp_path: Path, family: str, type: str
) -> None:
    folder = make_model(family)
    model = load_model(folder)
    reference = reference_of(model, Tokenizer.load(folder))
    path = written(model, vocabulary_of(folder, model), tmp_path / "model.gguf", type)
    stored = logits_of(GGUFFile(path).model(model.config), reference.sequences)
    answer = read_gguf(path, reference)
    verdict = judge(reference, answer, stored, file="x", type=type, size=path.stat().st_size)
    assert verdict.problems == []
    assert (verdict.mean_divergence == 0) == (type == "f32")


def test_rows_in_the_wrong_order_do_not_pass(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a Llama whose queries and keys were left as they are."""
    folder = make_model("llama")
    model = load_model(folder)
    reference = reference_of(model, Tokenizer.load(folder))
    with monkeypatch.context() as patch:
        patch.setattr(gguf_layout, "interleaved", lambda tensor, heads: tensor)
        path = written(model, vocabulary_of(folder, model), tmp_path / "model.gguf", "q4_0")
    verdict = verdict_on(reference, read_gguf(path, reference), "q4_0")
    assert "from the same weights" in verdict.problems[0]


@pytest.mark.parametrize(
    "changes",
    [{"splitter": "gpt-2"}, {"kinds": "ordinary"}, {"merges": "one fewer"}, {"template": "{{1}}"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_wrong_tokenizer_does_not_pass(
    make_model: MakeModel, tmp_path: Path, changes: dict[str, str]
) -> None:
    folder = make_model("qwen3")
    model = load_model(folder)
    right = vocabulary_of(folder, model)
    made = {
        "kinds": [1] * len(right.kinds),
        "merges": right.merges[1:],
    }
    wrong = replace(right, **{name: made.get(name, value) for name, value in changes.items()})
    reference = reference_of(model, Tokenizer.load(folder))
    path = written(model, wrong, tmp_path / "model.gguf")
    verdict = verdict_on(reference, read_gguf(path, reference))
    assert verdict.wrong_texts + verdict.wrong_chats > 0
    assert "other token ids" in verdict.problems[0]
