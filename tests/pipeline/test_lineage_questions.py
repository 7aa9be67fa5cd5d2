import pytest

from modelwright.core.artifact import Artifact
from modelwright.core.workspace import Workspace
from modelwright.data.corpus import Document, read_documents
from modelwright.pipeline.lineage import (
    ancestors,
    descendants,
    find_document,
    origins,
    training_documents,
)


@pytest.fixture
def artifacts(finished: Workspace) -> list[Artifact]:
    return finished.artifacts()


@pytest.fixture
def by_stage(artifacts: list[Artifact]) -> dict[str, Artifact]:
    return {artifact.manifest.stage: artifact for artifact in artifacts}


def stages(found: list[Artifact]) -> list[str]:
    return [artifact.manifest.stage for artifact in found]


def test_upwards_to_all_that_went_in(
    artifacts: list[Artifact], by_stage: dict[str, Artifact]
) -> None:
    assert set(stages(ancestors(by_stage["finetune"], artifacts))) == {
        "pretrain",
        "dial",
        "examples",
        "shards",
        "tokenizer",
        "prepare",
        "collect",
    }
    assert ancestors(by_stage["collect"], artifacts) == []
    assert stages(ancestors(by_stage["prepare"], artifacts)) == ["collect"]


def test_downwards_to_all_that_was_made_of_it(
    artifacts: list[Artifact], by_stage: dict[str, Artifact]
) -> None:
    assert stages(descendants(by_stage["shards"], artifacts)) == [
        "pretrain",
        "finetune",
        "evaluate",
    ]
    assert descendants(by_stage["evaluate"], artifacts) == []


def test_a_model_learnt_from_the_training_split_only(
    artifacts: list[Artifact], by_stage: dict[str, Artifact]
) -> None:
    prepared: list[Document] = list(read_documents(by_stage["prepare"].path))
    train = {document.id for document in prepared if document.split == "train"}
    learnt = {document.id for document in training_documents(by_stage["finetune"], artifacts)}
    assert learnt == train
    assert 0 < len(train) < len(prepared)


def test_sources_and_licences_of_a_model(
    artifacts: list[Artifact], by_stage: dict[str, Artifact]
) -> None:
    found = origins(by_stage["pretrain"], artifacts)
    learnt = list(training_documents(by_stage["pretrain"], artifacts))
    assert sum(origin.documents for origin in found) == len(learnt)
    assert sum(origin.characters for origin in found) == sum(len(one.text) for one in learnt)
    assert {(origin.source, origin.licence) for origin in found} == {
        ("files:text", "MIT"),
        ("files:text", "LicenseRef-unknown"),
    }
    assert [origin.characters for origin in found] == sorted(
        (origin.characters for origin in found), reverse=True
    )


@pytest.mark.parametrize("field", ["id", "sha256", "url", "title"])
def test_a_document_is_found_by_any_of_its_names(artifacts: list[Artifact], field: str) -> None:
    documents = {document.url: document for document in read_documents(artifacts[0].path)}
    wanted = documents["second.md"]
    sightings = find_document(getattr(wanted, field), artifacts)
    assert stages([sighting.corpus for sighting in sightings]) == ["collect", "prepare"]
    assert {sighting.document.id for sighting in sightings} == {wanted.id}
    for sighting in sightings:
        models = [one for one in sighting.descendants if one.kind == "model"]
        assert stages(models) == ["pretrain", "finetune"]


def test_an_unknown_document_is_nowhere(artifacts: list[Artifact]) -> None:
    assert find_document("nowhere.txt", artifacts) == []
    assert find_document("", artifacts) == []
