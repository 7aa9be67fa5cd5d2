"""Optimizers against plain float64 references; groups, rates, state."""

import math

import pytest
import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.names import OptimizerName
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.optimizers.muon import Muon
from modelwright.training.optimizers.orthogonalise import orthogonalise
from modelwright.training.optimizers.parameter_groups import parameter_groups

SHAPES = [(24, 24), (8, 24), (24, 8), (72, 24), (24, 72), (16, 24), (1, 5), (5, 1)]


def newton_schulz(matrix: Tensor) -> Tensor:
    """The iteration as in Jordan et al. 2024, one matrix at a time."""
    x: Tensor = matrix.double() / matrix.double().norm()
    if x.shape[0] > x.shape[1]:
        return newton_schulz(x.T).T
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + torch.mm(-4.7750 * gram + 2.0315 * torch.mm(gram, gram), x)
    return x


def random_matrix(rows: int, columns: int, seed: int, spread: float = 1.0) -> Tensor:
    """Gaussian; with a larger spread its singular values lie further apart."""
    generator = torch.Generator().manual_seed(seed)
    left, values, right = torch.linalg.svd(
        torch.randn(rows, columns, generator=generator, dtype=torch.float64), full_matrices=False
    )
    return torch.mm(left * values**spread, right)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_orthogonalise_equals_the_reference(shape: tuple[int, int], spread: float) -> None:
    stack = torch.stack([random_matrix(shape[0], shape[1], seed, spread) for seed in range(3)])
    result = orthogonalise(stack.float(), torch.float32)
    for matrix, found in zip(stack, result, strict=True):
        expected = newton_schulz(matrix)
        assert (found - expected).norm() / expected.norm() < 1e-3
        coarse = orthogonalise(matrix.float()[None], torch.bfloat16)[0]
        assert coarse.dtype == torch.bfloat16
        assert (coarse - expected).norm() / expected.norm() < 0.1


@pytest.mark.parametrize("shape", [(24, 24), (72, 24), (24, 72)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    values = torch.linalg.svdvals(
        orthogonalise(random_matrix(*shape, 0).float()[None], dtype).float()
    )
    largest = torch.linalg.svdvals(random_matrix(*shape, 0) / random_matrix(*shape, 0).norm())
    assert values.max() < 1.3
    assert values[0][largest > 0.01].min() > 0.6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matrices_of_low_rank_stay_bounded(dtype: torch.dtype) -> None:
    for rank in (0, 1, 3):
        left, right = random_matrix(96, max(rank, 1), 1), random_matrix(max(rank, 1), 32, 2)
        matrix = ((left @ right) * (rank > 0)).float()
        result = orthogonalise(matrix[None], dtype)[0].float()
        assert torch.linalg.matrix_norm(result, 2) < 1.3
        assert torch.isfinite(result).all()
        assert (result != 0).any() == (rank > 0)


def reference_muon(
    weight: Tensor, gradients: list[Tensor], rate: float, decay: float, momentum: float = 0.95
) -> Tensor:
    w, average = weight.double(), torch.zeros_like(weight, dtype=torch.float64)
    for gradient in gradients:
        g = gradient.double()
        average = momentum * average + (1 - momentum) * g
        update = newton_schulz(momentum * average + (1 - momentum) * g)
        w = w - rate * decay * w - rate * 0.2 * math.sqrt(max(w.shape)) * update
    return w


def test_muon_equals_the_reference() -> None:
    weights = [nn.Parameter(random_matrix(*shape, 7).float()) for shape in SHAPES * 2]
    gradients = [
        [
            random_matrix(w.shape[0], w.shape[1], 100 + 10 * step + i).float()
            for i, w in enumerate(weights)
        ]
        for step in range(3)
    ]
    expected = [
        reference_muon(w.detach(), [step[i] for step in gradients], 0.02, 0.1)
        for i, w in enumerate(weights)
    ]
    muon = Muon([{"params": weights, "lr": 0.02, "weight_decay": 0.1}], dtype=torch.float32)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient
        muon.step()
    for weight, wanted in zip(weights, expected, strict=True):
        assert (weight - wanted).norm() / wanted.norm() < 1e-4


def test_muon_agrees_with_torch() -> None:
    ours, theirs = (nn.Parameter(random_matrix(24, 72, 3).float()) for _ in range(2))
    muon = Muon([{"params": [ours], "lr": 0.02, "weight_decay": 0.1}], dtype=torch.bfloat16)
    peer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for step in range(3):
        ours.grad = theirs.grad = random_matrix(24, 72, 20 + step).float()
        muon.step()
        peer.step()  # type: ignore[no-untyped-call]
    assert (ours - theirs).norm() / theirs.norm() < 0.01


def test_parameters_without_gradient_are_left_alone() -> None:
    used, unused = (nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    used.grad = torch.eye(4)
    Muon([{"params": [used, unused], "lr": 0.1, "weight_decay": 0.1}]).step()
    assert not torch.equal(used, torch.ones(4, 4))
    assert torch.equal(unused, torch.ones(4, 4))


def test_large_stacks_are_split_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for largest in (1 << 26, 600):
        monkeypatch.setattr("modelwright.training.optimizers.muon.LARGEST_STACK", largest)
        weights = [nn.Parameter(random_matrix(24, 24, seed).float()) for seed in range(3)]
        for seed, weight in enumerate(weights):
            weight.grad = random_matrix(24, 24, 50 + seed).float()
        Muon([{"params": weights, "lr": 0.1, "weight_decay": 0.0}], dtype=torch.float32).step()
        results.append(torch.stack([w.detach() for w in weights]))
    assert torch.allclose(results[0], results[1], atol=1e-6)


def test_adamw_equals_the_reference(tiny_config: TransformerConfig) -> None:
    model = CausalLM(tiny_config)
    initialise(model, 0)
    chosen = OptimizerSettings("adamw", 0.01, 0.5, 0.1)
    optimizers = Optimizers(model, chosen)
    expected = {n: p.detach().double() for n, p in model.named_parameters()}
    first = {n: torch.zeros_like(w) for n, w in expected.items()}
    second = {n: torch.zeros_like(w) for n, w in expected.items()}
    multipliers = [0.5, 1.0, 0.25]
    for step, multiplier in enumerate(multipliers, 1):
        for number, (name, parameter) in enumerate(model.named_parameters()):
            generator = torch.Generator().manual_seed(100 * step + number)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            g, w = parameter.grad.double(), expected[name]
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.95 * second[name] + 0.05 * g**2
            update = (first[name] / (1 - 0.9**step)) / (
                (second[name] / (1 - 0.95**step)).sqrt() + 1e-10
            )
            decay = 0.1 if w.dim() == 2 else 0.0
            expected[name] = w - 0.01 * multiplier * (decay * w + update)
        optimizers.step(multiplier)
    for name, parameter in model.named_parameters():
        assert (parameter - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_is_in_one_group(tied: bool, tiny_config: TransformerConfig) -> None:
    config = TransformerConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=1, num_key_value_heads=1, tie_word_embeddings=tied,
    )  # fmt: skip
    model = CausalLM(config)
    groups = parameter_groups(model)
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(dict(model.named_parameters()))
    assert list(groups["embeddings"]) == ["model.embed_tokens.weight"]
    assert list(groups["head"]) == ([] if tied else ["lm_head.weight"])
    assert len(groups["matrices"]) == 2 * 7
    assert all(p.dim() == 1 for p in groups["vectors"].values())


def test_frozen_parameters_are_in_no_group(tiny_model: CausalLM) -> None:
    for parameter in tiny_model.parameters():
        parameter.requires_grad_(False)
    assert not any(parameter_groups(tiny_model).values())


def test_each_group_has_its_rate_and_decay() -> None:
    plain = OptimizerSettings("muon", 0.1, 0.2, 0.3)
    assert [plain.rate(name) for name in ("matrices", "embeddings", "head", "vectors")] == [
        0.2, 0.1, 0.1, 0.1,
    ]  # fmt: skip
    assert [plain.decay(name) for name in ("matrices", "embeddings", "head", "vectors")] == [
        0.3, 0.3, 0.3, 0.0,
    ]  # fmt: skip
    assert OptimizerSettings("adamw", 0.1, 0.2, 0.3).rate("matrices") == 0.1


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_state_is_restored_to_the_bit(tiny_config: TransformerConfig, name: OptimizerName) -> None:
    def model() -> CausalLM:
        made = CausalLM(tiny_config)
        initialise(made, 0)
        return made

    def step(model: CausalLM, optimizers: Optimizers, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizers.step(1.0 / number)

    chosen = OptimizerSettings(name, 1e-2, 2e-2, 0.1)
    whole, part, rest = model(), model(), model()
    of_whole, of_part, of_rest = (Optimizers(m, chosen) for m in (whole, part, rest))
    for number in (1, 2, 3, 4):
        step(whole, of_whole, number)
    for number in (1, 2):
        step(part, of_part, number)
    rest.load_state_dict(part.state_dict())
    of_rest.load_state_tensors(
        {key: value.clone() for key, value in of_part.state_tensors().items()}
    )
    for number in (3, 4):
        step(rest, of_rest, number)
    for (key, wanted), found in zip(whole.named_parameters(), rest.parameters(), strict=True):
        assert torch.equal(wanted, found), key
    with pytest.raises(InputError, match="does not"):
        of_rest.load_state_tensors({"other.weight/momentum_buffer": torch.zeros(1)})
