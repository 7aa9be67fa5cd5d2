"""The stages: what each is called, takes, makes, and where its function is.

Functions are named by text and imported when they run, so that nothing heavy is loaded to plan.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelwright.compression.settings import CompressSettings
from modelwright.core.job import Job, Outcome
from modelwright.core.settings import Settings
from modelwright.data.settings import (
    AnnotateSettings,
    CollectSettings,
    ExamplesSettings,
    PrepareSettings,
)
from modelwright.evaluation.settings import EvaluateSettings
from modelwright.export.settings import ExportSettings
from modelwright.pipeline.recipe import Recipe
from modelwright.tokens.settings import ShardsSettings, TokenizerSettings
from modelwright.training.alignment.settings import AlignSettings, RewardModelSettings
from modelwright.training.settings import (
    DialSettings,
    FinetuneSettings,
    MergeSettings,
    PretrainSettings,
)


@dataclass(frozen=True)
class Input:
    """An artifact that a stage takes.

    Attributes
    ----------
    role : str
        What the stage calls it.
    kind : str
        What kind of artifact it is.
    made_by : tuple of str
        Stages that make it; the first that is part of the run counts. None where only the user
        can give it.
    optional : bool
        Whether the stage works without it.
    given_by : tuple of str
        Keys of the recipe that name a model to take it from; the first that is set counts.
    """

    role: str
    kind: str
    made_by: tuple[str, ...]
    optional: bool = False
    given_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage of the way.

    Attributes
    ----------
    name, summary : str
        Its verb on the command line, and one line of help.
    makes : str
        The kind of artifact it makes.
    settings : type of Settings
        Its settings.
    function : str
        ``module:function`` of the stage itself.
    inputs : tuple of Input
        What it takes.
    version : int
        Raised when its code gives another result for the same input; makes artifacts stale.
    fingerprint : str or None
        ``module:function`` that hashes what the stage reads outside the workspace.
    resumable : bool
        Whether it goes on from what a cut-off run left in its folder.
    parallel : bool
        Whether all processes of a run work at it together, see :mod:`modelwright.pipeline.ranks`.
    in_runs : bool
        Whether a recipe can ask for it; if not, it is only a command.
    """

    name: str
    summary: str
    makes: str
    settings: type[Settings]
    function: str
    inputs: tuple[Input, ...] = ()
    version: int = 1
    fingerprint: str | None = None
    resumable: bool = False
    parallel: bool = False
    in_runs: bool = True


_CORPUS = Input("corpus", "corpus", ("prepare",))
_TOKENIZER = Input("tokenizer", "tokenizer", ("tokenizer",), given_by=("base", "teacher"))
_BASE = Input("base", "model", (), optional=True, given_by=("base",))
_TEACHER = Input("teacher", "model", (), optional=True, given_by=("teacher",))
_EXAMPLES = Input("examples", "examples", ("examples",))
_DIAL = Input("dial", "dial", ("dial",), optional=True)
_TRAINED = Input("base", "model", ("finetune", "pretrain"))
_PREFERENCES = Input("examples", "examples", ("preferences",))

STAGES = (
    Stage(
        "collect",
        "Read documents from files, the web, dumps, repositories, data sets",
        "corpus",
        CollectSettings,
        "modelwright.data.collect:collect",
        version=2,
        fingerprint="modelwright.data.collect:fingerprint",
        resumable=True,
    ),
    Stage(
        "annotate",
        "Score every document and find near-duplicates",
        "corpus",
        AnnotateSettings,
        "modelwright.data.annotate:annotate",
        inputs=(Input("corpus", "corpus", ("collect",)),),
        version=2,
        fingerprint="modelwright.data.annotate:fingerprint",
        resumable=True,
    ),
    Stage(
        "prepare",
        "Drop duplicates and unusable documents, take personal data out, split",
        "corpus",
        PrepareSettings,
        "modelwright.data.prepare:prepare",
        inputs=(Input("corpus", "corpus", ("annotate",)),),
        version=2,
        fingerprint="modelwright.data.prepare:fingerprint",
    ),
    Stage(
        "examples",
        "Gather questions and answers for fine-tuning",
        "examples",
        ExamplesSettings,
        "modelwright.data.examples:examples",
        version=2,
        fingerprint="modelwright.data.examples:fingerprint",
    ),
    Stage(
        "dial",
        "Time this machine and choose sizes and rates for the budget",
        "dial",
        DialSettings,
        "modelwright.training.dial:dial",
        inputs=(
            _CORPUS,
            Input("examples", "examples", ("examples",), optional=True),
            _BASE,
            _TEACHER,
        ),
        version=5,
    ),
    Stage(
        "tokenizer",
        "Train a byte-level BPE tokenizer",
        "tokenizer",
        TokenizerSettings,
        "modelwright.tokens.make_tokenizer:make_tokenizer",
        inputs=(_CORPUS, _DIAL),
        version=2,
    ),
    Stage(
        "shards",
        "Encode the corpus into token shards",
        "shards",
        ShardsSettings,
        "modelwright.tokens.make_shards:make_shards",
        inputs=(_CORPUS, _TOKENIZER),
    ),
    Stage(
        "pretrain",
        "Train a model on token shards, from random weights or those of another one",
        "model",
        PretrainSettings,
        "modelwright.training.pretrain:pretrain",
        inputs=(
            Input("shards", "shards", ("shards",)),
            _TOKENIZER,
            _BASE,
            _TEACHER,
            _DIAL,
        ),
        resumable=True,
        parallel=True,
        version=5,
    ),
    Stage(
        "finetune",
        "Teach a model to answer, on examples of conversations",
        "model",
        FinetuneSettings,
        "modelwright.training.finetune:finetune",
        inputs=(Input("base", "model", ("pretrain",)), _EXAMPLES, _DIAL),
        resumable=True,
        parallel=True,
        version=6,
    ),
    Stage(
        "preferences",
        "Gather what to align to: pairs of answers, labelled answers, or prompts",
        "examples",
        ExamplesSettings,
        "modelwright.data.examples:examples",
        fingerprint="modelwright.data.examples:fingerprint",
    ),
    Stage(
        "reward",
        "Train a model that scores answers, on pairs of them",
        "reward_model",
        RewardModelSettings,
        "modelwright.training.alignment.reward_model:reward_model",
        inputs=(_TRAINED, _PREFERENCES),
        resumable=True,
        parallel=True,
        in_runs=False,
    ),
    Stage(
        "align",
        "Align a model to preferences, labels or rewards",
        "model",
        AlignSettings,
        "modelwright.training.alignment.align:align",
        inputs=(_TRAINED, _PREFERENCES),
        fingerprint="modelwright.training.alignment.fingerprint:fingerprint",
        resumable=True,
        parallel=True,
    ),
    Stage(
        "merge",
        "Merge an adapter into its model",
        "model",
        MergeSettings,
        "modelwright.training.merge:merge",
        inputs=(_TRAINED, Input("adapter", "adapter", ())),
        in_runs=False,
    ),
    Stage(
        "compress",
        "Quantize or prune a model, and measure it before and after",
        "model",
        CompressSettings,
        "modelwright.compression.compress:compress",
        inputs=(Input("model", "model", ("align", "finetune", "pretrain")), _CORPUS),
        in_runs=False,
    ),
    Stage(
        "export",
        "Export a model for other engines, which read it back before it is kept",
        "export",
        ExportSettings,
        "modelwright.export.export:export",
        inputs=(Input("model", "model", ("align", "finetune", "pretrain")),),
        in_runs=False,
    ),
    Stage(
        "evaluate",
        "Measure a model on held-out text and questions",
        "evaluation",
        EvaluateSettings,
        "modelwright.evaluation.evaluate:evaluate",
        inputs=(
            Input("model", "model", ("align", "finetune", "pretrain")),
            Input("base", "model", ("pretrain",), optional=True),
            _CORPUS,
            Input("examples", "examples", ("examples",), optional=True),
        ),
    ),
)
"""All stages in the order of the way; each takes from earlier ones only."""


def stages_of(recipe: Recipe, until: str | None = None) -> list[Stage]:
    """The stages that a recipe asks for, up to and with ``until`` if that is given.

    Without examples there is nothing to fine-tune on; a model that is given has its tokenizer.
    """
    left_out = list[str]() if recipe.examples.sources else ["examples", "finetune"]
    if not recipe.preferences.sources:
        left_out += ["preferences", "align"]
    if recipe.base or recipe.teacher:
        left_out.append("tokenizer")
    stages = [stage for stage in STAGES if stage.in_runs and stage.name not in left_out]
    names = [stage.name for stage in stages]
    return stages if until is None else stages[: names.index(until) + 1]


def settings_of(stage: Stage, recipe: Recipe) -> Settings:
    """The stage's part of a recipe."""
    if stage.name == "dial":
        return DialSettings(budget=recipe.budget, start=recipe.pretrain.only_start)
    settings = getattr(recipe, stage.name)
    assert isinstance(settings, Settings)  # the recipe has a part for each stage; tested
    return settings


def load_function(stage: Stage) -> Callable[[Job[Any]], Outcome]:
    """Import and return the stage's function."""
    function: Callable[[Job[Any]], Outcome] = _load(stage.function)
    return function


def fingerprint_of(stage: Stage, settings: Settings) -> str | None:
    """Hash of what the stage would read outside the workspace, or None if it reads nothing."""
    return None if stage.fingerprint is None else str(_load(stage.fingerprint)(settings))


def _load(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)
