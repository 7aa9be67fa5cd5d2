"""A linear layer with low-rank changes beside it: LoRA, DoRA and PiSSA.

Names are those of PEFT, so that several adapters lie on one base: ``base_layer``,
``lora_A.<adapter>``, ``lora_B.<adapter>``, ``lora_magnitude_vector.<adapter>``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.quantization.base import linear_of
from modelwright.models.quantization.linear import QuantizedLinear


class LoraLinear(nn.Module):
    """The layer W · x + b with changes of W, of which one at most is on.

    With s the scaling, A (rank, in) and B (out, rank) the change is

    - LoRA: W + s · B · A;
    - PiSSA: the same, from W - s · B₀ · A₀ on, where B₀ and A₀ are what B and A began as. The base
      itself is not changed, so that it is there as it was when the adapter is off;
    - DoRA: each row of the above, divided by its norm and multiplied by the learnt magnitude. No
      gradient flows through the norm (section 4.3 of the paper).

    Adapters are float32 whatever the base is. Outside of autocast their products are made in
    float32, and the sum gets the base's type.

    Parameters
    ----------
    base_layer : nn.Linear or QuantizedLinear
        The layer that it takes the place of.

    Attributes
    ----------
    active : str or None
        The adapter that is on.
    configs : dict of str to AdapterConfig
        Those that are there.
    """

    def __init__(self, base_layer: nn.Linear | QuantizedLinear):
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        self.lora_A, self.lora_B = nn.ModuleDict(), nn.ModuleDict()
        self.lora_dropout = nn.ModuleDict()
        self.lora_magnitude_vector = nn.ParameterDict()
        self.pissa_A, self.pissa_B = nn.ParameterDict(), nn.ParameterDict()
        self.active: str | None = None
        self.configs = dict[str, AdapterConfig]()
        self.scaling = dict[str, float]()

    def add(
        self, adapter: str, config: AdapterConfig, layer: str, generator: torch.Generator
    ) -> None:
        """Put an adapter here that does not change the output yet, frozen and off.

        Parameters
        ----------
        adapter : str
            Its name.
        config : AdapterConfig
            What it is made of.
        layer : str
            Name of this layer in the model, for the patterns of the config.
        generator : torch.Generator
            For A, on the CPU.
        """
        rank, scaling = config.rank_of(layer), config.scaling_of(layer)
        weight = _weight_of(self.base_layer)
        if config.initialisation == "pissa":
            down, up = principal_parts(weight, rank, scaling)
            self.pissa_A[adapter] = nn.Parameter(down.clone(), requires_grad=False)
            self.pissa_B[adapter] = nn.Parameter(up.clone(), requires_grad=False)
        else:
            # Uniform within 1/√in, as PEFT: Kaiming's rule with a = √5.
            bound = self.in_features**-0.5
            down = (torch.rand(rank, self.in_features, generator=generator) * 2 - 1) * bound
            up = torch.zeros(self.out_features, rank)
        self.lora_A[adapter] = linear_of(down.to(weight.device), None).requires_grad_(False)
        self.lora_B[adapter] = linear_of(up.to(weight.device), None).requires_grad_(False)
        is_random = config.dropout > 0
        self.lora_dropout[adapter] = nn.Dropout(config.dropout) if is_random else nn.Identity()
        if config.dora:
            norms = _row_norms(weight)
            self.lora_magnitude_vector[adapter] = nn.Parameter(norms, requires_grad=False)
        self.configs[adapter], self.scaling[adapter] = config, scaling
        self.train(self.base_layer.training)

    def remove(self, adapter: str) -> None:
        """Take an adapter away."""
        for parts in (self.lora_A, self.lora_B, self.lora_dropout, self.lora_magnitude_vector,
                      self.pissa_A, self.pissa_B):  # fmt: skip
            if adapter in parts:
                del parts[adapter]
        del self.configs[adapter], self.scaling[adapter]
        if self.active == adapter:
            self.active = None

    def trained(self, adapter: str) -> list[nn.Parameter]:
        """The parameters of an adapter that training changes."""
        parameters = [self.lora_A[adapter].weight, self.lora_B[adapter].weight]
        if adapter in self.lora_magnitude_vector:
            parameters.append(self.lora_magnitude_vector[adapter])
        return [one for one in parameters if isinstance(one, nn.Parameter)]

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        result: Tensor = self.base_layer(x)
        adapter = self.active
        if adapter is None or adapter not in self.configs:
            return result
        dtype, given = result.dtype, x.dtype
        if not torch.is_autocast_enabled(x.device.type):
            x = x.float()
        kept = self.lora_dropout[adapter](x)
        # Scaled between the two, where there are fewest numbers.
        change: Tensor = self.lora_B[adapter](self.lora_A[adapter](kept) * self.scaling[adapter])
        result = self._start(result, x, adapter)
        if adapter not in self.lora_magnitude_vector:
            return (result + change).to(dtype)
        plain = result
        if self.training and self.configs[adapter].dropout > 0:
            plain = self._start(self.base_layer(kept.to(given)), kept, adapter)
        if self.base_layer.bias is not None:
            plain = plain - self.base_layer.bias
        ratio: Tensor = self.lora_magnitude_vector[adapter] / self._norms(adapter)
        return (result + (ratio - 1) * plain + ratio * change).to(dtype)

    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """A (rank, in) and B (out, rank) of the whole change of the base, float32.

        With PiSSA that has twice the rank: B · A - B₀ · A₀ is the product of the two side by side.
        """
        down, up = self.lora_A[adapter].weight, self.lora_B[adapter].weight
        assert isinstance(down, Tensor)
        assert isinstance(up, Tensor)
        if adapter in self.pissa_A:
            down = torch.cat([down, self.pissa_A[adapter]])
            up = torch.cat([up, -self.pissa_B[adapter]], 1)
        return down.detach(), up.detach()

    @torch.no_grad()
    def merged_weight(self, adapter: str) -> Tensor:
        """The weight (out, in) with the change in it, float32."""
        weight = self._direction(adapter)
        if adapter in self.lora_magnitude_vector:
            weight = weight * (self.lora_magnitude_vector[adapter] / _row_norms(weight))[:, None]
        return weight

    def _start(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """What the adapter's change is added to: with PiSSA the base without principal parts."""
        if adapter not in self.pissa_A:
            return result
        parts = F.linear(x, self.pissa_A[adapter]) * self.scaling[adapter]
        return result - F.linear(parts, self.pissa_B[adapter])

    def _direction(self, adapter: str) -> Tensor:
        """The changed weight before DoRA's magnitudes, (out, in), float32."""
        down, up = self.factors(adapter)
        with torch.autocast(down.device.type, enabled=False):
            return torch.addmm(_weight_of(self.base_layer), up, down, alpha=self.scaling[adapter])

    @torch.no_grad()
    def _norms(self, adapter: str) -> Tensor:
        return _row_norms(self._direction(adapter))


def principal_parts(weight: Tensor, rank: int, scaling: float) -> tuple[Tensor, Tensor]:
    """A = √(Σ/s) · Vᵀ (rank, in) and B = U · √(Σ/s) (out, rank) of the largest singular values.

    Equations 2 and 3 of the PiSSA paper; s · B · A is the best approximation of that rank.
    """
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    roots = (values[:rank] / scaling).sqrt()
    return (roots[:, None] * right[:rank]).contiguous(), (left[:, :rank] * roots).contiguous()


def _weight_of(layer: nn.Linear | QuantizedLinear) -> Tensor:
    """The weight (out, in) in float32."""
    return (
        layer.dequantize() if isinstance(layer, QuantizedLinear) else layer.weight.detach().float()
    )


def _row_norms(weight: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(weight, dim=1)
    return norms.clamp(min=1e-12)  # a new model has rows of zeros, which must not become 0/0
