"""Stacked invertible networks: affine coupling blocks of K charts in one batched product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from learnedmanifolds.charts.jet import JetRule

# Bound of the log-scale: s = 1.4 * 0.636 * atan(r / 1.4), 0.636 near 2 / pi.
_CLAMP = 1.4
_GAIN = 1.4 * 0.636

Layer = tuple[Tensor, Tensor]
Subnet = tuple[Layer, Layer, Layer]
Activation = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def _affine(x: Tensor, layer: Layer) -> Tensor:
    weight, bias = layer
    if weight.dim() == 2:
        return torch.addmm(bias, x, weight)
    return torch.baddbmm(bias, x, weight)


def _affine_rows(rows: Tensor, layer: Layer) -> Tensor:
    weight, bias = layer
    if weight.dim() == 2:
        out = torch.matmul(rows, weight)
    elif rows.dim() == 4:
        # One product a chart; `matmul` would copy the weights for every row of the jet.
        out = torch.bmm(rows.flatten(1, 2), weight).view(*rows.shape[:3], -1)
    else:
        out = torch.matmul(rows, weight.unsqueeze(1))
    out.select(-3, 0).add_(bias)
    return out


def silu(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """SiLU with its first and second derivative."""
    gate = torch.sigmoid(u)
    value = u * gate
    rest = torch.rsub(gate, 1)
    slope = torch.addcmul(gate, value, rest)
    # Twice the slope without the value.
    return value, slope, rest * torch.lerp(value, slope, 2.0)


def relu(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ReLU with its first and second derivative; zero at the kink."""
    slope = (u > 0).to(u.dtype)
    return u * slope, slope, torch.zeros_like(u)


class Nonlinearity:
    """The functions in a network of coupling blocks, with their first and second derivatives.

    Parameters
    ----------
    published : bool
        Hidden layers are ReLU in the place of SiLU, and the log-scale is 1.4 * 0.636 * atan(r) in
        the place of 1.4 * 0.636 * atan(r / 1.4).
    """

    def __init__(self, published: bool) -> None:
        self.hidden = functional.relu if published else functional.silu
        self.hidden_jet: Activation = relu if published else silu
        self._unit = 1.0 if published else _CLAMP

    def log_scale(self, raw: Tensor) -> Tensor:
        """The bounded logarithm of a block's scale."""
        return _GAIN * torch.atan(raw / self._unit)

    def scale_jet(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The scale exp(log_scale(r)) with its first and second derivatives."""
        ratio = raw * (1 / self._unit)
        value = torch.atan(ratio).mul(_GAIN).exp()
        log_slope = torch.square(ratio).add(1).reciprocal().mul(_GAIN / self._unit)
        slope = value * log_slope
        # d/dr log_slope = -(2 / gain) ratio log_slope^2
        return value, slope, slope * torch.addcmul(log_slope, log_slope, ratio, value=-2 / _GAIN)


def _turned(x1: Tensor, x2: Tensor, turn: int) -> Tensor:
    x = torch.cat([x1, x2], dim=-1)
    return x.roll(turn, -1) if turn else x


class CouplingStack(nn.Module):
    """K invertible networks R^n -> R^n of affine coupling blocks with smooth subnets.

    A block updates both halves: y1 = exp(s(x2)) x1 + t(x2), y2 = exp(s'(y1)) x2 + t'(y1). Between
    blocks the coordinates shift cyclically, so that no pair of them is always on the same side. The
    subnets have two hidden layers, SiLU by default, so the network is smooth; it starts as the
    identity.

    Parameters
    ----------
    n_charts : int
        Number K of networks.
    width : int
        n >= 2.
    n_blocks, hidden : int
    generator : torch.Generator, optional
        Source of the initial weights.
    published : bool
        The published variant, see `Nonlinearity`; no shifts between blocks. Second derivatives are
        those inside a linear piece.

    References
    ----------
    Dinh, Sohl-Dickstein, Bengio, Real NVP, ICLR 2017; Ardizzone et al., ICLR 2019.
    """

    def __init__(
        self,
        n_charts: int,
        width: int,
        n_blocks: int,
        hidden: int,
        generator: torch.Generator | None = None,
        published: bool = False,
    ) -> None:
        super().__init__()
        self.n_charts, self.width = n_charts, width
        self._functions = Nonlinearity(published)
        self.first = round(width / 2) if published else width - width // 2
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for _ in range(n_blocks):
            for outer in (self.first, width - self.first):
                sizes = (width - outer, hidden, hidden, 2 * outer)
                for layer, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
                    bound = 0.0 if layer == 2 else fan_in**-0.5
                    draw = torch.rand(
                        n_charts, fan_in + 1, fan_out, generator=generator, dtype=torch.float32
                    )
                    draw = bound * (2 * draw - 1)
                    self.weights.append(nn.Parameter(draw[:, :-1].clone()))
                    self.biases.append(nn.Parameter(draw[:, -1:].clone()))
        # Multiples of the golden section spread the shifts evenly; the last one undoes the others.
        shifts = [int(b * width * (5**0.5 - 1) / 2) % width for b in range(n_blocks)] + [0]
        shifts = [0] * (n_blocks + 1) if published else shifts
        self._turns = [(a - b) % width for a, b in zip(shifts, shifts[1:], strict=False)]
        self._views: dict[int | None, list[tuple[Subnet, Subnet]]] = {}

    def blocks(self, chart: int | None) -> list[tuple[Subnet, Subnet]]:
        """The parameters, block by block, of one chart or of all."""
        # A chart's own views would tie its graphs together while its parameters are trained.
        if chart is not None and self.weights[0].requires_grad:
            return self._group(chart)
        if chart not in self._views:
            self._views[chart] = self._group(chart)
        return self._views[chart]

    def _apply(self, fn: Any, recurse: bool = True) -> CouplingStack:
        # The cached views share the parameters' memory; a move or a cast gives them new memory.
        self._views.clear()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        # load_state_dict(assign=True) puts other tensors in the place of the parameters.
        self._views.clear()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_views": {}}

    def _group(self, chart: int | None) -> list[tuple[Subnet, Subnet]]:
        layers = [
            (w, b) if chart is None else (w[chart], b[chart])
            for w, b in zip(self.weights, self.biases, strict=True)
        ]
        return [
            (
                (layers[i], layers[i + 1], layers[i + 2]),
                (layers[i + 3], layers[i + 4], layers[i + 5]),
            )
            for i in range(0, len(layers), 6)
        ]

    def _scale_shift(self, x: Tensor, net: Subnet) -> tuple[Tensor, Tensor]:
        x = self._functions.hidden(_affine(x, net[0]))
        x = self._functions.hidden(_affine(x, net[1]))
        raw, shift = _affine(x, net[2]).chunk(2, dim=-1)
        return self._functions.log_scale(raw), shift

    def forward(self, x: Tensor, chart: int | None = None) -> tuple[Tensor, Tensor]:
        """Image of x, (N, n) or (K, N, n), and log |det| of the Jacobian, (..., N)."""
        logs = []
        for (second_net, first_net), turn in zip(self.blocks(chart), self._turns, strict=True):
            x1, x2 = x[..., : self.first], x[..., self.first :]
            s, t = self._scale_shift(x2, second_net)
            x1 = torch.addcmul(t, s.exp(), x1)
            r, u = self._scale_shift(x1, first_net)
            x2 = torch.addcmul(u, r.exp(), x2)
            x = _turned(x1, x2, turn)
            logs += [s, r]
        return x, torch.cat(logs, dim=-1).sum(-1)

    def inverse(self, y: Tensor, chart: int | None = None) -> tuple[Tensor, Tensor]:
        """Inverse image of y and log |det| of the inverse's Jacobian."""
        logs = []
        blocks = zip(self.blocks(chart), self._turns, strict=True)
        for (second_net, first_net), turn in reversed(list(blocks)):
            y = y.roll(-turn, -1) if turn else y
            y1, y2 = y[..., : self.first], y[..., self.first :]
            r, u = self._scale_shift(y1, first_net)
            y2 = (y2 - u) * (-r).exp()
            s, t = self._scale_shift(y2, second_net)
            y1 = (y1 - t) * (-s).exp()
            y = torch.cat([y1, y2], dim=-1)
            logs += [s, r]
        return y, -torch.cat(logs, dim=-1).sum(-1)

    def push(self, rows: Tensor, rule: JetRule, chart: int | None = None) -> Tensor:
        """Jet rows (..., R, N, n) carried through the network, exact (Taylor mode)."""
        for (second_net, first_net), turn in zip(self.blocks(chart), self._turns, strict=True):
            x1, x2 = rows[..., : self.first], rows[..., self.first :]
            x1 = self._push_half(x1, x2, second_net, rule)
            x2 = self._push_half(x2, x1, first_net, rule)
            rows = _turned(x1, x2, turn)
        return rows

    def _push_half(self, moved: Tensor, fixed: Tensor, net: Subnet, rule: JetRule) -> Tensor:
        rows = fixed
        for layer in net[:2]:
            rows = _affine_rows(rows, layer)
            rows = rule.elementwise(rows, self._functions.hidden_jet)
        raw, shift = _affine_rows(rows, net[2]).chunk(2, dim=-1)
        scale = rule.elementwise(raw, self._functions.scale_jet)
        return rule.product(scale, moved).add_(shift)
