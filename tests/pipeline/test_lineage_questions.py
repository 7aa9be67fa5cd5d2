import pytest

from modelwright.core.artifact import Artifact
from modelwright.core.workspace import Workspace
from modelwright.data.corpus import Document, read_documents
from modelwright.pipeline.lineage import (
    ancestors,
    descendants,
    origins,
    training_documents,
    training_examples,
    unknown_parents,
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
        "annotate",
        "collect",
    }
    assert ancestors(by_stage["collect"], artifacts) == []
    assert stages(ancestors(by_stage["prepare"], artifacts)) == ["annotate", "collect"]


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
    assert {origin.what for origin in found} == {"documents"}
    assert sum(origin.number for origin in found) == len(learnt)
    assert sum(origin.characters for origin in found) == sum(len(one.text) for one in learnt)
    assert {(origin.source, origin.licence) for origin in found} == {
        ("files:text", "MIT"),
        ("files:text", "LicenseRef-unknown"),
    }
    assert [origin.characters for origin in found] == sorted(
        (origin.characters for origin in found), reverse=True
    )


def test_examples_are_origins_of_a_fine_tuned_model_only(
    artifacts: list[Artifact], by_stage: dict[str, Artifact]
) -> None:
    found = [one for one in origins(by_stage["finetune"], artifacts) if one.what == "examples"]
    rows = by_stage["examples"].file("train.jsonl").read_text().splitlines()
    (origin,) = found
    assert (origin.source, origin.licence) == ("files:examples.jsonl", "CC0-1.0")
    assert (
        origin.number == len(rows) == len(list(training_examples(by_stage["finetune"], artifacts)))
    )
    assert origin.characters > 0
    # The dial looks at the examples too, and nobody learns from that.
    assert list(training_examples(by_stage["pretrain"], artifacts)) == []


def test_what_is_not_here_is_of_unknown_origin(
    artifacts: list[Artifact], by_stage: dict[str, Artifact]
) -> None:
    model, base = by_stage["finetune"], by_stage["pretrain"]
    assert unknown_parents(model, artifacts) == []
    rest = [artifact for artifact in artifacts if artifact != base]
    assert [parent.id for parent in unknown_parents(model, rest)] == [base.id]
