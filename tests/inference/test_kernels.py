"""The compiled kernels against PyTorch, and against themselves in other company."""

import math
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import UsageError
from modelwright.inference.block_manager import BlockManager
from modelwright.inference.kernel_network import KernelNetwork
from modelwright.inference.kernels.attention import attend
from modelwright.inference.kernels.functions import exponential, rms_norm
from modelwright.inference.kernels.linear import linear, quantize
from modelwright.inference.kernels.softmax import softmax
from modelwright.inference.kv_cache import KVCache
from modelwright.inference.model_runner import ModelRunner, Network
from modelwright.inference.networks import make_network, why_no_kernels
from modelwright.inference.packed_weights import PackedMatrix, pack_weight
from modelwright.inference.pytorch_network import PyTorchNetwork
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Scheduler
from modelwright.inference.sequence import Sequence
from modelwright.models.adapters.attach import adaptable_layers
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.module_tree import replace_module
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.transformer import CausalLM

FORMATS = ("float32", "bfloat16", "int8", "int4")
SHAPE = TransformerConfig(
    vocab_size=192,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=128,
    sliding_window=20,
    sliding_layers=(1,),
)
PLAIN = TransformerConfig(**{**vars(SHAPE), "sliding_window": None, "sliding_layers": ()})
GPT2 = TransformerConfig(**{**vars(PLAIN), "num_key_value_heads": 4, "head_dim": 16})
CPU = torch.device("cpu")


def randomised(config: TransformerConfig) -> CausalLM:
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * 0.2 if parameter.dim() > 1 else 1 + drawn * 0.3)
    return model.eval()


def new_cache(config: TransformerConfig) -> KVCache:
    return KVCache(config, 40, CPU, torch.float32)


def dequantized(matrix: PackedMatrix, outputs: int, width: int) -> torch.Tensor:
    """What a packed matrix stands for, worked out one weight after the other."""
    weights, scales = matrix.weights, matrix.scales
    if weights.dim() == 4:  # panels of rows, step after step
        weights = weights.transpose(1, 2).flatten(2).flatten(0, 1)[:outputs]
    if matrix.scales.dim() == 1:
        return weights.float() * scales[:, None] if len(scales) else weights.float()
    out = torch.empty(outputs, width)
    for row in range(outputs):
        for column in range(width):
            group, place = divmod(column, 32)
            byte = int(weights[row, group * 16 + place % 16])
            nibble = byte & 15 if place < 16 else byte >> 4
            value = nibble - 16 if nibble > 7 else nibble
            out[row, column] = value * scales[row, group]
    return out


def product(matrix: PackedMatrix, outputs: int, x: torch.Tensor, threads: int = 1) -> torch.Tensor:
    rows, width = x.shape
    y = np.full((rows, outputs), np.nan, np.float32)
    quantized, scales = np.empty((rows, width), np.int16), np.empty(rows, np.float32)
    quantize(x.numpy(), width, rows, quantized, scales)
    addresses = np.array(matrix.addresses(), np.int64)
    for thread in range(threads):
        linear(addresses, width, outputs, x.numpy(), quantized, scales, y, rows, thread, threads)
    return torch.from_numpy(y)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.integers(1, 7),
    st.integers(1, 21),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(0, 999),
)
def test_products(
    weight_format: str, rows: int, outputs: int, groups: int, threads: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, 32 * groups, generator=generator)
    x = torch.randn(rows, 32 * groups, generator=generator) * 3
    matrix = pack_weight(weight, weight_format)
    meant = dequantized(matrix, outputs, 32 * groups)
    got = product(matrix, outputs, x, threads)
    expected = x.double() @ meant.double().T
    # Inputs of integer weights are rounded to 1/4095 of the largest.
    rounding = 1e-6 if weight_format in ("float32", "bfloat16") else 0.5 / 4095
    bound = rounding * x.abs().amax(1, keepdim=True).double() * meant.abs().sum(1).double()
    assert ((got - expected).abs() <= bound + 1e-5).all()
    each = torch.cat([product(matrix, outputs, row[None]) for row in x])
    assert torch.equal(got, each)


# Rounding errs by 1/√12 of a step, which is a 127th of the largest of 256 or a 7.5th of that of 32.
@pytest.mark.parametrize(("weight_format", "error"), [("int8", 0.008), ("int4", 0.1)])
def test_rounded_weights_are_near(weight_format: str, error: float) -> None:
    weight = torch.randn(8, 256, generator=torch.Generator().manual_seed(0))
    matrix = pack_weight(weight, weight_format)
    difference = dequantized(matrix, 8, 256) - weight
    assert 0 < difference.norm() / weight.norm() < error


def test_what_is_not_finite_is_seen() -> None:
    for weight_format in FORMATS:
        matrix = pack_weight(torch.ones(5, 64), weight_format)
        for strange in (float("nan"), float("inf")):
            x = torch.ones(3, 64)
            x[1, 7] = strange
            y = product(matrix, 5, x)
            assert not torch.isfinite(y[1]).any()
            assert torch.isfinite(y[[0, 2]]).all()


def test_rows_of_zeros() -> None:
    for weight_format in FORMATS:
        matrix = pack_weight(torch.zeros(5, 64), weight_format)
        assert torch.equal(product(matrix, 5, torch.zeros(3, 64)), torch.zeros(3, 5))


@settings(max_examples=200, deadline=None)
@given(st.floats(-86, 88, width=32))
def test_exponential(x: float) -> None:
    assert exponential(np.float32(x)) == pytest.approx(math.exp(x), rel=4e-7)


def test_exponential_of_very_little_is_nearly_nothing() -> None:
    assert 0 <= exponential(np.float32(-1e30)) < 1e-37


def test_rms_norm() -> None:
    x, weight = torch.randn(2, 96, generator=torch.Generator().manual_seed(1))
    out = np.empty(96, np.float32)
    rms_norm(x.numpy(), weight.numpy(), np.float32(1e-6), out)
    expected = torch.nn.functional.rms_norm(x, (96,), weight, 1e-6)
    assert torch.allclose(torch.from_numpy(out), expected, atol=1e-6)


def attended(
    cache: torch.Tensor, blocks: torch.Tensor, queries: torch.Tensor, chosen: tuple[int, int],
    length: int, step: int, window: int,
) -> torch.Tensor:  # fmt: skip
    """What two queries find, and NaN for the others."""
    out = np.full(tuple(queries.shape), np.nan, np.float32)
    scale, scratch = np.float32(queries.shape[1] ** -0.5), np.empty((2, 80), np.float32)
    attend(
        queries.numpy(), *chosen, *cache.numpy(), 1, blocks.numpy(), length, step, window, scale,
        scratch, out,
    )  # fmt: skip
    return torch.from_numpy(out)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 69),
    st.integers(1, 80),
    st.sampled_from([16, 32, 64, 80, 96]),
    st.booleans(),
    st.integers(0, 99),
)
def test_attention(length: int, window: int, width: int, next_token: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(4, width, generator=generator) * 3
    cache = torch.randn(2, 9, 2, 16, width, generator=generator)
    blocks = torch.randperm(9, generator=generator)[:5]
    cache[:, blocks[-1], :, length % 16 if length > 64 else 0 :] = np.nan  # not of this text
    step = int(next_token and length < 64)
    both = attended(cache, blocks, queries, (0, 2), length, step, window)
    for query, known in ((0, length), (2, length + step)):
        seen = [rows[blocks, 1].flatten(0, 1)[max(0, known - window) : known] for rows in cache]
        expected = torch.nn.functional.scaled_dot_product_attention(queries[query, None], *seen)
        assert torch.allclose(both[query], expected[0], atol=1e-5)
        alone = attended(cache, blocks, queries, (query, query), known, 0, window)
        assert torch.equal(both[query], alone[query])
    assert both[[1, 3]].isnan().all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.01, 40), st.integers(0, 99))
def test_softmax(begin: int, count: int, scale: float, seed: int) -> None:
    scores = torch.randn(96, generator=torch.Generator().manual_seed(seed)) * 3
    end, factor = begin + count, np.float32(scale)
    expected = (scores[begin:end].double() * float(factor)).softmax(dim=0)
    weights = scores.numpy()
    total = softmax(weights, begin, end, 16, factor)
    assert torch.allclose(scores[begin:end].double() / total, expected, atol=1e-6)
    assert weights[begin:end].max() == 1


def test_softmax_of_what_is_not_finite() -> None:
    for strange in (float("nan"), float("inf")):
        scores = np.ones(32, np.float32)
        scores[5] = strange
        assert np.isnan(softmax(scores, 0, 20, 16, np.float32(1)))


def said(
    network: Network, texts: list[list[int]], starts: list[int], step_tokens: int
) -> dict[tuple[int, int], torch.Tensor]:
    """Logits behind every place of the texts, each first run up to its start."""
    scheduler = Scheduler(BlockManager(40), len(texts), step_tokens)
    for text, start in zip(texts, starts, strict=True):
        scheduler.add(Sequence(text[:start], SamplingParams(max_tokens=400), torch.Generator()))
    text_of = dict(zip(scheduler.waiting, texts, strict=True))
    logits: dict[tuple[int, int], torch.Tensor] = {}
    runner = ModelRunner(network, SHAPE.vocab_size)
    while scheduler.has_work:
        parts = scheduler.schedule()
        rows = iter(runner.run(parts))
        for part in parts:
            sequence = part.sequence
            sequence.computed = part.end
            if part.is_last:
                text = text_of[sequence]
                logits[texts.index(text), sequence.length] = next(rows)
                if sequence.length == len(text):
                    scheduler.remove(sequence)
                else:
                    sequence.append(text[sequence.length], b"")
    return logits


@pytest.fixture(scope="module")
def texts() -> list[list[int]]:
    random = Random(5)
    texts = [[random.randrange(192) for _ in range(90)] for _ in range(5)]
    texts[4][:40] = texts[3][:40]  # which share blocks
    return texts


STARTS = [60, 21, 1, 45, 50]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", ["qwen3", "llama"])
@torch.inference_mode()
def test_the_whole_pass_equals_pytorch(family: str, threads: int, texts: list[list[int]]) -> None:
    config = SHAPE if family == "qwen3" else in_family("llama", PLAIN)
    model, caches = randomised(config), [new_cache(config), new_cache(config)]
    expected = said(PyTorchNetwork(model, caches[0]), texts, STARTS, 64)
    got = said(KernelNetwork(model, caches[1], "float32", threads), texts, STARTS, 64)
    assert expected.keys() == got.keys()
    for place, row in expected.items():
        assert torch.allclose(row, got[place], atol=2e-4), place


@pytest.mark.parametrize("weight_format", FORMATS)
@torch.inference_mode()
def test_alone_and_in_company_are_equal_to_the_bit(
    weight_format: str, texts: list[list[int]]
) -> None:
    model, cache = randomised(SHAPE), new_cache(SHAPE)
    network = KernelNetwork(model, cache, weight_format)
    together = said(network, texts, STARTS, 64)
    for number, text in enumerate(texts):
        alone = said(network, [text], STARTS[number : number + 1], 7)
        for (_, length), row in alone.items():
            assert torch.equal(row, together[number, length])
        whole = network.logits(network.hidden_states_of([text])[0])
        for length in range(STARTS[number], 90):
            assert torch.equal(whole[length - 1], together[number, length])


def test_what_the_kernels_cannot_run_is_refused_or_left_to_pytorch() -> None:
    model = randomised(in_family("gpt2", GPT2))
    assert isinstance(make_network(model, new_cache(SHAPE), "auto"), PyTorchNetwork)
    with pytest.raises(UsageError, match="family gpt2"):
        make_network(model, new_cache(SHAPE), "int8")
    narrow = randomised(TransformerConfig(**{**vars(SHAPE), "hidden_size": 72}))
    assert "32" in (why_no_kernels(narrow) or "")


def test_auto_takes_the_weights_as_they_were_saved() -> None:
    model = randomised(SHAPE)
    exact = make_network(model, new_cache(SHAPE), "auto")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    half = make_network(model, new_cache(SHAPE), "auto")
    assert isinstance(exact, KernelNetwork)
    assert isinstance(half, KernelNetwork)
    assert exact.nbytes == 2 * half.nbytes


@pytest.mark.parametrize("group", [0, 32, 64])
@torch.inference_mode()
def test_compressed_models_run_as_they_are(group: int, texts: list[list[int]]) -> None:
    config = TransformerConfig(**{**vars(PLAIN), "intermediate_size": 128})
    model = randomised(config)
    for name in adaptable_layers(model):
        layer = model.get_submodule(name)
        assert isinstance(layer, torch.nn.Linear)
        rounded = Int4Linear.of(layer, group) if group else Int8Linear.of(layer)
        replace_module(model, name, rounded)
    network = make_network(model, new_cache(config), "auto")
    assert isinstance(network, KernelNetwork)
    got = network.hidden_states_of([texts[0]])[0]
    expected = model.hidden_states(torch.tensor([texts[0]]))[0]
    # What differs are the inputs, rounded to 1/4095 of the largest.
    assert (got - expected).norm() < 2e-3 * expected.norm()
    with pytest.raises(UsageError, match="compressed already"):
        make_network(model, new_cache(config), "float32")
