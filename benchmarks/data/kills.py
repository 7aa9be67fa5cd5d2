"""Kill annotate and prepare at random moments, fill their disk, and compare with runs left alone.

python benchmarks/data/kills.py SHARED_DATA [--kills N] [--documents N] [--seed N]

The corpus is tldr_pages, python_peps and wikitext2 with some near-duplicates. Each stage is started
through the command line, gets SIGKILL at a moment drawn evenly from the time that it takes, and is
started again. Then each is run on file systems that are too small (which needs root), and once more
when there is room. Exit code 1 if an artifact's digest is not that of the run left alone, or a full
disk was not one clear error.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from corpora import labelled_corpus

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.data.corpus import CorpusWriter, new_document

FOLDERS = ("python_peps", "tldr_pages", "wikitext2")
GROUP_BYTES = 500_000
STAGES = ("annotate", "prepare")
SHARES_OF_THE_ROOM = (0.05, 0.4, 0.8, 0.98, 1.2, 1.5, 1.8, 2.1)
"""Sizes of disks as parts of the artifact's; what only serves resume needs room too."""

ROOMY = "it fits"
FULL = "the disk is full"


@dataclass(frozen=True)
class Alone:
    """A run that nothing happened to."""

    stage: str
    corpus: Path
    digest: str
    seconds: float
    room: int

    def command(self, out: Path) -> list[str]:
        """Make the same again in another folder."""
        return command(self.stage, self.corpus, out)

    def is_equal(self, out: Path) -> bool:
        """Whether a folder holds what this run made, and nothing is left beside it."""
        made = finished(out)
        left = [path.name for path in out.parent.glob(f"{out.name}?*")]
        return made is not None and made.manifest.digest == self.digest and not left


def main() -> int:
    """Run all trials and print a line each; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        runs = leave_alone(arguments.shared, arguments.documents, folder)
        killed = kill_often(runs, arguments.kills, arguments.seed, folder / "killed")
        filled = fill_disks(runs, folder / "disk")
    return 0 if killed and filled else 1


def leave_alone(shared: Path, documents: int, folder: Path) -> list[Alone]:
    """Write the corpus and run both stages."""
    source = folder / "source"
    write_corpus(shared, documents, source)
    runs = []
    for stage in STAGES:
        out = folder / stage
        began = time.monotonic()
        run(command(stage, source, out))
        seconds = time.monotonic() - began
        digest = open_artifact(out, "corpus").manifest.digest
        runs.append(Alone(stage, source, digest, seconds, bytes_in(out)))
        print(f"{stage} left alone: {seconds:.1f} s, digest {digest[:16]}", flush=True)
        source = out
    return runs


def write_corpus(shared: Path, documents: int, folder: Path) -> None:
    """Real documents, every tenth once more with another end and an address."""
    folder.mkdir()
    chosen = [text for label, text in labelled_corpus(shared) if label in FOLDERS][:documents]
    with CorpusWriter(folder, group_bytes=GROUP_BYTES) as writer:
        for number, text in enumerate(chosen):
            ends = ("", f"\nWrite to editor{number}@mail.org.") if number % 10 == 0 else ("",)
            for end in ends:
                url = f"{number}{end.strip()}"
                writer.write(new_document(text + end, source="s", url=url, title="", licence="MIT"))


def kill_often(runs: list[Alone], kills: int, seed: int, folder: Path) -> bool:
    """Kill each stage in turn, and finish it: whether all came out equal."""
    drawn = random.Random(seed)
    equal = 0
    for trial in range(kills):
        alone = runs[trial % len(runs)]
        out = folder / f"{trial}" / "out"
        out.parent.mkdir(parents=True)
        after, during = kill(alone, out, drawn)
        run(alone.command(out))
        equal += (is_equal := alone.is_equal(out))
        print(
            f"{trial + 1:>3}  {alone.stage:<8} killed after {after:5.2f} s, {during:<30}"
            f"{'equal' if is_equal else 'DIFFERENT'}",
            flush=True,
        )
        shutil.rmtree(out.parent)
    print(f"killed: {equal} of {kills} equal")
    return equal == kills


def kill(alone: Alone, out: Path, drawn: random.Random) -> tuple[float, str]:
    """Start a stage and kill it at a drawn moment: that moment, and what was there then."""
    while True:
        after = drawn.uniform(0, alone.seconds)
        with subprocess.Popen(
            alone.command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                process.kill()
        if process.returncode != 0:
            return after, what_is_there(out)
        # This run was quicker than the first and had ended: it proves nothing, so draw again.
        shutil.rmtree(out)


def what_is_there(out: Path) -> str:
    if out.exists():
        return "after the last file"
    partial = out.with_name(out.name + ".partial")
    parts = len(list(partial.glob("scratch/parts-*/*.parquet")))
    files = [path for path in partial.rglob("*") if path.is_file()]
    others = sum("scratch" not in path.parts for path in files)
    return f"with {parts} parts, {others} files" if files else "before the first file"


def fill_disks(
    runs: list[Alone], folder: Path, shares: Sequence[float] = SHARES_OF_THE_ROOM
) -> bool:
    """Run each stage where there is too little room, then with more: whether all went well."""
    good = number = 0
    for alone in runs:
        for share in shares:
            with small_disk(folder, int(alone.room * share)) as disk:
                if disk is None:
                    print("full disks: left out, as only root can mount a small file system")
                    return True
                said = full_disk_error(alone, disk / "out")
                if said == ROOMY:
                    break
                resize(folder, 8 * alone.room + 2**26)
                run(alone.command(disk / "out"))
                is_good = said.startswith(f"error: {FULL}\n  where: {disk}/")
                is_good &= alone.is_equal(disk / "out")
            number += 1
            good += is_good
            print(
                f"{alone.stage:<8} {alone.room * share / 2**20:6.2f} MiB of room: "
                f"{'one clear error, then equal' if is_good else f'WRONG: {said}'}",
                flush=True,
            )
    print(f"full disks: {good} of {number} told clearly, then equal")
    return good == number


def full_disk_error(alone: Alone, out: Path) -> str:
    """What a run says that must fail, and leave nothing that looks whole."""
    done = subprocess.run(alone.command(out), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ROOMY
    if done.returncode != 1 or out.exists():
        return f"exit code {done.returncode}, {done.stderr}"
    return done.stderr[done.stderr.find("error: ") :]


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path | None]:
    """A file system of so many bytes; None where none can be mounted."""
    folder.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(["mount", *options], check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, size: int) -> None:
    """Give a mounted file system more room."""
    options = f"size={size},remount"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def command(stage: str, corpus: Path, out: Path) -> list[str]:
    """How a user runs a stage."""
    settings = ["--corpus", str(corpus), "--out", str(out), "--workers", "2"]
    return [sys.executable, "-m", "modelwright", stage, *settings]


def run(arguments: list[str]) -> None:
    """Run a command that must end well."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stderr}")


def finished(folder: Path) -> Artifact | None:
    """The artifact in a folder, if its files are as its manifest says."""
    if not (folder / "manifest.json").is_file():
        return None
    artifact = open_artifact(folder, "corpus")
    return None if artifact.changed_files() else artifact


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
