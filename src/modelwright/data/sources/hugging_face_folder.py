"""The files of a data set, in a local folder or on the Hugging Face hub."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.errors import InputError, MissingExtraError
from modelwright.data.drops import Drops
from modelwright.data.folder import find_files, open_file, relative_name

EXTRA = "huggingface"
SECONDS = 30.0
"""How long the hub may take to say what a data set holds."""

_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)


@dataclass(frozen=True)
class DatasetFolder:
    """What a data set holds, wherever it lies.

    Attributes
    ----------
    address : str
        Its name for rows: ``org/name@revision``, or the name of the folder.
    names : list of str
        Its files, relative, with forward slashes.
    open : callable
        ``open(name)`` gives a context manager of (seekable file, its size in bytes).
    """

    address: str
    names: list[str]
    open: Callable[[str], AbstractContextManager[tuple[io.BufferedReader, int]]]


def open_dataset(dataset: str, revision: str | None, drops: Drops) -> DatasetFolder:
    """Open a local folder, or a data set of the hub at one commit.

    What is local is read without the network.

    Raises
    ------
    InputError
        If there is no such folder or data set, or the hub cannot be reached.
    MissingExtraError
        If the package that speaks with the hub is not installed.
    """
    root = Path(dataset)
    if root.is_dir():
        return _local(root, drops)
    if root.is_file():
        raise InputError(
            "this is a file, and a data set is a folder",
            where=root,
            fix="read it with 'kind: files'",
        )
    if not _ID.fullmatch(dataset) or dataset.startswith("."):
        raise InputError(
            "no such folder, and no name of a data set on the hub",
            where=dataset,
            fix="give a folder, or a name like 'organisation/name'",
        )
    return _on_hub(dataset, revision)


def _local(root: Path, drops: Drops) -> DatasetFolder:
    paths = {relative_name(path, root): path for path in find_files(root, drops)}

    @contextmanager
    def opened(name: str) -> Iterator[tuple[io.BufferedReader, int]]:
        with open_file(paths[name]) as file:
            yield io.BufferedReader(file), paths[name].stat().st_size

    return DatasetFolder(root.resolve().name, list(paths), opened)


def _on_hub(dataset: str, revision: str | None) -> DatasetFolder:
    # Read when the package is loaded. It sends nothing then but the requests for the files.
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtraError("huggingface_hub", EXTRA) from None
    with _explained(dataset, revision):
        info = huggingface_hub.HfApi().dataset_info(dataset, revision=revision, timeout=SECONDS)
    # Everything that follows is of one commit, also if the data set changes meanwhile.
    commit = info.sha or revision or "main"
    names = [one.rfilename for one in info.siblings or []]
    files = huggingface_hub.HfFileSystem()

    @contextmanager
    def opened(name: str) -> Iterator[tuple[io.BufferedReader, int]]:
        address = f"datasets/{dataset}@{commit}/{name}"
        with _explained(dataset, commit), files.open(address, "rb") as file:
            yield io.BufferedReader(file), file.size

    return DatasetFolder(f"{dataset}@{commit}", names, opened)


@contextmanager
def _explained(dataset: str, revision: str | None) -> Iterator[None]:
    """Say in our terms why the hub did not answer."""
    import httpx2  # the hub's own client
    from huggingface_hub import errors

    where = dataset if revision is None else f"{dataset}@{revision}"
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise InputError(
            "this data set is on the hub, and HF_HUB_OFFLINE forbids to ask for it",
            where=where,
            fix="unset HF_HUB_OFFLINE, or give the folder of a copy",
        ) from None
    except errors.GatedRepoError:
        raise InputError(
            "this data set asks for its terms to be accepted",
            where=where,
            fix="accept them on its page on the hub and log in with 'hf auth login'",
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError("the data set has no such revision", where=where) from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            "no such folder, and no such data set on the hub",
            where=where,
            fix="check the name; for a private one, log in with 'hf auth login'",
        ) from None
    except (httpx2.HTTPError, errors.EntryNotFoundError) as error:
        raise InputError(
            f"the hub cannot be reached: {str(error).splitlines()[0] if str(error) else error!r}",
            where=where,
            fix="check the network and run again, or give the folder of a copy",
        ) from None
