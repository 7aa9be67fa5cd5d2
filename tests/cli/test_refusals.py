"""Misspelt keys, flags and verbs: each is refused with the right suggestion, and no traceback."""

import pytest
import yaml
from tiny_workspace import SETTINGS, contents, modelwright, write_recipe

from modelwright.core.files import write_text

BASE = {**SETTINGS, "collect": {"sources": [{"path": "text"}]}}

KEYS = [
    ("nmae", "name"),
    ("bugdet", "budget"),
    ("stroe", "store"),
    ("colect", "collect"),
    ("pretrian", "pretrain"),
    ("fine_tune", "finetune"),
    ("evalaute", "evaluate"),
    ("tokeniser", "tokenizer"),
    ("tokenizer.vocab_size", "vocabulary_size"),
    ("tokenizer.pretokenizer", "pre_tokenizer"),
    ("prepare.min_chars", "min_characters"),
    ("prepare.validation_fractoin", "validation_fraction"),
    ("shards.shard_token", "shard_tokens"),
    ("pretrain.learnign_rate", "learning_rate"),
    ("pretrain.layer", "layers"),
    ("pretrain.hiddensize", "hidden_size"),
    ("pretrain.sequence_lenght", "sequence_length"),
    ("finetune.weigth_decay", "weight_decay"),
    ("finetune.batchrows", "batch_rows"),
    ("evaluate.max_question", "max_questions"),
    ("examples.heldout", "heldout_fraction"),
    ("collect.sources.0.licens", "licence"),
    ("collect.sources.0.Path", "path"),
]

FLAGS = [
    (("rum",), "run"),
    (("Serve",), "serve"),
    (("fine-tune",), "finetune"),
    (("tokeniser",), "tokenizer"),
    (("evaluat",), "evaluate"),
    (("--hepl",), "--help"),
    (("run", "--dryrun"), "--dry-run"),
    (("run", "--print-conf"), "--print-config"),
    (("run", "--budgt", "3 steps"), "--budget"),
    (("run", "--pretrain.layer", "2"), "--pretrain.layers"),
    (("run", "--pretrain.learning_rate", "1"), "--pretrain.learning-rate"),
    (("run", "--finetune.bach-rows", "2"), "--finetune.batch-rows"),
    (("run", "--until", "tokenizr"), "tokenizer"),
    (("init", "--sorce", "x"), "--source"),
    (("demo", "--noserve"), "--no-serve"),
    (("show", "--run"), "--runs"),
    (("trace", "x", "--document", "f"), "--documents"),
    (("chat", "--temprature", "1"), "--temperature"),
    (("serve", "--prot", "1"), "--port"),
    (("pretrain", "--tie-embeding"), "--tie-embeddings"),
    (("tokenizer", "--vocab-size", "512"), "--vocabulary-size"),
    (("collect", "--source", "x"), "--sources"),
    (("evaluate", "--modle", "x"), "--model"),
]


def misspelt(path: str) -> dict:
    """The recipe with one more key, at this place."""
    settings = yaml.safe_load(yaml.safe_dump(BASE))
    *parents, key = path.split(".")
    place = settings
    for parent in parents:
        place = place[int(parent)] if parent.isdigit() else place.setdefault(parent, {})
    place[key] = "x"
    return settings


@pytest.mark.parametrize(("wrong", "right"), KEYS)
def test_a_misspelt_key_is_refused_with_the_right_one(command, tmp_path, wrong, right) -> None:
    workspace = write_recipe(tmp_path, misspelt(wrong))
    last = wrong.rpartition(".")[2]
    lines = workspace.recipe.read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.lstrip(" -").startswith(f"{last}:"))
    before = contents(tmp_path)
    result = command("run", cwd=tmp_path)
    assert result.exit_code == 2
    assert result.output == ""
    assert f"line {line}: unknown setting '{wrong}'; did you mean '{right}'?" in result.errors
    assert str(workspace.recipe) in result.errors
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("arguments", "right"), FLAGS, ids=lambda value: str(value))
def test_a_misspelt_flag_or_verb_is_refused_with_the_right_one(
    command, tmp_path, arguments, right
) -> None:
    write_recipe(tmp_path, BASE)
    before = contents(tmp_path)
    result = command(*arguments, cwd=tmp_path)
    assert result.exit_code == 2
    assert result.output == ""
    assert f"did you mean '{right}'?" in result.errors
    assert contents(tmp_path) == before


def test_there_are_twenty_of_each() -> None:
    assert min(len(KEYS), len(FLAGS)) >= 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--pretrain.layers", "many"), "'pretrain.layers': Input should be a valid int"),
        (("run", "--pretrain.optimizer", "adam"), "'muon', 'adamw'"),
        (("run", "--budget", "soon"), "'soon' is no budget"),
        (("run", "--until", "nothing"), "one of: collect, annotate, prepare"),
        (("pretrain", "--head-dim", "65"), "'64', '128'"),
        (("pretrain", "--layers", "0"), "greater than or equal to 1"),
        (("collect",), "name at least one source"),
        (("prepare", "--out", "x"), "give --corpus FOLDER"),
        (("prepare", "--min-characters", "9", "--max-characters", "8"), "must not be smaller"),
        (("run", "extra"), "unexpected extra argument"),
        (("trace",), "Missing argument"),
        (("serve", "--port", "70000"), "0<=x<=65535"),
        (("serve", "--port", "http"), "not a valid integer"),
    ],
)
def test_wrong_use_is_told_in_words(command, tmp_path, arguments, said) -> None:
    write_recipe(tmp_path, BASE)
    result = command(*arguments, cwd=tmp_path)
    assert result.exit_code == 2
    assert said in result.errors


def test_outside_a_workspace(command, tmp_path) -> None:
    for verb in ("run", "show", "serve", "chat"):
        result = command(verb, cwd=tmp_path)
        assert result.exit_code == 2
        assert "run 'modelwright init' here first" in result.errors


def test_a_refusal_at_the_terminal_has_no_traceback(tmp_path) -> None:
    workspace = write_recipe(tmp_path, misspelt("pretrain.layer"))
    result = modelwright("run", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: line ")
    write_text(workspace.recipe, "name: [\n")
    result = modelwright("run", cwd=tmp_path)
    assert result.returncode == 2
    assert "line 2" in result.stderr
