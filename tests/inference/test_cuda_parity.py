"""On a GPU: captured steps, kernels and sampling against plain PyTorch and the CPU."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from test_static_steps import MODELS, SHAPES

from modelwright.inference.block_manager import BLOCK_SIZE, BlockManager
from modelwright.inference.decode_attention import gathered_attention, has_triton
from modelwright.inference.engine import Engine
from modelwright.inference.kv_cache import KVCache
from modelwright.inference.pytorch_network import PyTorchNetwork
from modelwright.inference.sampler import SamplingRows, make_generator, sample
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Part
from modelwright.inference.sequence import Sequence
from modelwright.inference.static_network import StaticNetwork
from modelwright.inference.step_layout import StepLayout
from modelwright.models.pretrained import load_model
from modelwright.tokens.tokenizer import Tokenizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_a_captured_step_equals_a_plain_one(name: str) -> None:
    model = deepcopy(MODELS[name]).to(CUDA)
    cache = KVCache(model.config, 60, CUDA, torch.float32)
    plain, static = PyTorchNetwork(model, cache), StaticNetwork(model, cache, 9)
    assert static.captures
    static.warm_up()
    for lengths in ([3], [70, 1, 33], [9, 17, 40, 64, 2], [5]):
        blocks, sequences = BlockManager(60), []
        for number, length in enumerate(lengths):
            tokens = [(7 * place + number) % 64 for place in range(length)]
            one = Sequence(tokens, SamplingParams(max_tokens=9), torch.Generator())
            assert blocks.reserve(one, length + 3)
            if length > 1:
                plain.hidden_states(StepLayout([Part(one, 0, length - 1)]))
            sequences.append(one)
        for token in range(3):
            parts = [Part(one, one.length - 1, 1) for one in sequences]
            expected = plain.hidden_states(StepLayout(parts)).clone()
            got = static.hidden_states(StepLayout(parts))
            torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
            for one in sequences:
                one.append(token, b"")


@pytest.mark.skipif(not has_triton(CUDA), reason="triton is not installed")
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize(
    ("batch", "heads", "kv_heads", "width"), [(1, 32, 8, 64), (5, 4, 4, 80), (40, 16, 2, 128)]
)
@pytest.mark.parametrize("window", [None, 100])
def test_the_attention_kernel_equals_plain_pytorch(
    dtype: torch.dtype,
    bound: float,
    batch: int,
    heads: int,
    kv_heads: int,
    width: int,
    window: int | None,
) -> None:
    from modelwright.inference.triton_attention import paged_attention

    torch.manual_seed(batch)
    columns = 80
    table = torch.randperm(batch * columns, device=CUDA).view(batch, columns).int()
    shape = (batch * columns, BLOCK_SIZE, kv_heads, width)
    keys, values = (torch.randn(shape, device=CUDA).to(dtype) for _ in range(2))
    queries = torch.randn(batch, heads, width, device=CUDA).to(dtype)
    lengths = torch.randint(1, columns * BLOCK_SIZE + 1, (batch,), device=CUDA)
    got = paged_attention(queries, keys, values, table, lengths, window)
    wide = [one.double() for one in (queries, keys, values)]
    expected = gathered_attention(*wide, table, lengths, window)
    assert (got.double() - expected).norm() / expected.norm() < bound


def test_tokens_drawn_on_the_device_are_those_of_the_cpu() -> None:
    dice = torch.Generator().manual_seed(1)
    logits = torch.randn(64, 500, generator=dice) * 3
    params = [
        [
            SamplingParams(1, temperature=0.0),
            SamplingParams(1, temperature=1.0, seed=row),
            SamplingParams(1, temperature=0.7, seed=row, top_k=20, top_p=0.9),
            SamplingParams(1, temperature=1.2, seed=row, min_p=0.02),
        ][row % 4]
        for row in range(64)
    ]
    found = [
        sample(
            logits.to(device),
            SamplingRows(params, torch.device(device)),
            [make_generator(one) for one in params],
        ).cpu()
        for device in ("cpu", "cuda")
    ]
    assert torch.equal(*found)


def test_texts_are_those_of_the_cpu_alone_and_in_company(model_folder: Path) -> None:
    tokenizer = Tokenizer.load(model_folder)
    prompts = [tokenizer.encode(text) for text in ("The quick", "def add(a, b)", "世界", "x")]
    params = SamplingParams(max_tokens=30, temperature=1.0, seed=5)
    found = []
    for device, ahead in (("cpu", False), ("cuda", False), ("cuda", True)):
        model = load_model(model_folder, torch.device(device))  # float32 on both
        engine = Engine(model, tokenizer, runs_ahead=ahead)
        together = engine.generate(prompts, params)
        assert engine.generate(prompts[:1], params)[0] == together[0]
        found.append([one.tokens for one in together])
    assert found[0] == found[1] == found[2]


def test_bfloat16_runs_from_prompt_to_end(model_folder: Path) -> None:
    engine = Engine.load(model_folder, device="cuda", max_sequences=3)
    params = SamplingParams(max_tokens=20, temperature=0.0, ignores_end=True)
    found = engine.generate([[5, 6, 7], [8] * 20, [9], [10, 11]], params)
    assert [len(one.tokens) for one in found] == [20] * 4
