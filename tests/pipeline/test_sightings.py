import shutil

import pytest
from tiny_workspace import make_workspace, write_sources

from modelwright.core.artifact import Artifact
from modelwright.core.progress import SilentProgress
from modelwright.core.workspace import Workspace
from modelwright.data.corpus import Document, read_documents
from modelwright.pipeline.recipe import load_recipe
from modelwright.pipeline.runner import run_recipe
from modelwright.pipeline.sightings import Fate, Sighting, find_document, find_examples


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    """Of a workspace whose sources hold a duplicate of every text, and one that is too short."""
    folder = tmp_path_factory.mktemp("sightings")
    text, examples = write_sources(folder)
    for path in list(text.iterdir()):
        shutil.copy(path, path.with_name(f"z-{path.name}"))
    (text / "short.txt").write_text("no")
    workspace = make_workspace(folder / "workspace", text, examples)
    run_recipe(load_recipe(workspace.recipe), workspace, SilentProgress())
    return workspace.artifacts()


def prepared(artifacts: list[Artifact], split: str) -> list[Document]:
    (corpus,) = [one for one in artifacts if one.manifest.stage == "prepare"]
    return [one for one in read_documents(corpus.path) if one.split == split]


def the(sightings: list[Sighting]) -> tuple[Sighting, dict[str, Fate]]:
    (sighting,) = sightings
    assert len(sighting.fates) == 2
    return sighting, {fate.model.manifest.stage: fate for fate in sighting.fates}


@pytest.mark.parametrize("field", ["id", "url"])
def test_models_learnt_what_is_in_the_training_split(artifacts, field: str) -> None:
    wanted = prepared(artifacts, "train")[0]
    sighting, fates = the(find_document(getattr(wanted, field), artifacts))
    assert sighting.document.id == wanted.id
    assert [one.manifest.stage for one in sighting.corpora] == [
        "collect",
        "annotate",
        "prepare",
    ]
    assert all(fate.is_learnt and not fate.reason for fate in fates.values())


def test_no_model_learnt_what_is_held_out(artifacts: list[Artifact]) -> None:
    wanted = prepared(artifacts, "validation")[0]
    _, fates = the(find_document(wanted.id, artifacts))
    assert {(fate.is_learnt, fate.reason) for fate in fates.values()} == {
        (False, "held out for validation")
    }


def test_no_model_learnt_what_was_dropped(artifacts: list[Artifact]) -> None:
    sighting, fates = the(find_document("short.txt", artifacts))
    assert [one.manifest.stage for one in sighting.corpora] == ["collect", "annotate"]
    for fate in fates.values():
        assert not fate.is_learnt
        assert fate.reason.startswith("dropped by prepare: shorter than")


@pytest.mark.parametrize(
    ("split", "said"),
    [("train", "whose text it learnt"), ("validation", "which is held out for validation")],
)
def test_a_duplicate_names_the_document_with_its_text(artifacts, split: str, said: str) -> None:
    for original in prepared(artifacts, split):
        (collect,) = [one for one in artifacts if one.manifest.stage == "collect"]
        (copy,) = [
            one
            for one in read_documents(collect.path)
            if one.text == original.text and one.id != original.id
        ]
        _, fates = the(find_document(copy.id, artifacts))
        for fate in fates.values():
            assert not fate.is_learnt
            assert fate.reason == f"dropped by prepare: duplicate of {original.id}, {said}"


def test_examples_are_found_by_their_source(artifacts: list[Artifact]) -> None:
    (group,) = find_examples("files:examples.jsonl", artifacts)
    assert (group.trained, group.held_out, group.licence) == (7, 2, "CC0-1.0")
    (fate,) = group.fates
    assert (fate.model.manifest.stage, fate.is_learnt) == ("finetune", True)


def test_what_is_unknown_is_nowhere(finished: Workspace) -> None:
    for name in ("nowhere.txt", ""):
        assert find_document(name, finished.artifacts()) == []
        assert find_examples(name, finished.artifacts()) == []
