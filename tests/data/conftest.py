from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import SilentProgress
from modelwright.data.annotate import annotate
from modelwright.data.collect import collect
from modelwright.data.corpus import CorpusWriter, Document, new_document
from modelwright.data.prepare import prepare
from modelwright.data.settings import AnnotateSettings, CollectSettings, PrepareSettings


class Notes(SilentProgress):
    """Remembers the lines that it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


ALONE = AnnotateSettings(workers=1)
Run = Callable[..., tuple[Outcome, Path]]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def run(tmp_path: Path, notes: Notes) -> Run:
    """Run a stage with settings and inputs in a fresh folder: ``(outcome, folder)``."""
    number = 0

    def run_stage(stage: Any, settings: Any, **inputs: Artifact) -> tuple[Outcome, Path]:
        nonlocal number
        number += 1
        folder = tmp_path / f"out{number}"
        folder.mkdir()
        return stage(Job(settings=settings, inputs=inputs, folder=folder, progress=notes)), folder

    return run_stage


@pytest.fixture
def run_prepare(run: Run) -> Run:
    """Run the annotate stage and then the prepare stage on a corpus."""

    def prepare_corpus(
        settings: PrepareSettings,
        corpus: Artifact,
        annotation: AnnotateSettings = ALONE,
    ) -> tuple[Outcome, Path]:
        _, folder = run(annotate, annotation, corpus=corpus)
        return run(prepare, settings, corpus=open_artifact(folder, "corpus"))

    return prepare_corpus


@pytest.fixture
def run_collect(run: Run) -> Run:
    """Run the collect stage on one file or folder."""

    def collect_path(path: Path, **source: str) -> tuple[Outcome, Path]:
        return run(collect, CollectSettings(sources=[{"path": str(path), **source}]))

    return collect_path


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Artifact]:
    """Make a corpus artifact of texts or documents."""
    number = 0

    def make(*texts: str | Document) -> Artifact:
        nonlocal number
        number += 1
        folder = tmp_path / f"corpus{number}"
        folder.mkdir()
        with CorpusWriter(folder) as writer:
            for place, text in enumerate(texts):
                if isinstance(text, str):
                    text = new_document(
                        text, source="test", url=f"{place}", title="", licence="CC0-1.0"
                    )
                writer.write(text)
        return open_artifact(folder, "corpus")

    return make
