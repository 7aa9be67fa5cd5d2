from __future__ import annotations

import os
import shutil
import subprocess
from ipaddress import ip_address

import pytest

from modelwright.core.errors import InputError
from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.extract.extracted import Extracted
from modelwright.data.sandbox import Sandbox
from modelwright.data.sources import git, git_commands, git_urls
from modelwright.data.sources.git import GitReader
from modelwright.data.sources.git_commands import fetch, open_repository
from modelwright.data.sources.git_urls import is_remote, pinned_settings
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import GitSource

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

WHO = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]


def run_git(folder, *arguments, **options):
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull}
    dates = {
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
        "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z",
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *WHO, *arguments],
        env=environment | dates,
        check=True,
        capture_output=True,
        text=True,
        **options,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "project"
    (folder / "docs").mkdir(parents=True)
    run_git(folder, "init", "-q", "-b", "main")
    (folder / "README.md").write_text("# The project\n\nabout it")
    (folder / "docs" / "page.html").write_text("<title>P</title><p>Some words that are read.</p>")
    (folder / "main.py").write_text("# SPDX-License-Identifier: ISC\nprint(1)\n")
    (folder / "data.json").write_text('{"name": "x"}')
    (folder / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004")
    commit(folder)
    return folder


def commit(folder):
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "-m", "work")
    return run_git(folder, "rev-parse", "HEAD")


def read(repository, tmp_path, **settings):
    drops = Drops(lambda text: None)
    with Sandbox(1) as sandbox:
        reading = Reading(SilentProgress(), drops, sandbox, tmp_path / "kept")
        reader = GitReader(GitSource(repository=str(repository), **settings))
        return list(reader.documents(reading)), drops.counts


def test_the_files_of_a_commit_with_their_licences(repository, tmp_path):
    head = run_git(repository, "rev-parse", "HEAD")
    (repository / "README.md").write_text("changed, but in no commit")
    documents, dropped = read(repository, tmp_path, exclude=["*.html"])
    assert [(d.url, d.title, d.licence, d.licence_from) for d in documents] == [
        (f"project@{head}:LICENSE", "LICENSE", "Apache-2.0", "LICENSE file"),
        (f"project@{head}:README.md", "The project", "Apache-2.0", "LICENSE file"),
        (f"project@{head}:data.json", "data.json", "Apache-2.0", "LICENSE file"),
        (f"project@{head}:main.py", "main.py", "ISC", "SPDX tag"),
    ]
    assert documents[1].text == "# The project\n\nabout it"
    assert {document.source for document in documents} == {"git:project"}
    assert dropped == {"left out by 'include' or 'exclude'": 1}


def test_pages_are_extracted(repository, tmp_path, monkeypatch):
    taken = []

    def extract(sandbox, tasks):
        for key, task in tasks:
            taken.append(task.kind)
            yield key, Extracted("page text", "Page")

    monkeypatch.setattr(Sandbox, "map", extract)
    documents, _ = read(repository, tmp_path, include=["docs/*"])
    assert [(document.text, document.title) for document in documents] == [("page text", "Page")]
    assert taken == ["page"]


def test_links_submodules_hidden_and_binary_files_are_counted(repository, tmp_path):
    (repository / "link.txt").symlink_to("/etc/passwd")
    (repository / ".hidden").write_text("hidden")
    (repository / "picture.png").write_bytes(b"\x89PNG\0\0")
    (repository / "a.zip").write_bytes(b"PK")
    (repository / "empty.txt").write_text("")
    with open(os.fsencode(repository) + b"/odd\xff\x1b.txt", "w") as file:
        file.write("odd name")
    head = run_git(repository, "rev-parse", "HEAD")
    run_git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    run_git(repository, "add", "-A", "--", ":!sub")
    run_git(repository, "commit", "-q", "-m", "more")
    documents, dropped = read(repository, tmp_path, exclude=["*.html"])
    assert [document.url.partition(":")[2] for document in documents] == [
        *("LICENSE", "README.md", "data.json", "main.py"),
        "odd\\udcff\\x1b.txt",
    ]
    assert dropped == {
        "binary content": 1,
        "git submodule": 1,
        "hidden file or folder": 1,
        "left out by 'include' or 'exclude'": 1,
        "no text in it": 1,
        "symbolic link, not followed": 1,
        "unknown file type: .zip": 1,
    }


def test_revisions(repository, tmp_path):
    first = run_git(repository, "rev-parse", "HEAD")
    run_git(repository, "tag", "v1")
    (repository / "new.txt").write_text("a new file")
    second = commit(repository)
    for revision, wanted in (("HEAD", second), ("main", second), ("v1", first), ("HEAD~1", first)):
        assert open_repository(str(repository), revision).commit == wanted
        reader = GitReader(GitSource(repository=str(repository), revision=revision))
        assert reader.fingerprint() == wanted
    for revision in ("nothing", "--help", "-x", "a b", "main:README.md"):
        with pytest.raises(InputError):
            open_repository(str(repository), revision)


def test_what_is_no_repository_is_refused(repository, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_repository(str(tmp_path / "missing"), "HEAD")
    with pytest.raises(InputError, match="not a git repository"):
        open_repository(str(repository / "docs"), "HEAD")


def test_the_configuration_of_a_repository_runs_nothing(repository, tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    command = f"touch {mark}; false"
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.pager",
        "alias.ls-tree",
    ):
        run_git(repository, "config", key, f"!{command}" if key.startswith("alias") else command)
    run_git(repository, "config", "core.hooksPath", str(tmp_path))
    run_git(repository, "config", "diff.external", command)
    run_git(repository, "config", "filter.x.smudge", command)
    (repository / ".git" / "info" / "attributes").write_text("* filter=x diff=x\n")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    documents, _ = read(repository, tmp_path, exclude=["*.html"])
    assert len(documents) == 4
    assert not mark.exists()


def test_missing_objects_are_counted_and_never_fetched(repository, tmp_path):
    mark = tmp_path / "ran"
    identity = run_git(repository, "rev-parse", "HEAD:main.py")
    run_git(repository, "config", "remote.origin.url", f"ext::touch {mark}")
    run_git(repository, "config", "remote.origin.promisor", "true")
    run_git(repository, "config", "protocol.ext.allow", "always")
    run_git(repository, "config", "extensions.partialClone", "origin")
    (repository / ".git" / "objects" / identity[:2] / identity[2:]).unlink()
    documents, dropped = read(repository, tmp_path, exclude=["*.html"])
    assert not mark.exists()
    assert len(documents) == 3
    assert dropped["object missing in the repository"] == 1


def test_trees_that_contain_each_other_stop_at_a_limit(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(git_commands, "MAX_FILES", 1000)
    blob = run_git(repository, "hash-object", "-w", "--stdin", input="text")
    tree = run_git(
        repository, "mktree", input="".join(f"100644 blob {blob}\tf{n}.txt\n" for n in range(10))
    )
    for _ in range(9):
        listing = "".join(f"040000 tree {tree}\td{n}\n" for n in range(10))
        tree = run_git(repository, "mktree", input=listing)
    bomb = run_git(repository, "commit-tree", tree, "-m", "bomb")
    documents, dropped = read(repository, tmp_path, revision=bomb)
    assert len(documents) == 1000
    assert dropped == {git_commands.TOO_MANY: 1}


def test_a_remote_repository_is_fetched_one_commit_deep_and_removed(
    repository, tmp_path, monkeypatch
):
    (repository / "new.txt").write_text("a new file")
    head = commit(repository)
    url = f"file://{repository}"
    clones = []

    def fetch_locally(url, revision, folder):
        found = fetch(url, revision, folder, protocols="file", pinned=lambda url: [])
        clones.append((folder, run_git(folder, "rev-list", "--count", "--all")))
        return found

    monkeypatch.setattr(git, "fetch", fetch_locally)
    (tmp_path / "kept" / git.CLONE).mkdir(parents=True)
    (tmp_path / "kept" / git.CLONE / "left over").write_text("")
    documents, _ = read(url, tmp_path, exclude=["*.html"], revision="main")
    assert [document.url for document in documents][-1] == f"{url}@{head}:new.txt"
    assert clones == [(tmp_path / "kept" / git.CLONE, "1")]
    assert not (tmp_path / "kept").exists()
    reader = GitReader(GitSource(repository=url, revision="main"))
    assert reader.fingerprint() == [url, "main"]


@pytest.mark.parametrize("protocol", ["file", "ext"])
def test_other_protocols_are_not_spoken(repository, tmp_path, protocol):
    mark = tmp_path / "ran"
    url = {"file": f"file://{repository}", "ext": f"ext::touch {mark}"}[protocol]
    (tmp_path / "clone").mkdir()
    with pytest.raises(InputError):
        fetch(url, "HEAD", tmp_path / "clone", pinned=lambda url: [])
    assert not mark.exists()
    with pytest.raises(InputError):
        list(GitReader(GitSource(repository=url)).documents(
            Reading(SilentProgress(), Drops(print), None, tmp_path / "kept")
        ))  # fmt: skip
    assert not mark.exists()


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://example.org/a.git", "not fetched by http"),
        ("git://example.org/a.git", "not fetched by git"),
        ("file:///etc", "not fetched by file"),
        ("https://user:secret@example.org/a", "user name or password"),
        ("https://token@example.org/a", "user name or password"),
        ("https://[bad/a", "cannot be read"),
        ("https://exa$(x)mple.org/a", "host name cannot be read"),
        ("ssh://-oProxyCommand=x/a", "host name cannot be read"),
        ("git@-host:path", "host name cannot be read"),
        ("https://127.0.0.1/a.git", "address is not global"),
        ("https://10.0.0.1/a.git", "address is not global"),
        ("ssh://git@192.168.1.1/a.git", "address is not global"),
        ("git@169.254.169.254:a.git", "address is not global"),
        ("https://8.8.8.8:8443/a.git", "unusual port"),
        ("ssh://git@8.8.8.8:2222/a.git", "unusual port"),
    ],
)
def test_urls_that_are_refused_before_anything_is_started(url, what):
    with pytest.raises(InputError, match=what) as caught:
        pinned_settings(url)
    assert "secret" not in str(caught.value)


def test_git_connects_to_the_address_that_was_checked(monkeypatch):
    asked = []

    def look_up(host, port, allowance):
        asked.append((host, port))
        return [ip_address("8.8.4.4")]

    monkeypatch.setattr(git_urls, "checked_addresses", look_up)
    assert pinned_settings("https://example.org/a.git") == [
        "http.curloptResolve=example.org:443:8.8.4.4"
    ]
    (by_ssh,) = pinned_settings("git@example.org:a.git")
    assert "HostName=8.8.4.4" in by_ssh
    assert "HostKeyAlias=example.org" in by_ssh
    assert asked == [("example.org", 443), ("example.org", 22)]


@pytest.mark.parametrize("revision", ["--upload-pack=x", "-x", "a..b", "a b", "x:y", "", "HEAD^"])
def test_revisions_that_are_not_asked_of_a_remote(revision, tmp_path):
    with pytest.raises(InputError, match="cannot be a revision"):
        fetch("https://example.org/a.git", revision, tmp_path)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("https://example.org/a", True),
        ("git@example.org:a/b.git", True),
        ("/folder/a", False),
        ("../a", False),
        ("C:\\folder", False),
        ("ext::sh -c x", False),
    ],
)
def test_urls_and_folders_are_told_apart(name, answer):
    assert is_remote(name) is answer
