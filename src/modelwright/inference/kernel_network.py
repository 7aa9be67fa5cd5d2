"""The forward pass through compiled kernels (``kernels/``), for CPUs.

One token costs little more than reading the weights, which may be in fewer bits; every token is
worked out in the same way whatever else is in the step.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from modelwright.inference.block_manager import BLOCK_SIZE
from modelwright.inference.kernel_sampler import sample
from modelwright.inference.kernels.cache import Cache
from modelwright.inference.kernels.compiled import are_compiled
from modelwright.inference.kernels.drawing import prepare
from modelwright.inference.kernels.forward import Scratch, Step, Weights, forward, project
from modelwright.inference.kernels.threads import CAN_YIELD
from modelwright.inference.kv_cache import KVCache, blocks_for
from modelwright.inference.networks import PROJECTIONS, base_layer
from modelwright.inference.packed_adapter import PackedAdapter, no_changes
from modelwright.inference.packed_weights import PackedMatrix, WeightFormat, pack
from modelwright.inference.step_layout import StepLayout
from modelwright.inference.thread_team import ThreadTeam
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM

TOKENS_AT_ONCE = 512
"""Of a text that is only scored."""

NO_WINDOW = 1 << 40

LOGGER = logging.getLogger(__name__)


class KernelNetwork:
    """A decoder in the kernels' form.

    Parameters
    ----------
    model : CausalLM
        One that ``why_no_kernels`` of ``networks.py`` has nothing against. Weights in float32 are
        read where they are.
    cache : KVCache
        Where keys and values go, float32 or int8.
    weight_format : {"float32", "bfloat16", "int8", "int4"}
        Of the matrices that are not in int8 or int4 already.
    threads : int
        How many threads work on a step.
    """

    step_tokens = 128
    sample = staticmethod(sample)

    def __init__(
        self, model: CausalLM, cache: KVCache, weight_format: WeightFormat, threads: int = 1
    ):
        self.config = model.config
        self._embedding = model.model.embed_tokens.weight.detach().numpy()
        # A head in four bits costs more quality than the little that it saves.
        head_format: WeightFormat = "int8" if weight_format == "int4" else weight_format
        self._layers = [
            [pack(base_layer(layer.get_submodule(name)), weight_format) for name in PROJECTIONS]
            for layer in model.model.layers
        ]  # fmt: skip
        self._head = pack(model.lm_head, head_format)
        self._model, self._cache = model, _arrays(cache)
        self._no_changes = no_changes(self.config.num_hidden_layers, len(PROJECTIONS))
        self._adapters = dict[str, PackedAdapter]()
        self._cache_dtype = cache.keys.dtype
        self._team = ThreadTeam(threads if CAN_YIELD else 1)
        self._scratch = self._new_scratch(1, 0)
        if not are_compiled():
            LOGGER.warning(
                "the CPU kernels are compiled for this machine: half a minute, the first time only"
            )
        self._weights = _weights(model, self._layers)
        self._head_addresses = np.array(self._head.addresses(), np.int64)
        self._compile()

    @property
    def nbytes(self) -> int:
        """Memory of the matrices that a token has to read."""
        matrices = [self._head, *(matrix for layer in self._layers for matrix in layer)]
        return sum(matrix.nbytes for matrix in matrices)

    def add_adapter(self, name: str) -> None:
        """Make known an adapter that was put on the model.

        Raises
        ------
        UsageError
            If the kernels cannot run it.
        """
        self._adapters[name] = PackedAdapter(self._model, name)

    def hidden_states(self, layout: StepLayout, adapter: str | None = None) -> Tensor:
        """Normalised hidden states (N, C) of a step's tokens, float32."""
        return self._run(layout.tokens, _step(layout), self._cache, adapter)

    def hidden_states_of(self, texts: list[list[int]], adapter: str | None = None) -> list[Tensor]:
        """Those of whole texts, (T, C) each, of which nothing is kept."""
        blocks = blocks_for(max(map(len, texts)))
        room = KVCache(self.config, blocks, torch.device("cpu"), self._cache_dtype)
        passing = _arrays(room)
        return [torch.cat(self._in_pieces(text, passing, adapter)) for text in texts]

    def _in_pieces(self, text: list[int], cache: Cache, adapter: str | None) -> list[Tensor]:
        pieces = []
        for start in range(0, len(text), TOKENS_AT_ONCE):
            tokens = text[start : start + TOKENS_AT_ONCE]
            places = np.arange(start, start + len(tokens))
            rows, blocks = np.zeros_like(places), np.arange(cache.keys.shape[1])[None]
            pieces.append(self._run(tokens, Step(places, places, rows, blocks), cache, adapter))
        return pieces

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (M, vocab_size) of hidden states (M, C), float32."""
        rows = np.ascontiguousarray(hidden.numpy())
        out = np.empty((len(rows), self.config.vocab_size), np.float32)
        quantized = np.empty((self._team.size, *rows.shape), np.int16)
        scales = np.empty((self._team.size, len(rows)), np.float32)
        self._team.run(
            lambda thread: project(
                self._head_addresses, self.config.vocab_size, rows,
                quantized[thread], scales[thread], out,
                self._team.counters, thread, self._team.size,
            )
        )  # fmt: skip
        return torch.from_numpy(out)

    def _run(
        self, tokens: list[int], step: Step, cache: Cache, adapter: str | None = None
    ) -> Tensor:
        changes, rank = self._no_changes, 0
        if adapter is not None:
            changes, rank = self._adapters[adapter].changes, self._adapters[adapter].largest_rank
        self._make_room(len(tokens), rank)
        embedded = self._embedding[np.asarray(tokens, np.int64)]
        hidden = np.empty_like(embedded)
        self._team.run(
            lambda thread: forward(
                self._weights, changes, step, self._scratch, embedded, cache, hidden,
                self._team.counters, thread, self._team.size,
            )
        )  # fmt: skip
        return torch.from_numpy(hidden)

    def _make_room(self, tokens: int, rank: int) -> None:
        before_tokens, before_rank = self._scratch.mixed.shape[0], self._scratch.low.shape[2]
        if before_tokens < tokens or before_rank < rank:
            tokens, rank = max(tokens, before_tokens), max(rank, before_rank)
            self._scratch = self._new_scratch(tokens, rank)

    def _new_scratch(self, tokens: int, rank: int) -> Scratch:
        is_rounded = self._cache_dtype == torch.int8
        return _scratch(self.config, tokens, self._team.size, is_rounded, rank)

    def _compile(self) -> None:
        """Run nothing, so that no request has to wait for it, and no thread for another's."""
        none = np.zeros(0, np.int64)
        self._run([], Step(none, none, none, np.zeros((1, 1), np.int64)), self._cache)
        self.logits(torch.zeros(0, self.config.hidden_size))
        prepare()


def _weights(model: CausalLM, layers: list[list[PackedMatrix]]) -> Weights:
    config = model.config

    def stacked(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        vectors = [layer.get_parameter(name).detach().float() for layer in model.model.layers]
        return torch.stack(vectors).numpy()

    none = np.ones((config.num_hidden_layers, config.head_dim), np.float32)
    windows = [config.window(layer) or NO_WINDOW for layer in range(config.num_hidden_layers)]
    return Weights(
        matrices=np.array([[one.addresses() for one in layer] for layer in layers], np.int64),
        attention_norm=stacked("input_layernorm.weight"),
        feed_forward_norm=stacked("post_attention_layernorm.weight"),
        query_norm=stacked("self_attn.q_norm.weight") if config.query_key_norm else none,
        key_norm=stacked("self_attn.k_norm.weight") if config.query_key_norm else none,
        final_norm=model.model.norm.get_parameter("weight").detach().float().numpy(),
        cos=model.model.get_buffer("rotary_cos").float().numpy(),
        sin=model.model.get_buffer("rotary_sin").float().numpy(),
        windows=np.array(windows, np.int64),
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_width=config.head_dim,
        feed_forward_width=config.intermediate_size,
        epsilon=np.float32(config.norm_eps),
        has_head_norms=config.query_key_norm,
    )


def _arrays(cache: KVCache) -> Cache:
    """The same memory in the kernels' order."""
    layers, blocks, places, heads, width = cache.keys.shape
    shape, scales = (layers, blocks, heads, places, width), (layers, -1, heads, places)
    return Cache(
        cache.keys.view(shape).numpy(),
        cache.values.view(shape).numpy(),
        cache.key_scales.view(scales).numpy(),
        cache.value_scales.view(scales).numpy(),
    )


def _step(layout: StepLayout) -> Step:
    longest = max(len(blocks) for blocks in layout.blocks)
    tables = [blocks + [0] * (longest - len(blocks)) for blocks in layout.blocks]
    return Step(
        np.array(layout.positions, np.int64),
        np.array(layout.slots, np.int64),
        np.array(layout.rows, np.int64),
        np.array(tables, np.int64),
    )


def _scratch(
    config: TransformerConfig, tokens: int, threads: int, is_rounded: bool, rank: int
) -> Scratch:
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    inner, width = config.intermediate_size, config.hidden_size
    widest = max(queries, inner, width)
    blocks = blocks_for(config.max_position_embeddings)

    def floats(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.empty(shape, np.float32)

    return Scratch(
        stream=floats(threads, tokens, width),
        normed=floats(threads, tokens, width),
        quantized=np.empty((threads, tokens, widest), np.int16),
        scales=floats(threads, tokens),
        queries=floats(tokens, queries),
        keys=floats(tokens, keys),
        values=floats(tokens, keys),
        found=floats(tokens, queries),
        gate=floats(tokens, inner),
        up=floats(tokens, inner),
        mixed=floats(tokens, width),
        scores=floats(threads, 2, blocks * BLOCK_SIZE),
        room=floats(threads, 2, blocks if is_rounded else 0, 1, BLOCK_SIZE, config.head_dim),
        low=floats(threads, tokens, rank),
        change=floats(threads, tokens, widest),
    )
