"""Four stages that take a millisecond, for tests of planning and running.

``collect`` copies a file, ``prepare`` takes its words in lower case, ``tokenizer`` counts them,
``pretrain`` repeats them in steps that it can resume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelwright.core.files import sha256_file, write_text
from modelwright.core.job import Job, Outcome
from modelwright.data.settings import CollectSettings, PrepareSettings
from modelwright.pipeline.stages import Input, Stage
from modelwright.tokens.settings import TokenizerSettings
from modelwright.training.settings import PretrainSettings

STEPS = 4


@dataclass
class Script:
    """What the stages are to do besides their work, and what was called.

    Attributes
    ----------
    calls : list of str
        The stages in the order in which they ran.
    before, after : dict
        Called with the job before a stage begins and when all its files are written.
    """

    calls: list[str] = field(default_factory=list)
    before: dict[str, Callable[[Job[Any]], None]] = field(default_factory=dict)
    after: dict[str, Callable[[Job[Any]], None]] = field(default_factory=dict)

    def begin(self, name: str, job: Job[Any]) -> None:
        self.calls.append(name)
        self.before.get(name, lambda job: None)(job)

    def end(self, name: str, job: Job[Any]) -> None:
        self.after.get(name, lambda job: None)(job)


script = Script()
"""Of the test that runs; a fixture empties it."""


def source_of(settings: CollectSettings) -> Path:
    (source,) = settings.sources
    return Path(source.path)


def fingerprint(settings: CollectSettings) -> str:
    return sha256_file(source_of(settings))


def collect(job: Job[CollectSettings]) -> Outcome:
    script.begin("collect", job)
    text = source_of(job.settings).read_text()
    write_text(job.folder / "text.txt", text)
    script.end("collect", job)
    return Outcome(counts={"words": len(text.split())}, licences=["MIT"])


def prepare(job: Job[PrepareSettings]) -> Outcome:
    script.begin("prepare", job)
    words = job.input("corpus").file("text.txt").read_text().lower().split()
    kept = sorted(set(words))
    write_text(job.folder / "words.txt", "\n".join(kept))
    script.end("prepare", job)
    return Outcome(
        counts={"words": len(kept)},
        dropped={"duplicate": len(words) - len(kept)},
        licences=["CC0-1.0"],
    )


def tokenizer(job: Job[TokenizerSettings]) -> Outcome:
    script.begin("tokenizer", job)
    words = job.input("corpus").file("words.txt").read_text().split()
    write_text(job.folder / "count.txt", f"{len(words)} {job.settings.pre_tokenizer}")
    write_text(job.log / "times.txt", "1.5")
    script.end("tokenizer", job)
    return Outcome(metrics={"words": float(len(words))})


def pretrain(job: Job[PretrainSettings]) -> Outcome:
    script.begin("pretrain", job)
    progress = job.scratch / "progress.txt"
    done = int(progress.read_text()) if progress.is_file() else 0
    for step in range(done, STEPS):
        write_text(progress, str(step + 1))
        job.log_metrics(step, {"loss": 1.0 / (step + 1)})
        script.before.get(f"step {step + 1}", lambda job: None)(job)
    write_text(job.folder / "model.txt", f"seed {job.settings.seed} " * STEPS)
    write_text(job.folder / "resumed.txt", str(done))
    script.end("pretrain", job)
    return Outcome(settings={"layers": 7})


_CORPUS = Input("corpus", "corpus", ("prepare",))

FAKE_STAGES = (
    Stage(
        "collect",
        "copy a file",
        "corpus",
        CollectSettings,
        "fake_stages:collect",
        fingerprint="fake_stages:fingerprint",
    ),
    Stage(
        "prepare",
        "sort words",
        "corpus",
        PrepareSettings,
        "fake_stages:prepare",
        inputs=(Input("corpus", "corpus", ("collect",)),),
    ),
    Stage(
        "tokenizer",
        "count words",
        "tokenizer",
        TokenizerSettings,
        "fake_stages:tokenizer",
        inputs=(_CORPUS,),
    ),
    Stage(
        "pretrain",
        "repeat words",
        "model",
        PretrainSettings,
        "fake_stages:pretrain",
        inputs=(_CORPUS, Input("tokenizer", "tokenizer", ("tokenizer",))),
        resumable=True,
    ),
)
