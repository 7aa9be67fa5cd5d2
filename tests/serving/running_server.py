"""A real server with a tiny model, for the tests of this folder."""

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import uvicorn
from openai import OpenAI

from modelwright.core.files import write_text
from modelwright.inference.background import BackgroundEngine
from modelwright.inference.engine import Engine
from modelwright.inference.scheduler import Part
from modelwright.inference.sequence import Sequence
from modelwright.serving.api.limits import Limits
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.served_models import ServedModels
from modelwright.serving.app import create_app
from modelwright.serving.server import listen

NAME = "tiny"
CONTEXT = 256


@dataclass(frozen=True)
class Server:
    """A running server and what is behind it."""

    address: str
    background: BackgroundEngine

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def engine(self) -> Engine:
        return self.background.engine


@contextmanager
def running(
    engine: Engine,
    *,
    max_waiting: int = 64,
    is_chat: bool = True,
    limits: Limits | None = None,
    more: dict[str, Engine] | None = None,
    aliases: dict[str, str] | None = None,
    send_buffer: int | None = None,
    **options: Any,
) -> Iterator[Server]:
    """A real server on a free port, in a thread; with more than one engine if they are given."""
    listener = listen("127.0.0.1", 0)
    if send_buffer is not None:  # connections have that of the socket that they came to
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    with ExitStack() as stack:
        engines = {NAME: engine, **(more or {})}
        models = [
            ServedModel(
                stack.enter_context(BackgroundEngine(one, max_waiting)),
                name,
                is_chat=is_chat,
                limits=limits or Limits(),
            )
            for name, one in engines.items()
        ]
        app = create_app(ServedModels(models, aliases), **options)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Server(f"http://127.0.0.1:{listener.getsockname()[1]}", models[0].background)
        finally:
            for model in models:
                model.background.stop()
            server.should_exit = True
            thread.join()


def widened(model_folder: Path, folder: Path, context: int = 1024) -> Path:
    """A copy of a model in a folder, with more room."""
    copy = folder / NAME
    shutil.copytree(model_folder, copy)
    path = copy / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_text(path, json.dumps({**config, "max_position_embeddings": context}))
    return copy


def openai_client(server: Server) -> OpenAI:
    """The client as its users make it."""
    return OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)


class Script:
    """Stands in for the model's weights: every sequence says the same text, at a given pace.

    Attributes
    ----------
    sequences : list of Sequence
        All that have run.
    hold_at : int or None
        After how many tokens of a text nothing is said until ``released`` is set.
    """

    def __init__(self, engine: Engine, text: str, seconds_per_step: float = 0.0):
        self.ids = [*engine.tokenizer.encode(text), engine.tokenizer.message_end]
        self.vocabulary = engine.tokenizer.vocabulary_size
        self.seconds = seconds_per_step
        self.sequences: list[Sequence] = []
        self.hold_at: int | None = None
        self.released = threading.Event()

    def run(self, parts: list[Part]) -> torch.Tensor:
        time.sleep(self.seconds)
        sequences = [part.sequence for part in parts if part.is_last]
        if any(len(sequence.generated) == self.hold_at for sequence in sequences):
            assert self.released.wait(60)
        self.sequences += [sequence for sequence in sequences if not sequence.generated]
        wanted = [self.ids[len(sequence.generated)] for sequence in sequences]
        return torch.nn.functional.one_hot(torch.tensor(wanted), self.vocabulary) * 100.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; fails after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
