from __future__ import annotations

from pathlib import Path

import pytest

from modelwright.core.errors import UsageError
from modelwright.core.settings import parse_settings
from modelwright.data.settings import CollectSettings, ExamplesSettings, PrepareSettings
from modelwright.data.sources.settings import FilesSource, JsonlExamples, PythonDocsSource


def test_strings_are_short_for_sources():
    settings = CollectSettings(sources=["python-docs", "notes"])
    assert settings.sources == [PythonDocsSource(), FilesSource(path="notes")]
    assert settings.sources[1].licence == "LicenseRef-unknown"


def test_a_mapping_with_a_path_needs_no_kind():
    settings = CollectSettings(sources=[{"path": "notes", "licence": "MIT"}])
    assert settings.sources == [FilesSource(path="notes", licence="MIT")]


def test_examples_take_jsonl_or_python_docs():
    settings = ExamplesSettings(sources=["python-docs", "chats.jsonl"])
    assert settings.sources == [PythonDocsSource(), JsonlExamples(path="chats.jsonl")]
    assert ExamplesSettings(sources=[]).sources == []


def test_resolved_settings_are_read_back_as_they_were():
    settings = CollectSettings(sources=["python-docs", "notes"])
    assert CollectSettings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize("data", [{}, {"sources": []}])
def test_no_source_is_refused_with_what_to_name(data):
    with pytest.raises(UsageError, match="at least one source: a file, a folder, or 'python-docs'"):
        parse_settings(CollectSettings, data, source="recipe")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": ["x"]}, "did you mean 'sources'"),
        ({"sources": [{"path": "x", "license": "MIT"}]}, "did you mean 'licence'"),
        ({"sources": [""]}, "at least 1 character"),
        ({"sources": [3]}, "sources.0"),
        ({"sources": [{"kind": "webb"}]}, "did you mean 'web'"),
    ],
)
def test_mistakes_in_sources_are_named(data, message):
    with pytest.raises(UsageError, match=message):
        parse_settings(CollectSettings, data, source="recipe")


@pytest.mark.parametrize(
    "data",
    [
        {"validation_fraction": 0},
        {"validation_fraction": 1},
        {"min_characters": 100, "max_characters": 99},
        {"max_replacement_ratio": -0.1},
        {"seed": -1},
    ],
)
def test_prepare_refuses_what_cannot_be_meant(data):
    with pytest.raises(UsageError):
        parse_settings(PrepareSettings, data, source="recipe")


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = CollectSettings(sources=["a/../b", "~/c", "/d", "python-docs"])
    resolved = settings.relative_to(tmp_path)
    paths = [source.path for source in resolved.sources[:3]]
    assert paths == [str(tmp_path / "b"), str(tmp_path / "home" / "c"), str(Path("/d"))]
    assert resolved.sources[3] == PythonDocsSource()
    examples = ExamplesSettings(sources=["x.jsonl"]).relative_to(tmp_path)
    assert examples.sources[0].path == str(tmp_path / "x.jsonl")
