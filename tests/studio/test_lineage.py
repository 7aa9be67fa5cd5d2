from __future__ import annotations

from collections.abc import Iterator

from modelwright.core.artifact import Artifact
from modelwright.studio.lineage import Node, lineage


def below(node: Node) -> Iterator[Node]:
    yield node
    for parent in node.parents:
        yield from below(parent)


def test_one_tree_from_the_last_artifact_down_to_the_sources(run: list[Artifact]) -> None:
    (root,) = lineage(run)
    assert root.stage == "evaluate"
    nodes = list(below(root))
    assert {node.id for node in nodes} == {artifact.id for artifact in run}
    assert all(node.role for node in nodes[1:])


def test_every_edge_is_shown_and_parents_only_once(run: list[Artifact]) -> None:
    (root,) = lineage(run)
    nodes = list(below(root))
    edges = {(node.id, parent.id) for node in nodes for parent in node.parents}
    assert edges == {
        (artifact.id, parent.id) for artifact in run for parent in artifact.manifest.parents
    }
    with_parents = [node.id for node in nodes if node.parents]
    assert len(with_parents) == len(set(with_parents))
    assert any(node.is_repeated for node in nodes)


def test_an_unknown_parent_is_shown_by_what_its_child_knows(run: list[Artifact]) -> None:
    prepare = run[1]
    (root,) = lineage([prepare])
    (parent,) = root.parents
    assert (parent.id, parent.stage, parent.role) == (run[0].id, "", "corpus")
    assert parent.digest == run[0].manifest.digest


def test_what_nothing_was_made_from_stands_alone(run: list[Artifact]) -> None:
    assert [root.stage for root in lineage([run[0], run[2]])] == ["examples", "collect"]
