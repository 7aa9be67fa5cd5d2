"""What is served, and how: models are opened, and their engines run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelwright.core.artifact import MANIFEST, conversations_taught, read_manifest
from modelwright.core.errors import UsageError
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.background import MAX_WAITING, BackgroundEngine
from modelwright.inference.engine import CacheFormat, Engine
from modelwright.inference.networks import WeightChoice
from modelwright.inference.threads import use_decoding_threads
from modelwright.monitoring.request_recorder import RequestRecorder
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access_log import LogForm
from modelwright.serving.api.limits import DEFAULT_LIMITS, Limits
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.served_models import ServedModels, check_names
from modelwright.serving.hand_over.vllm_engine import VllmEngine
from modelwright.serving.hand_over.vllm_process import VllmOptions, VllmProcess

DRAIN_SECONDS = 30.0


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    Attributes
    ----------
    aliases : mapping of str to str
        Other names, and the models that they stand for.
    keys : KeyFile or None
        Who may use it; None for everybody on this machine.
    max_waiting : int
        Most texts of a model that may wait beside those that run.
    limits : Limits
        Of each request.
    drain_seconds : float
        How long running requests may take once the end is asked for.
    log : {"json", "text", "off"} or None
        The line of each request; None for columns on a terminal and JSON elsewhere.
    log_prompts : bool
        Whether prompts and answers are in the lines of JSON.
    recorder : RequestRecorder or None
        Keeps requests and answers; the caller runs it.
    feedback : FeedbackTable or None
        Where it is kept what people think of answers; the caller closes it.
    adapters : mapping of str to Path
        Folders of adapters of the first model, by the names that clients call them.
    weights : str
        How models are run (``inference/networks.py``).
    max_sequences : int
        Limit of each engine, see :class:`Engine`.
    step_tokens, cache_tokens : int or None
        Likewise.
    cache_format : str
        Likewise.
    speculate : int or None
        Likewise; without a draft model, the other models guess from what texts repeat.
    draft : Path or None
        Folder of the first model's draft model.
    threads : int or None
        Most threads that engines compute on; None for what suits the models.
    open_browser : bool
        Whether to open the chat page.
    vllm : VllmOptions or None
        Have vLLM run the only model; None for our engine.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    keys: KeyFile | None = None
    max_waiting: int = MAX_WAITING
    limits: Limits = DEFAULT_LIMITS
    drain_seconds: float = DRAIN_SECONDS
    log: LogForm | None = None
    log_prompts: bool = False
    recorder: RequestRecorder | None = None
    feedback: FeedbackTable | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)
    weights: WeightChoice = "auto"
    max_sequences: int = 16
    step_tokens: int | None = None
    cache_tokens: int | None = None
    cache_format: CacheFormat = "full"
    speculate: int | None = None
    draft: Path | None = None
    threads: int | None = None
    open_browser: bool = False
    vllm: VllmOptions | None = None


def open_models(
    folders: Mapping[str, Path], options: ServeOptions, stack: ExitStack
) -> ServedModels:
    """Open models and run their engines; what is open is closed with the stack.

    Raises
    ------
    UsageError
        If options do not go together, or a name is used twice.
    InputError
        If a folder holds no usable model.
    """
    check_names([*folders, *options.adapters], options.aliases)  # before models take their time
    return (_load if options.vllm is None else _hand_over)(folders, options, stack)


def _load(folders: Mapping[str, Path], options: ServeOptions, stack: ExitStack) -> ServedModels:
    """Open all models, and the adapters of the first, and run their engines."""
    use_decoding_threads(list(folders.values()), options.threads)
    served = list[ServedModel]()
    for name, folder in folders.items():
        is_first = not served
        engine = Engine.load(
            folder,
            max_sequences=options.max_sequences,
            step_tokens=options.step_tokens,
            cache_tokens=options.cache_tokens,
            cache_format=options.cache_format,
            weights=options.weights,
            speculate=options.speculate,
            draft=options.draft if is_first else None,
        )
        for adapter, place in options.adapters.items() if is_first else ():
            engine.add_adapter(adapter, place)
        background = stack.enter_context(BackgroundEngine(engine, options.max_waiting))
        model = ServedModel(background, name, is_chat=is_chat_model(folder), limits=options.limits)
        served.append(model)
        if is_first:
            served += [
                replace(
                    model,
                    name=adapter,
                    is_chat=model.is_chat or is_chat_model(place),
                    parent=name,
                    adapter=adapter,
                )
                for adapter, place in options.adapters.items()
            ]
    return ServedModels(served, options.aliases)


def _hand_over(
    folders: Mapping[str, Path], options: ServeOptions, stack: ExitStack
) -> ServedModels:
    """Start vLLM on the model, and wait until it answers."""
    if len(folders) > 1 or options.adapters:
        raise UsageError(
            "vLLM runs one model, without adapters, behind this server",
            fix="serve each model on a port of its own; 'modelwright merge' puts an adapter into "
            "its model",
        )
    assert options.vllm is not None
    name, folder = next(iter(folders.items()))
    process = stack.enter_context(VllmProcess(folder, options.max_sequences, options.vllm))
    print(f"starting vLLM; its log: {process.log}", file=sys.stderr, flush=True)
    process.wait_until_ready()
    engine = VllmEngine(process, folder, options.max_sequences, options.max_waiting)
    model = ServedModel(
        stack.enter_context(engine), name, is_chat=is_chat_model(folder), limits=options.limits
    )
    return ServedModels([model], options.aliases)


def load_engine(folder: Path) -> Engine:
    """Load a model to answer people with, on as many threads as suit it."""
    use_decoding_threads([folder])
    return Engine.load(folder, weights="auto")


def is_chat_model(folder: Path) -> bool:
    """Whether a model was taught to answer; one of unknown origin is taken to be."""
    if not (folder / MANIFEST).is_file():
        return True
    # Prompts and completions alone do not teach to take turns.
    return conversations_taught(read_manifest(folder)) != 0
