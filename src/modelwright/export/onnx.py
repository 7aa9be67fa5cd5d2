"""A model as an ONNX graph, for ONNX Runtime.

The graph maps ``input_ids`` (batch, length), int64, to ``logits`` (batch, length, vocabulary),
float32, for any batch and any length up to the context. It has no cache: whoever generates with it
gives the whole text anew for each token.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import torch

from modelwright.core.errors import MissingExtraError
from modelwright.models.transformer import CausalLM

GRAPH = "model.onnx"
MOST_INSIDE = 2**30
"""Bytes of weights that lie inside the graph's file; protobuf ends at twice of it."""


def write_graph(model: CausalLM, folder: Path) -> None:
    """Write ``model.onnx``, with ``model.onnx.data`` beside it for large models.

    Parameters
    ----------
    model : CausalLM
        In float32, on the CPU, in evaluation mode.
    folder : Path
        Where to.

    Raises
    ------
    MissingExtraError
        Without the packages ``onnx`` and ``onnxscript``.
    """
    try:
        import onnx
        import onnxscript
    except ImportError as error:
        raise MissingExtraError(str(error.name), "onnx") from None
    del onnx, onnxscript  # torch's exporter imports them itself
    length = torch.export.Dim("length", max=model.config.max_position_embeddings)
    sizes = {"tokens": {0: torch.export.Dim("batch"), 1: length}}
    # Two rows: a size of one in the example would be taken as fixed.
    example = torch.zeros(2, min(8, model.config.max_position_embeddings), dtype=torch.int64)
    with _quiet():
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["input_ids"],
            output_names=["logits"],
            dynamic_shapes=sizes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    program.save(str(folder / GRAPH), external_data=weights > MOST_INSIDE)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which are of its own parts and of libraries not needed."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
