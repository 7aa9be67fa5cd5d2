from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

import pytest

from modelwright.core.errors import InputError
from modelwright.data.collect import collect
from modelwright.data.corpus import read_documents
from modelwright.data.drops import Drops
from modelwright.data.settings import CollectSettings
from modelwright.data.sources.python_docs import PythonDocsReader
from modelwright.data.sources.python_source import parse_library

KNOWN = {
    "len": "function",
    "os.path.join": "function",
    "os.path.exists": "function",
    "os.getpid": "function",
    "str.join": "method",
    "json.dumps": "function",
    "json": "module",
    "collections.deque": "class",
    "math.sqrt": "function",
    "functools.partial": "class",
    "struct.pack": "function",
    "io.BytesIO": "class",
    "pathlib.Path.exists": "method",
}


@pytest.fixture(scope="module")
def reader():
    return PythonDocsReader()


@pytest.fixture(scope="module")
def entries(reader):
    return {entry.name: entry for entry in reader.entries(Drops(lambda text: None))}


@pytest.fixture(scope="module")
def descriptions(reader):
    return reader.descriptions()


def test_the_collected_documents(run):
    outcome, out = run(collect, CollectSettings(sources=["python-docs"]))
    documents = {document.title: document for document in read_documents(out)}
    for name in set(KNOWN) - {"str.join", "pathlib.Path.exists"}:
        assert documents[name].url == f"python-docs:{name}"
        assert documents[name].licence == "PSF-2.0"
        assert (
            documents[name]
            .text.partition("\n")[0]
            .removeprefix("class ")
            .removeprefix("module ")
            .startswith(name)
        )
    assert "str.join(self, iterable, /)\n\nConcatenate" in documents["str"].text
    assert "Python topic: lambda" in documents
    assert outcome.licences == ["PSF-2.0"]
    assert outcome.counts["documents"] == len(documents) > 2500
    assert outcome.counts["characters"] > 1_500_000
    assert list(outcome.dropped) == ["no docstring"]


def test_the_entries_have_kinds_and_summaries(entries):
    assert {name: entries[name].kind for name in KNOWN if name in entries} == KNOWN
    join = entries["os.path.join"]
    assert join.signature == "(a, *p)"
    assert join.summary.startswith("Join two or more pathname components, inserting '/' as needed.")
    assert list(entries) == sorted(entries)
    assert len(entries) > 4000


def test_nothing_private_and_nothing_twice(descriptions):
    names = [described.name for described in descriptions]
    names += [member.name for described in descriptions for member in described.members]
    assert len(set(names)) == len(names)
    private = {part for name in names for part in name.split(".") if part.startswith("_")}
    assert private == set()
    modules = {name.partition(".")[0] for name in names}
    assert modules.isdisjoint({"posixpath", "ntpath", "posix", "test", "idlelib", "xxlimited"})


def test_no_memory_address_anywhere(descriptions):
    for described in descriptions:
        for item in (described, *described.members):
            assert not re.search(r"0x[0-9a-f]{9,}", item.signature + item.text), item.name


def test_a_class_method_has_no_cls(entries):
    assert entries["datetime.datetime.fromtimestamp"].signature.startswith(("(t", "(..."))


def test_the_order_of_hashes_and_foreign_builtins_change_nothing(tmp_path):
    program = tmp_path / "digest.py"
    program.write_text(
        textwrap.dedent(
            """
            import builtins, hashlib, sys
            if sys.argv[1] == "1":
                builtins.display = print
                builtins.Foreign = type("Foreign", (), {"__doc__": "Not of Python itself."})
                sys.displayhook = lambda value: None
            from modelwright.data.sources.python_docs import PythonDocsReader
            print(hashlib.sha256(repr(PythonDocsReader().descriptions()).encode()).hexdigest())
            """
        )
    )
    digests = {
        subprocess.run(
            [sys.executable, program, seed],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_modules_are_parsed_and_not_run(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text('"""A package."""\nraise SystemExit')
    (tmp_path / "package" / "_private.py").write_text("def hidden(): 'Hidden.'")
    (tmp_path / "package" / "test").mkdir()
    (tmp_path / "package" / "test" / "cases.py").write_text("def case(): 'A case.'")
    (tmp_path / "broken.py").write_text("def (:")
    (tmp_path / "posixpath.py").write_text("def join(a, *p):\n  'Join paths.'")
    (tmp_path / "module.py").write_text(
        textwrap.dedent(
            """
            from _module import fast as fast, other as renamed
            try:
                import nothing
            except ImportError:
                def fallback(x: int = 3, /, *, y=None) -> str:
                    '''Fall back.'''
            def _private(): 'Private.'
            class Thing(Base):
                '''A thing.

                    Indented.
                '''
                def __init__(self, size=1): pass
                @property
                def width(self): 'The width.'
                @width.setter
                def width(self, value): pass
                @classmethod
                def make(cls, kind): 'Make one.'
                @staticmethod
                def check(kind): 'Check one.'
                async def run(self): 'Run it.'
                def silent(self): pass
            """
        )
    )
    parsed = parse_library(tmp_path)
    found = {d.name: (d.kind, d.signature, d.text) for d in parsed.descriptions}
    assert found == {
        "module": ("module", "", ""),
        "module.fallback": ("function", "(x: int=3, /, *, y=None)", "Fall back."),
        "module.Thing": ("class", "(size=1)", "A thing.\n\nIndented."),
        "package": ("module", "", "A package."),
        "os.path": ("module", "", ""),
        "os.path.join": ("function", "(a, *p)", "Join paths."),
    }
    thing = next(d for d in parsed.descriptions if d.name == "module.Thing")
    assert [(m.name, m.kind, m.signature) for m in thing.members] == [
        ("module.Thing.width", "property", ""),
        ("module.Thing.make", "method", "(kind)"),
        ("module.Thing.check", "method", "(kind)"),
        ("module.Thing.run", "method", "(self)"),
    ]
    assert parsed.reexports == {"_module": {"fast"}}


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_python_without_its_library_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="sources of the Python standard library are not there"):
        PythonDocsReader(tmp_path / name).descriptions()


def test_a_python_without_docstrings_is_refused(monkeypatch):
    class Silent:
        __doc__ = None

    monkeypatch.setattr("modelwright.data.sources.python_docs.len", Silent(), raising=False)
    with pytest.raises(InputError, match="without docstrings"):
        PythonDocsReader().descriptions()
