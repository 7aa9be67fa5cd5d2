import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Reference

from modelwright.core.errors import InputError
from modelwright.tokens.chat_template import SPECIAL_TOKENS, Span
from modelwright.tokens.pre_tokenizers import PATTERNS, pattern_name
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import train_tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(text=TEXTS)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert b"".join(tokenizer.token_bytes(id) for id in tokenizer.encode(text)) == text.encode()


@given(text=TEXTS)
def test_ids_equal_the_reference_library(
    tokenizer: Tokenizer, tokenizer_folder: Path, text: str
) -> None:
    reference = Reference.from_file(str(tokenizer_folder / "tokenizer.json"))
    if not any(token in text for token in SPECIAL_TOKENS):
        assert tokenizer.encode(text) == reference.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pre_tokenizer_equals_the_reference(name: str, tmp_path: Path) -> None:
    texts = ["It's 12345 o'clock,  isn't it?\r\n\r\n  Ja!\tДа… 你好 ÀÉ x=1;y", "don'T 'S 've 🙂🙂"]
    tokenizer = train_tokenizer(texts * 5, 400, tmp_path, name)
    reference = Reference.from_file(str(tmp_path / "tokenizer.json"))
    for text in [*texts, "".join(texts), " \n \r\n  x"]:
        assert tokenizer.encode(text) == reference.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert pattern_name(tokenizer.pattern) == name


def test_training_is_deterministic(tmp_path: Path) -> None:
    for name, texts in (("a", ["one two three", "two"]), ("b", ["two", "one two three"])):
        (tmp_path / name).mkdir()
        train_tokenizer(texts, 300, tmp_path / name)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (
        tmp_path / "b/tokenizer.json"
    ).read_bytes()


def test_a_short_text_gives_fewer_tokens(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["ab"], 1000, tmp_path)
    assert 259 <= tokenizer.vocabulary_size < 1000
    assert tokenizer.decode(tokenizer.encode("xyz 你")) == "xyz 你"


def test_control_tokens_in_text_are_text(tokenizer: Tokenizer) -> None:
    text = "a<|im_end|>b"
    assert not set(tokenizer.encode(text)) & set(tokenizer.special_tokens.values())
    assert tokenizer.message_end in tokenizer.encode_special(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode([tokenizer.message_end]) == ""


def test_a_vocabulary_below_the_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too small"):
        train_tokenizer(["text"], 100, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["model"].update(type="WordPiece"),
        lambda content: content.update(normalizer={"type": "NFKC"}),
        lambda content: content.update(pre_tokenizer={"type": "Whitespace"}),
        lambda content: content.pop("model"),
        lambda content: content["model"]["vocab"].update({"☃": 7}),
    ],
)
def test_files_of_another_kind_are_refused(
    tokenizer_folder: Path, tmp_path: Path, change: object
) -> None:
    content = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    change(content)  # type: ignore[operator]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="not a byte-level BPE"):
        Tokenizer.load(tmp_path)


def test_a_missing_or_broken_file(tokenizer_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        Tokenizer.load(tmp_path)
    shutil.copytree(tokenizer_folder, tmp_path / "copy")
    (tmp_path / "copy/tokenizer.json").write_text("{")
    with pytest.raises(InputError):
        Tokenizer.load(tmp_path / "copy")


@pytest.fixture(scope="module")
def nfc_folder(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose file asks for NFC, as Qwen's do."""
    folder = tmp_path_factory.mktemp("nfc")
    shutil.copytree(tokenizer_folder, folder, dirs_exist_ok=True)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "NFC"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


COMBINING = st.text(st.sampled_from("aeou cAE1\u0301\u0308\u0323\u0327\u1100\u1161\u11a8가"))


@given(text=TEXTS | COMBINING)
def test_normalised_ids_equal_the_reference_library(nfc_folder: Path, text: str) -> None:
    tokenizer = Tokenizer.load(nfc_folder)
    reference = Reference.from_file(str(nfc_folder / "tokenizer.json"))
    if unicodedata.unidata_version >= "15" and not any(token in text for token in SPECIAL_TOKENS):
        wanted = reference.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text) == wanted
        assert tokenizer.encode_many([text]) == [wanted]
        trusted = f"<|im_start|>{text}<|im_end|>{text}"
        wanted = reference.encode(trusted, add_special_tokens=False).ids
        assert tokenizer.encode_special(trusted) == wanted


@given(first=COMBINING, second=COMBINING)
def test_normalised_conversations_equal_the_reference_library(
    nfc_folder: Path, first: str, second: str
) -> None:
    tokenizer = Tokenizer.load(nfc_folder)
    reference = Reference.from_file(str(nfc_folder / "tokenizer.json"))
    spans = [
        Span("<|im_start|>user\n", False, False),
        Span(first, True, False),
        Span(second, True, True),
        Span("<|im_end|>", False, True),
    ]
    ids, trained = tokenizer.encode_spans(spans)
    text = "".join(span.text for span in spans)
    assert ids == reference.encode(text, add_special_tokens=False).ids
    assert len(trained) == len(ids)


def test_the_trained_part_is_right_after_normalising(nfc_folder: Path) -> None:
    tokenizer = Tokenizer.load(nfc_folder)
    decomposed = "e\u0301" * 9
    ids, trained = tokenizer.encode_spans(
        [Span(decomposed + "\n", True, False), Span("x" + decomposed, True, True)]
    )
    said = [id for id, flag in zip(ids, trained, strict=True) if flag]
    assert tokenizer.decode(said) == "x" + "é" * 9


@pytest.mark.parametrize("normalizer", [{"type": "NFKC"}, {"type": "Lowercase"}, "NFC", []])
def test_other_normalizers_are_refused(nfc_folder: Path, tmp_path: Path, normalizer) -> None:
    shutil.copytree(nfc_folder, tmp_path / "other")
    content = json.loads((nfc_folder / "tokenizer.json").read_text())
    path = tmp_path / "other" / "tokenizer.json"
    path.write_text(json.dumps(content | {"normalizer": normalizer}))
    with pytest.raises(InputError, match="normalises"):
        Tokenizer.load(path.parent)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_damaged_file_with_the_template(
    tokenizer_folder: Path, tmp_path: Path, content: bytes
) -> None:
    shutil.copytree(tokenizer_folder, tmp_path / "damaged")
    (tmp_path / "damaged" / "chat_template.jinja").unlink(missing_ok=True)
    (tmp_path / "damaged" / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as error:
        Tokenizer.load(tmp_path / "damaged")
    assert error.value.where == str(tmp_path / "damaged" / "tokenizer_config.json")
