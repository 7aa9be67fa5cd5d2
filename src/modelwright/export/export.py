"""The export stage: a model becomes files for another engine, behind a gate."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelwright import __version__
from modelwright.core.artifact import UNKNOWN_LICENCE, Artifact
from modelwright.core.errors import InputError, ModelwrightError
from modelwright.core.files import write_json
from modelwright.core.job import Job, Outcome
from modelwright.export.gate import (
    Answer,
    Reference,
    Verdict,
    judge,
    logits_of,
    make_reference,
    table,
)
from modelwright.export.gate_strings import STRINGS
from modelwright.export.gguf import Described, check_gguf, write_gguf
from modelwright.export.gguf_reader import GGUFFile
from modelwright.export.gguf_tokenizer import added_begin, read_vocabulary, splitter_of
from modelwright.export.hugging_face import check_vllm, write_folder, write_tokenizer
from modelwright.export.ollama import write_modelfile
from modelwright.export.onnx import GRAPH, write_graph
from modelwright.export.reading import (
    ONNX_RUNTIME,
    TRANSFORMERS,
    Interpreter,
    needed,
    open_interpreter,
    read_foreign,
    read_gguf,
    reader_of_gguf,
)
from modelwright.export.settings import ExportSettings
from modelwright.models.pretrained import CONFIG, WEIGHTS, load_model, model_tensors
from modelwright.models.quantization.linear import QuantizedLinear
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer

REPORT = "export.json"
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Model:
    """What is exported.

    Attributes
    ----------
    artifact : Artifact
        Its folder.
    model : CausalLM
        In float32.
    tokenizer : Tokenizer
        Its tokenizer.
    """

    artifact: Artifact
    model: CausalLM
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Written:
    """One thing that was written and is to be read back.

    Attributes
    ----------
    path : Path
        What a reader opens: a file, or the folder.
    weights : Path
        The file with the weights.
    type : str
        Their number format.
    read : Callable
        Has it read.
    stored : Callable
        Gives the logits of our own code on the weights as they are stored.
    """

    path: Path
    weights: Path
    type: str
    read: Callable[[Reference], Answer]
    stored: Callable[[Reference], NDArray[np.float32]]


def export(job: Job[ExportSettings]) -> Outcome:
    """Write a model (input ``model``) for another engine, and let that engine read it.

    Raises
    ------
    InputError
        If the engine cannot hold the model.
    ModelwrightError
        If it reads something else than the model says; nothing is left of the export then.
    MissingExtraError
        If what writes or reads it is not installed.
    """
    source = job.input("model")
    _refuse_adapters(source.path)
    exported = Model(source, load_model(source.path), Tokenizer.load(source.path))
    _refuse_compressed(exported)
    _check_sizes(exported)
    interpreter = open_interpreter(job.settings.reader_python)
    verdicts = _judged(job, exported, interpreter)
    for line in table(verdicts):
        job.progress.note(f"  {line}")
    failed = [f"{one.file}: {problem}" for one in verdicts for problem in one.problems]
    if failed:
        raise ModelwrightError(
            "what was written is not read as what it is, so nothing was kept:\n  "
            + "\n  ".join(failed),
            fix="use another type or target; if it is none of these, please report it",
        )
    write_json(
        job.folder / REPORT,
        {
            "to": job.settings.to,
            "model": source.id,
            "digest": source.manifest.digest,
            "modelwright": __version__,
            "texts_in_nfc": _is_in_nfc(job.settings, exported),
            "gate": [one.as_dict() for one in verdicts],
        },
    )
    return Outcome(
        counts={
            "files": len(verdicts),
            "texts": sum(one.texts + one.chats for one in verdicts),
            "parameters": exported.model.config.parameter_count(),
        },
        metrics={
            "largest_difference": max(one.largest_difference for one in verdicts),
            "largest_mean_divergence": max(one.mean_divergence for one in verdicts),
        },
        settings={"types": job.settings.chosen_types},
    )


def _refuse_compressed(exported: Model) -> None:
    if any(isinstance(module, QuantizedLinear) for module in exported.model.modules()):
        raise InputError(
            "the model's weights are compressed already, and would be rounded twice",
            where=exported.artifact.path,
            fix="export the model that it was made from; transformers and vLLM open this folder as "
            "it is",
        )


def _judged(job: Job[ExportSettings], exported: Model, interpreter: Interpreter) -> list[Verdict]:
    """Write everything, and have each part read."""
    normalised = _is_in_nfc(job.settings, exported)
    if normalised:
        job.progress.note(
            "  llama.cpp does not bring text into Unicode's form NFC, as this tokenizer does: what "
            "is sent to it should be in it, and only such texts are compared"
        )
    write = {
        "gguf": _write_gguf,
        "ollama": _write_ollama,
        "safetensors": _write_safetensors,
        "vllm": _write_vllm,
        "onnx": _write_onnx,
    }[job.settings.to]
    written = list(write(job, exported, interpreter))
    reference = make_reference(
        exported.model,
        exported.tokenizer,
        begin=added_begin(exported.artifact.path, exported.tokenizer),
        normalised=normalised,
        renders=job.settings.to != "onnx",
        texts=STRINGS,
    )
    verdicts = []
    for one in written:
        name = one.weights.name
        with job.progress.task(f"reading {name}", len(written), "files") as task:
            answer, stored = one.read(reference), one.stored(reference)
            size = _bytes(one.weights)
            verdicts.append(judge(reference, answer, stored, file=name, type=one.type, size=size))
            task.update(len(verdicts))
    return verdicts


def _write_gguf(
    job: Job[ExportSettings], exported: Model, interpreter: Interpreter
) -> Iterator[Written]:
    """A GGUF file for each type."""
    source, model, tokenizer = exported.artifact, exported.model, exported.tokenizer
    types = job.settings.chosen_types
    check_gguf(model.config, types)
    splitter = splitter_of(tokenizer, source.path)
    library = reader_of_gguf(interpreter, model.config, splitter)
    vocabulary = read_vocabulary(source.path, tokenizer, model.config.vocab_size)
    tensors = model_tensors(model)
    licences = [one for one in source.manifest.licences if one != UNKNOWN_LICENCE]
    for number, type in enumerate(types):
        path = job.folder / f"model-{type.upper()}.gguf"
        with job.progress.task(f"writing {path.name}", len(types), "files") as task:
            write_gguf(
                model.config, tensors, vocabulary, type, path, Described(source.id, licences)
            )
            task.update(number + 1)

        def read(reference: Reference, path: Path = path) -> Answer:
            if library is None:
                return read_gguf(path, reference)
            return read_foreign(interpreter, library, path, reference, job.scratch)

        def stored(reference: Reference, path: Path = path) -> NDArray[np.float32]:
            return logits_of(GGUFFile(path).model(model.config), reference.sequences)

        yield Written(path, path, type, read, stored)


def _write_ollama(
    job: Job[ExportSettings], exported: Model, interpreter: Interpreter
) -> Iterator[Written]:
    """A GGUF file and a Modelfile."""
    for written in _write_gguf(job, exported, interpreter):
        context = exported.model.config.max_position_embeddings
        write_modelfile(exported.tokenizer, context, written.path.name, job.folder)
        yield written


def _write_safetensors(
    job: Job[ExportSettings], exported: Model, interpreter: Interpreter
) -> Iterator[Written]:
    """A Hugging Face folder."""
    library = needed(interpreter, TRANSFORMERS, "export")
    (type,) = job.settings.chosen_types
    model, tokenizer, source = exported.model, exported.tokenizer, exported.artifact.path
    write_folder(model.config, model_tensors(model), tokenizer, source, type, job.folder)

    def read(reference: Reference) -> Answer:
        return read_foreign(interpreter, library, job.folder, reference, job.scratch)

    def stored(reference: Reference) -> NDArray[np.float32]:
        return logits_of(load_model(job.folder), reference.sequences)

    yield Written(job.folder, job.folder / WEIGHTS, type, read, stored)


def _write_vllm(
    job: Job[ExportSettings], exported: Model, interpreter: Interpreter
) -> Iterator[Written]:
    """The same, if vLLM can load it."""
    check_vllm(exported.model.config)
    return _write_safetensors(job, exported, interpreter)


def _write_onnx(
    job: Job[ExportSettings], exported: Model, interpreter: Interpreter
) -> Iterator[Written]:
    """A graph, and the tokenizer's files beside it."""
    needed(interpreter, "tokenizers", "onnx")
    library = needed(interpreter, ONNX_RUNTIME, "onnx")
    model, source = exported.model, exported.artifact.path
    with job.progress.task(f"writing {GRAPH}", None, "graph"):
        write_graph(model, job.folder)
    shutil.copyfile(source / CONFIG, job.folder / CONFIG)
    write_tokenizer(model.config, exported.tokenizer, source, job.folder)

    def read(reference: Reference) -> Answer:
        return read_foreign(interpreter, library, job.folder, reference, job.scratch)

    yield Written(job.folder, job.folder / GRAPH, "f32", read, lambda reference: reference.logits)


def _refuse_adapters(folder: Path) -> None:
    if (folder / ADAPTER_CONFIG).is_file():
        raise InputError(
            "this is an adapter, which is nothing without its model",
            where=folder,
            fix="make one model of both first: modelwright merge --base FOLDER --adapter FOLDER",
        )


def _check_sizes(exported: Model) -> None:
    tokens, rows = exported.tokenizer.vocabulary_size, exported.model.config.vocab_size
    if tokens > rows:
        raise InputError(
            f"the tokenizer has {tokens:,} tokens and the model only {rows:,}",
            where=exported.artifact.path,
            fix="give a model with the tokenizer that it was trained with",
        )


def _is_in_nfc(settings: ExportSettings, exported: Model) -> bool:
    """Whether texts have to come in form NFC, as llama.cpp does not bring them into it."""
    return settings.to in ("gguf", "ollama") and exported.tokenizer.is_normalised


def _bytes(weights: Path) -> int:
    """Size of a file with weights, and of the one beside it that large graphs have."""
    beside = weights.with_name(f"{weights.name}.data")
    return sum(path.stat().st_size for path in (weights, beside) if path.is_file())
