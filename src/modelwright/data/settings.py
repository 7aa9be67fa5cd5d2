"""Settings of the data stages: collect, prepare, examples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from modelwright.core.artifact import UNKNOWN_LICENCE
from modelwright.core.settings import Settings

PYTHON_DOCS: Final = "python-docs"


class PythonDocsSource(Settings):
    """The documentation of the Python that runs this: its standard library and language."""

    kind: Literal["python-docs"] = PYTHON_DOCS


class FilesSource(Settings):
    """Documents in a file or a folder: .txt, .md, .jsonl, .html."""

    kind: Literal["files"] = "files"
    path: str = Field(min_length=1, description="a file or folder, relative to the recipe")
    licence: str = Field(
        UNKNOWN_LICENCE, min_length=1, description="SPDX licence of documents that state none"
    )


class JsonlExamples(Settings):
    """Rows with ``messages`` or ``prompt``/``completion`` in a .jsonl file or a folder of them."""

    kind: Literal["jsonl"] = "jsonl"
    path: str = Field(min_length=1, description="a file or folder, relative to the recipe")
    licence: str = Field(
        UNKNOWN_LICENCE, min_length=1, description="SPDX licence of rows that state none"
    )


def _spelled_out(path_kind: str) -> BeforeValidator:
    """Accept a plain string for a source, and a mapping with a path but no kind."""

    def spell_out(value: Any) -> Any:
        if isinstance(value, str):
            value = {"kind": PYTHON_DOCS} if value == PYTHON_DOCS else {"path": value}
        if isinstance(value, dict) and "kind" not in value:
            return {"kind": path_kind, **value}
        return value

    return BeforeValidator(spell_out)


Source = Annotated[
    Annotated[FilesSource | PythonDocsSource, Field(discriminator="kind")], _spelled_out("files")
]
ExampleSource = Annotated[
    Annotated[JsonlExamples | PythonDocsSource, Field(discriminator="kind")], _spelled_out("jsonl")
]


class CollectSettings(Settings):
    """What the collect stage reads."""

    sources: list[Source] = Field(
        default_factory=list, description="files, folders, or python-docs; at least one"
    )

    @field_validator("sources")
    @classmethod
    def _at_least_one(cls, sources: list[Source]) -> list[Source]:
        if not sources:
            raise ValueError("name at least one source: a file, a folder, or 'python-docs'")
        return sources

    def relative_to(self, folder: Path) -> CollectSettings:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        sources = [
            source.model_copy(update={"path": absolute(source.path, folder)})
            if isinstance(source, FilesSource)
            else source
            for source in self.sources
        ]
        return self.model_copy(update={"sources": sources})


class PrepareSettings(Settings):
    """Which documents are kept, and how validation text is split off."""

    min_characters: int = Field(32, ge=1, description="shorter documents are dropped")
    max_characters: int = Field(64_000_000, ge=1, description="longer documents are dropped")
    max_replacement_ratio: float = Field(
        0.01, ge=0, le=1, description="largest share of characters that were broken bytes"
    )
    validation_fraction: float = Field(
        0.05, gt=0, lt=1, description="share of documents held out for validation"
    )
    seed: int = Field(0, ge=0, description="chooses which documents are held out")

    @model_validator(mode="after")
    def _lengths_in_order(self) -> PrepareSettings:
        if self.max_characters < self.min_characters:
            raise ValueError("max_characters must not be smaller than min_characters")
        return self


class ExamplesSettings(Settings):
    """Where questions and answers for fine-tuning come from; no source means no fine-tuning."""

    sources: list[ExampleSource] = Field(
        default_factory=list, description=".jsonl files, folders of them, or python-docs"
    )
    heldout_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of the rows of .jsonl files that is held out"
    )
    maximum: int | None = Field(
        None, ge=1, description="so many objects of python-docs, the most used; by default all"
    )
    seed: int = Field(0, ge=0, description="chooses which rows are held out")

    def relative_to(self, folder: Path) -> ExamplesSettings:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        sources = [
            source.model_copy(update={"path": absolute(source.path, folder)})
            if isinstance(source, JsonlExamples)
            else source
            for source in self.sources
        ]
        return self.model_copy(update={"sources": sources})


def absolute(path: str, folder: Path) -> str:
    """``path`` as an absolute path; ``~`` is the home folder, a relative path is in ``folder``."""
    return os.path.abspath(folder / Path(path).expanduser())
