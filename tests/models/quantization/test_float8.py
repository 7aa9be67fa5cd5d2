"""Linear layers in float8: near the ordinary ones, and the same model in every other respect."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from modelwright.core.errors import UsageError
from modelwright.models.config import TransformerConfig
from modelwright.models.device import pick_precision
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.quantization.float8 import Float8Linear, use_float8
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.batches import Batch
from modelwright.training.budget import Horizon
from modelwright.training.checkpoint import TrainState
from modelwright.training.loop import Loop
from modelwright.training.objectives.next_token import next_token
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.schedule import WarmupStableDecay
from modelwright.training.timing import RandomBatches

CONFIG = TransformerConfig(96, 64, 128, 2, 2, 1, head_dim=32, max_position_embeddings=32)


def rounded(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What float8 keeps of a tensor, in float64."""
    scale = torch.finfo(dtype).max / x.abs().max()
    return (x * scale).to(dtype).double() / scale.double()


def layers(bias: bool = False) -> tuple[nn.Linear, Float8Linear]:
    plain = nn.Linear(64, 48, bias=bias)
    copied = nn.Linear(64, 48, bias=bias)
    copied.load_state_dict(plain.state_dict())
    return plain, Float8Linear(copied)


def distance(found: torch.Tensor | None, wanted: torch.Tensor | None) -> float:
    assert found is not None
    assert wanted is not None
    return float((found.detach() - wanted.detach()).norm() / wanted.detach().norm())


def test_products_are_those_of_rounded_tensors() -> None:
    torch.manual_seed(0)
    _, layer = layers()
    x = torch.randn(32, 64, requires_grad=True)
    slopes = torch.randn(32, 48).bfloat16()
    out = layer(x)
    out.backward(slopes)
    narrow_x, weight = (rounded(one.detach(), torch.float8_e4m3fn) for one in (x, layer.weight))
    gradient = rounded(slopes.float(), torch.float8_e5m2)
    assert out.dtype == torch.bfloat16
    assert distance(out.double(), narrow_x @ weight.t()) < 2**-8  # bfloat16's own rounding
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert x.grad.dtype == layer.weight.grad.dtype == torch.float32
    assert distance(x.grad.double(), gradient @ weight) < 1e-5
    assert distance(layer.weight.grad.double(), gradient.t() @ narrow_x) < 1e-5


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_layer_is_near_the_one_in_bfloat16(bias: bool, compiled: bool) -> None:
    if compiled and shutil.which("g++") is None:
        pytest.skip("compiling on a CPU needs g++")
    torch.manual_seed(0)
    plain, narrow = layers(bias)
    if compiled:
        narrow.compile()
    slopes = torch.randn(2, 16, 48)
    inputs = [torch.randn(2, 16, 64, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    for layer, x in zip((plain, narrow), inputs, strict=True):
        x.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        assert out.dtype == torch.bfloat16
        (out.float() * slopes).sum().backward()
    assert distance(inputs[1].grad, inputs[0].grad) < 0.08
    assert distance(narrow.weight.grad, plain.weight.grad) < 0.08
    if bias:
        assert distance(narrow.bias.grad, plain.bias.grad) < 0.01


def test_zeros_give_zeros_and_what_is_not_finite_shows() -> None:
    _, layer = layers()
    with torch.no_grad():
        layer.weight.zero_()
    x = torch.zeros(16, 64, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert float(x.grad.abs().max()) == 0
    assert float(layer.weight.grad.abs().max()) == 0
    x = torch.randn(16, 64)
    x[3, 5] = torch.inf
    assert not torch.isfinite(layer(x)).any()


def test_out_of_training_and_for_odd_rows_it_is_the_ordinary_layer() -> None:
    plain, narrow = layers()
    x = torch.randn(17, 64)
    assert torch.equal(narrow(x), plain(x))
    assert torch.equal(narrow.eval()(x[:16]), plain(x[:16]))


def test_layers_of_other_sizes_stay() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 24), nn.Sequential(nn.Linear(48, 16)))
    assert use_float8(model) == 2
    assert [type(layer) for layer in model[:2]] == [Float8Linear, nn.Linear]


def test_names_stay_and_a_folder_opens_as_before(tmp_path: Path) -> None:
    model = CausalLM(CONFIG)
    initialise(model, 0)
    parameters = dict(model.named_parameters())
    assert use_float8(model.model.layers) == 2 * 7
    assert type(model.lm_head) is nn.Linear
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in parameters.items())
    assert list(after) == list(parameters)
    save_model(model, tmp_path)
    tokens = torch.arange(16)[None]
    assert torch.equal(load_model(tmp_path).eval()(tokens), model.eval()(tokens))


class OneBatch(RandomBatches):
    """The same tokens in every step, to be learnt by heart."""

    def at(self, step: int) -> list[Batch]:
        return super().at(0)


def losses(is_float8: bool, recompute: bool = False) -> list[float]:
    """Of a few steps with Muon, from zero-initialised projections, over two micro-batches."""
    model = CausalLM(CONFIG)
    initialise(model, 0)
    model.model.recompute_activations = recompute
    if is_float8:
        use_float8(model.model.layers)
    seen = list[float]()
    Loop(
        model,
        Optimizers(model, OptimizerSettings("muon", 1e-2, 1e-2, 0.1)),
        forward_alone(model, next_token),
        OneBatch(96, 32, rows=4, micro_rows=2),
        WarmupStableDecay(0.0, 0.5),
        TrainState(0, 0, Horizon(20, None)),
        torch.bfloat16,
        listeners=[lambda report: seen.append(report.measures["loss"])],
    ).run()
    return seen


def test_training_follows_that_in_bfloat16() -> None:
    wanted, found = losses(False), losses(True)
    assert found[-1] < 0.9 * found[0]
    assert found == pytest.approx(wanted, abs=0.04)  # nats
    assert losses(True, recompute=True) == found


def test_where_the_hardware_does_not_multiply_it_it_is_refused() -> None:
    with pytest.raises(UsageError, match=r"compute capability 8\.9") as error:
        pick_precision("float8", torch.device("cpu"))
    assert "--precision auto" in str(error.value.fix)


@pytest.mark.parametrize(("capability", "is_allowed"), [((8, 0), False), ((8, 9), True)])
def test_gpus_are_told_by_their_capability(
    capability: tuple[int, int], is_allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    if is_allowed:
        assert pick_precision("float8", torch.device("cuda")) == torch.bfloat16
    else:
        with pytest.raises(UsageError, match="a GPU"):
            pick_precision("float8", torch.device("cuda"))
