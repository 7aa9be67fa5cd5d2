"""Settings of the sources of documents, one class a kind."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from modelwright.core.artifact import UNKNOWN_LICENCE
from modelwright.core.settings import Settings

PYTHON_DOCS: Final = "python-docs"

Extractor = Literal["trafilatura", "resiliparse"]
"""trafilatura finds the main text best; resiliparse is about seven times faster."""

_Extractor = Annotated[Extractor, Field(description="what takes the text out of web pages")]
AsOf = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, date) else value)
]
"""YAML reads 2026-11-21 as a date."""
_LICENCE = Field(
    UNKNOWN_LICENCE, min_length=1, description="SPDX licence of documents that state none"
)
_TEXT_FIELD = Field("text", min_length=1, description="name of the field or column with the text")


class PythonDocsSource(Settings):
    """The documentation of the Python that runs this: its standard library and language."""

    kind: Literal["python-docs"] = PYTHON_DOCS


class FilesSource(Settings):
    """Documents in a file or a folder, archives and compressed files included."""

    kind: Literal["files"] = "files"
    path: str = Field(min_length=1, description="a file or folder, relative to the recipe")
    licence: str = _LICENCE
    text_field: str = _TEXT_FIELD
    include: list[str] = Field(
        default_factory=list, description="glob patterns of names to read; by default all"
    )
    exclude: list[str] = Field(default_factory=list, description="glob patterns to leave out")
    code: bool = Field(False, description="read source code too")
    extractor: _Extractor = "trafilatura"


class WebSource(Settings):
    """Pages of the web, fetched politely from start addresses, sitemaps and feeds."""

    kind: Literal["web"] = "web"
    start: list[str] = Field(default_factory=list, description="addresses to begin with")
    sitemaps: list[str] = Field(default_factory=list, description="addresses of sitemaps")
    feeds: list[str] = Field(default_factory=list, description="addresses of RSS or Atom feeds")
    hosts: list[str] = Field(
        default_factory=list, description="hosts to stay on; by default those of the addresses"
    )
    depth: int = Field(2, ge=0, description="links to follow from a start address")
    pages: int = Field(1000, ge=1, description="most pages to fetch")
    delay: float = Field(1.0, ge=0, description="seconds between two requests to one host")
    as_of: AsOf = Field("", description="any label, as a date; change it to crawl again")
    licence: str = _LICENCE
    extractor: _Extractor = "trafilatura"


class WarcSource(Settings):
    """Pages in a WARC file or a folder of them."""

    kind: Literal["warc"] = "warc"
    path: str = Field(min_length=1, description="a file or folder, relative to the recipe")
    licence: str = _LICENCE
    extractor: _Extractor = "trafilatura"


class WikipediaSource(Settings):
    """Articles of a Wikipedia dump: ``*-pages-articles.xml.bz2``."""

    kind: Literal["wikipedia"] = "wikipedia"
    path: str = Field(min_length=1, description="the dump, relative to the recipe")
    licence: str = Field("CC-BY-SA-4.0", min_length=1, description="SPDX licence of the articles")


class GitSource(Settings):
    """Files of a git repository at one commit."""

    kind: Literal["git"] = "git"
    repository: str = Field(min_length=1, description="a folder, or the URL of a repository")
    revision: str = Field("HEAD", min_length=1, description="branch, tag or commit")
    include: list[str] = Field(
        default_factory=list, description="glob patterns of names to read; by default all text"
    )
    exclude: list[str] = Field(default_factory=list, description="glob patterns to leave out")
    licence: str = _LICENCE


class HuggingFaceSource(Settings):
    """A data set of the Hugging Face hub, or a local folder in its form."""

    kind: Literal["hugging-face"] = "hugging-face"
    dataset: str = Field(min_length=1, description="a folder, or an id on the hub")
    configuration: str | None = Field(None, description="name of the configuration")
    split: str = Field("train", min_length=1, description="name of the split")
    revision: str | None = Field(None, description="commit of the data set; pin it")
    text_field: str = _TEXT_FIELD
    maximum: int | None = Field(None, ge=1, description="most rows to read; by default all")
    licence: str = _LICENCE


BadRows = Literal["refuse", "drop"]


def _named_fields(value: Any) -> Any:
    """Accept ``["prompt=question", ...]``, as flags give it, for a mapping."""
    if not isinstance(value, list):
        return value
    pairs = [str(one).partition("=") for one in value]
    if not all(ours and theirs for ours, _, theirs in pairs):
        raise ValueError("write name=field, as prompt=question")
    return {ours: theirs for ours, _, theirs in pairs}


class JsonlExamples(Settings):
    """Rows of examples, in one of the known shapes, in a file or a folder of them."""

    kind: Literal["jsonl"] = "jsonl"
    path: str = Field(min_length=1, description="a file or folder, relative to the recipe")
    fields: Annotated[dict[str, str], BeforeValidator(_named_fields)] = Field(
        default_factory=dict,
        description="where the rows have other names: {prompt: question, completion: answer}; "
        "other fields are then not looked at",
    )
    chat: bool = Field(
        False, description="texts of prompts and answers are what user and assistant say"
    )
    licence: str = Field(
        UNKNOWN_LICENCE, min_length=1, description="SPDX licence of rows that state none"
    )


Take = Literal["pairs", "labels", "corrections"]
"""What feedback becomes: pairs of answers, labelled answers, conversations to fine-tune on."""


class FeedbackExamples(Settings):
    """What people thought of answers, as it is kept in a workspace."""

    kind: Literal["feedback"] = "feedback"
    take: Take = Field(description="what it becomes: pairs, labels, or corrections")
    threshold: float = Field(
        0.5, ge=0, le=1, description="share of its scale above which a rating is good, for labels"
    )
    workspace: str | None = Field(
        None, min_length=1, description="whose feedback; by default that of the recipe"
    )
    licence: str = Field(UNKNOWN_LICENCE, min_length=1, description="SPDX licence of all of it")


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
    Annotated[
        FilesSource
        | WebSource
        | WarcSource
        | WikipediaSource
        | GitSource
        | HuggingFaceSource
        | PythonDocsSource,
        Field(discriminator="kind"),
    ],
    _spelled_out("files"),
]
ExampleSource = Annotated[
    Annotated[JsonlExamples | FeedbackExamples | PythonDocsSource, Field(discriminator="kind")],
    _spelled_out("jsonl"),
]
