"""What was made from what, as a tree that starts at the last thing made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelwright.core.artifact import Artifact, Parent


@dataclass(frozen=True)
class Node:
    """One artifact in the tree.

    Attributes
    ----------
    id, kind, stage, digest : str
        Of the artifact; ``stage`` is empty if only its child knows of it.
    role : str
        What it is to the artifact above it; empty at a root.
    licences : list of str
        Of the artifact.
    parents : list of Node
        What it was made from; empty if they already stand elsewhere in the tree.
    is_repeated : bool
        Whether its parents stand elsewhere in the tree.
    """

    id: str
    kind: str
    stage: str
    digest: str
    role: str
    licences: list[str] = field(default_factory=list)
    parents: list[Node] = field(default_factory=list)
    is_repeated: bool = False


def lineage(artifacts: Sequence[Artifact]) -> list[Node]:
    """Trees of the artifacts that nothing else was made from, the last made first."""
    by_id = {artifact.id: artifact for artifact in artifacts}
    used = {parent.id for artifact in artifacts for parent in artifact.manifest.parents}
    roots = [artifact for artifact in reversed(artifacts) if artifact.id not in used]
    shown: set[str] = set()
    return [_node(_as_parent(root), by_id, shown, role="") for root in roots]


def _node(parent: Parent, by_id: Mapping[str, Artifact], shown: set[str], role: str) -> Node:
    artifact = by_id.get(parent.id)
    if artifact is None:
        return Node(parent.id, parent.kind, "", parent.digest, role)
    manifest = artifact.manifest
    is_repeated = parent.id in shown and bool(manifest.parents)
    shown.add(parent.id)
    grandparents = [] if is_repeated else manifest.parents
    return Node(
        id=manifest.id,
        kind=manifest.kind,
        stage=manifest.stage,
        digest=manifest.digest,
        role=role,
        licences=manifest.licences,
        parents=[_node(item, by_id, shown, item.role) for item in grandparents],
        is_repeated=is_repeated,
    )


def _as_parent(artifact: Artifact) -> Parent:
    manifest = artifact.manifest
    return Parent(role="", kind=manifest.kind, id=manifest.id, digest=manifest.digest)
