"""Having an export read: by another library in a process of its own, or by our own code."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from modelwright.core.errors import MissingExtraError, ModelwrightError, UsageError
from modelwright.core.files import write_text
from modelwright.export.gate import Answer, Reference, logits_of
from modelwright.export.gguf_reader import GGUFFile
from modelwright.export.gguf_tokenizer import SINGLE_DIGITS
from modelwright.models.config import TransformerConfig
from modelwright.tokens.jinja_template import render

LLAMA_CPP, TRANSFORMERS, ONNX_RUNTIME = "llama-cpp-python", "transformers", "onnxruntime"

_FOREIGN = Path(__file__).parent / "readers" / "foreign.py"
_LONGEST_SECONDS = 6 * 3600
_FIND = "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n)])"


@dataclass(frozen=True)
class Interpreter:
    """A Python that may have other libraries than this one.

    Attributes
    ----------
    path : str
        Its program.
    modules : frozenset of str
        Which of the libraries it has, by the names of their modules.
    """

    path: str
    modules: frozenset[str]


def open_interpreter(path: str | None) -> Interpreter:
    """Look what an interpreter has; by default the running one.

    Raises
    ------
    UsageError
        If it cannot be run.
    """
    program = path or sys.executable
    names = ("llama_cpp", "transformers", "gguf", "onnxruntime", "tokenizers")
    try:
        found = subprocess.run(
            [program, "-c", _FIND, *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(
            f"this Python cannot be run: {error}", where=program, fix="check --reader-python"
        ) from None
    return Interpreter(program, frozenset(found.stdout.split()))


def reader_of_gguf(
    interpreter: Interpreter, config: TransformerConfig, splitter: str
) -> str | None:
    """The library that reads a GGUF file best of those that are there; None for our own code.

    Raises
    ------
    ModelwrightError
        If only llama.cpp could read it, and is not there.
    """
    if "llama_cpp" in interpreter.modules:
        return LLAMA_CPP
    if config.rope_scaling is not None and config.rope_scaling.kind != "dynamic":
        raise ModelwrightError(
            "only llama.cpp can read how this model scales rotary positions, and it is not there",
            where=interpreter.path,
            fix=f"install {LLAMA_CPP}, or give a Python that has it with --reader-python",
        )
    has_both = {"transformers", "gguf"} <= interpreter.modules
    return TRANSFORMERS if has_both and _is_read_by_transformers(config, splitter) else None


def needed(interpreter: Interpreter, library: str, extra: str) -> str:
    """The library, if the interpreter has it.

    Raises
    ------
    MissingExtraError
        If not.
    """
    if library not in interpreter.modules:
        raise MissingExtraError(library, extra)
    return library


def read_foreign(
    interpreter: Interpreter, library: str, export: Path, reference: Reference, scratch: Path
) -> Answer:
    """Have another library read an export.

    Raises
    ------
    ModelwrightError
        If it fails, with what it printed last.
    """
    request, answer = scratch / "request.json", scratch / "answer.npz"
    content = {
        "texts": [[probe.text, probe.how] for probe in reference.probes],
        "chats": reference.chats,
        "sequences": reference.sequences,
        "threads": torch.get_num_threads(),
    }
    write_text(request, json.dumps(content))
    command = [interpreter.path, str(_FOREIGN), library, str(export), str(request), str(answer)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _unread(library, export, str(error)) from None
    if done.returncode != 0:
        printed = done.stderr.decode(errors="replace").strip().splitlines()
        said = printed[-1] if printed else "it printed nothing"
        raise _unread(library, export, f"{said} (exit code {done.returncode})")
    with np.load(answer) as arrays:
        ends = np.cumsum(arrays["lengths"])[:-1]
        ids = [part.tolist() for part in np.split(arrays["ids"], ends)]
        logits, version = arrays["logits"], arrays["version"]
    if logits.shape != reference.logits.shape:
        raise _unread(library, export, f"it gives logits of another shape, {logits.shape}")
    return Answer(ids, logits, f"{library} {version}")


def read_gguf(path: Path, reference: Reference) -> Answer:
    """Read a GGUF file ourselves: the weakest of its judges."""
    file = GGUFFile(path)
    tokenizer = file.tokenizer()
    begin = [file.value("tokenizer.ggml.bos_token_id")]
    before = begin if file.value("tokenizer.ggml.add_bos_token") else []

    def encode(text: str, how: str) -> list[int]:
        tokenizer.encode_special_tokens = how != "special"
        found = list(tokenizer.encode(text, add_special_tokens=False).ids)
        return before + found if how == "start" else found

    ids = [encode(probe.text, probe.how) for probe in reference.probes]
    named = {key: file.token_named(key) for key in ("bos", "eos")}
    for chat in reference.chats:
        variables = {"tools": None, **{f"{key}_token": text for key, text in named.items()}, **chat}
        ids.append(encode(render(file.value("tokenizer.chat_template"), variables), "special"))
    return Answer(ids, logits_of(file.model(), reference.sequences), "gguf and Modelwright")


def _is_read_by_transformers(config: TransformerConfig, splitter: str) -> bool:
    """Whether ``transformers`` takes all of the shape from a GGUF file; some of it, it guesses."""
    guesses_right = {
        "qwen3": config.head_dim == 128,
        "llama": not (config.attention_bias or config.feed_forward_bias),
        "gpt2": config.max_position_embeddings == 1024
        and config.intermediate_size == 4 * config.hidden_size,
    }
    return guesses_right[config.family] and splitter != SINGLE_DIGITS


def _unread(library: str, export: Path, why: str) -> ModelwrightError:
    return ModelwrightError(
        f"{library} cannot read the export: {why}",
        where=export,
        fix="check that library with a model of its own, or give another --reader-python",
    )
