"""Kernel charts: decoders linear in their weights, trusted where there are data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from learnedmanifolds.charts.anchored import AnchoredCharts, nearest_gaps
from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.jet import Jet, Pairs
from learnedmanifolds.charts.kernel_features import KernelFeatures, apply
from learnedmanifolds.charts.level_domain import LevelDomain
from learnedmanifolds.charts.splines import CubicSplines, knots

# Depth up to which the latent density falls, and how fast, in nats.
_SHELL, _FALL = 0.2, 15.0
# Times that draws outside the domain are brought nearer to the code that they are drawn about.
_HALVINGS = 5
# Of the tensors that charts are made of, one letter an axis; F = 1 + d + m, G a power of d.
_SHAPES = {
    "center": "n",
    "weights": "KFn",
    "centers": "Kmd",
    "width": "K",
    "border_low": "Kd",
    "border_step": "Kd",
    "border": "KG",
    "codes": "KAd",
    "mass": "KA",
}
_POSITIVE = ("width", "border_step")
# Sizes beyond which derivatives and distances would take far more room than the tensors.
_MOST = {"d": 16, "A": 4096}
# Coordinates that codes may have: those of a fit may leave the box by a little.
_FARTHEST = 1.2
# Kinds of devices that have no float64.
_SINGLE = {"mps"}


def _finest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type in _SINGLE else torch.float64


def _require_fitting(given: Mapping[str, Tensor], ambient_shape: tuple[int, ...]) -> None:
    """`ValueError` unless the tensors could be those of charts."""
    sizes = {"n": math.prod(ambient_shape)}
    for name, value in given.items():
        axes = _SHAPES[name]
        for axis, size in zip(axes, value.shape, strict=False):
            sizes.setdefault(axis, size)
        if tuple(value.shape) != tuple(sizes.get(axis) for axis in axes) or 0 in value.shape:
            raise ValueError(
                f"{name} must have shape ({', '.join(axes)}), with {sizes} of the others, "
                f"got {tuple(value.shape)}."
            )
        if name in _POSITIVE and not bool((value > 0).all()):
            raise ValueError(f"{name} must be positive, got {value.tolist()[:10]}.")
    if not bool((given["mass"] >= 0).all() and (given["mass"].sum(1) > 0).all()):
        raise ValueError("mass must be non-negative, and positive somewhere in every chart.")
    for axis, most in _MOST.items():
        if sizes[axis] > most:
            raise ValueError(
                f"codes must have shape (K, A, d), {axis} at most {most}, got {sizes}."
            )
    if sizes["F"] != 1 + sizes["d"] + sizes["m"]:
        raise ValueError(f"weights must have F = 1 + d + m features, got {sizes}.")
    knots(sizes["G"], sizes["d"])
    far = float(given["codes"].abs().max())
    if not far <= _FARTHEST:
        raise ValueError(f"codes must be in the box, at most {_FARTHEST}, got {far:.3g}.")


class KernelCharts(AnchoredCharts):
    """Charts x = c + W' phi(t): constant, linear terms and Gaussian bumps, with weights W.

    The mean of a Gaussian process. Derivatives of every order are closed. The left inverse is the
    nearest point, looked for in the at most F dimensions that a chart spans. The domain is a
    `LevelDomain`.

    Bumps nearly cancel, so tensors are kept and sums are taken in float64, whatever the dtype of points:
    that of the weights given, changed by ``to``. Devices without float64 (mps) take single precision,
    which loses up to 1e-7 times the largest weight.

    Parameters
    ----------
    center : Tensor, shape (n,)
        c.
    weights : Tensor, shape (K, F, n)
        Of 1, the coordinates, and the bumps.
    centers : Tensor, shape (K, m, d)
        Of the bumps; F = 1 + d + m.
    width : Tensor, shape (K,)
        Of the bumps.
    border_low, border_step : Tensor, shape (K, d)
    border : Tensor, shape (K, G)
        Of `CubicSplines`, the depth in the domain.
    codes : Tensor, shape (K, A, d)
        Coordinates of data all over the domain: where nearest points are looked for.
    ambient_shape : tuple of int
    mass : Tensor, shape (K, A), optional
        How often samples are drawn about each code, up to a factor a chart; by default equally often.
        Zero where codes are another chart's to draw about.

    Raises
    ------
    ValueError
        If shapes do not fit together, or numbers are out of range.

    References
    ----------
    Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2 and 2.7.
    """

    unit: Tensor
    center: Tensor
    weights: Tensor
    centers: Tensor
    width: Tensor
    border_low: Tensor
    border_step: Tensor
    border: Tensor
    mass: Tensor
    spread: Tensor
    frame: Tensor | None
    core: Tensor

    def __init__(
        self,
        center: Tensor,
        weights: Tensor,
        centers: Tensor,
        width: Tensor,
        border_low: Tensor,
        border_step: Tensor,
        border: Tensor,
        codes: Tensor,
        ambient_shape: tuple[int, ...],
        mass: Tensor | None = None,
    ) -> None:
        given = {
            "center": center,
            "weights": weights,
            "centers": centers,
            "width": width,
            "border_low": border_low,
            "border_step": border_step,
            "border": border,
            "codes": codes,
            "mass": torch.ones_like(codes[..., 0]) if mass is None else mass,
        }
        _require_fitting(given, ambient_shape)
        exact = _finest(codes.device)
        super().__init__(codes.to(exact), ambient_shape)
        # Of the dtype that points have.
        self.register_buffer(
            "unit", torch.ones_like(width[0], dtype=weights.dtype), persistent=False
        )
        for name, value in given.items():
            if name != "codes":
                self.register_buffer(name, value.to(exact))
        self._span()
        depth = self.domain.depth(self.anchors)
        if not bool((depth >= 0).all()):
            raise ValueError(
                f"codes must be in the domains that the border is of, got depth {float(depth.min()):.3g}."
            )

    @torch.no_grad()
    def _span(self) -> None:
        """Orthonormal bases (K, n, r) of what the charts span about c, and the weights in them."""
        frame, core = None, self.weights
        if self.weights.shape[2] > self.weights.shape[1]:
            frame, core = torch.linalg.qr(self.weights.mT)
            core = core.mT.contiguous()
        # Of the nearest others that draws are about, on all sides of each: far where these are few.
        near = torch.zeros_like(self.mass)
        for gaps, codes, mass in zip(near, self.anchors, self.mass, strict=True):
            gaps[mass > 0] = nearest_gaps(codes[mass > 0].unsqueeze(0), max(4, 2 * self.dim))[0]
        self.register_buffer("spread", near, persistent=False)
        self.register_buffer("frame", frame, persistent=False)
        self.register_buffer("core", core, persistent=False)
        self._place_anchors(apply(self.features(self.anchors, None), core, None))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Module's hook of ``to``: another device, or points of another dtype."""
        unit = fn(self.unit)
        exact = _finest(unit.device)
        super()._apply(lambda tensor: tensor.to(unit.device, exact), recurse)
        self.unit = unit
        return self

    @property
    def dtype(self) -> torch.dtype:
        """See `Charts.dtype`."""
        return self.unit.dtype

    def config(self) -> dict[str, object]:
        """See `Charts.config`; all else is in the tensors."""
        return {"ambient_shape": list(self.ambient_shape)}

    @classmethod
    def restored(cls, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Self:
        """See `Charts.restored`."""
        given: dict[str, Any] = {
            "codes" if name == "anchors" else name: value for name, value in state.items()
        }
        return cls(**given, **config)

    @property
    def domain(self) -> LevelDomain:
        """See `Charts.domain`."""
        level = CubicSplines(self.border_low, self.border_step, self.border)
        return LevelDomain(level, self.anchors)

    @property
    def features(self) -> KernelFeatures:
        """Phi."""
        return KernelFeatures(self.centers, self.width)

    def draw(self, chart: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Charts.draw`; codes of data, moved by about as far as others are from them."""
        share = self.mass.cpu().double().cumsum(1)
        # One increasing sequence for all charts, each between its number and the next.
        levels = share / share[:, -1:] + torch.arange(len(share)).unsqueeze(1)
        level = chart.cpu() + torch.rand(chart.shape, generator=generator, dtype=torch.float64)
        pick = (
            torch.searchsorted(levels.flatten(), level, right=True) - share.shape[1] * chart.cpu()
        )
        pick = pick.clamp(max=share.shape[1] - 1)
        noise = torch.randn(*chart.shape, self.dim, generator=generator, dtype=torch.float64)
        own = chart.to(self.anchors.device)
        pick = pick.to(own)
        spread = self.spread[own, pick].cpu().double().unsqueeze(-1)
        codes = self.anchors[own, pick].cpu().double()
        for _ in range(_HALVINGS):
            out = self.domain.depth((codes + spread * noise).to(self.unit), own) < 0
            noise[out.cpu()] /= 2
        coords = (codes + spread * noise).to(self.unit)
        return self.domain.confine(coords, own).cpu().double()

    def log_latent(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_latent`; even inside the domain, falling near its border and beyond."""
        return -_FALL * (_SHELL - self.domain.depth(coords, chart)).clamp(min=0)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        seen = apply(self.features(coords, chart), self.core, chart).to(coords)
        return self.center.to(coords) + self._out_of(seen, chart)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; in closed form."""
        seen = self.local_jet(coords, chart, tangents, pairs)
        made = Jet(*(self._out_of(part, chart) for part in seen))
        return made._replace(value=made.value + self.center.to(coords))

    def local_jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `AnchoredCharts.local_jet`."""
        rows = self.features.jet(coords, chart, tangents, pairs)
        rows = apply(rows, self.core, chart).to(coords)
        n_tangents = tangents.shape[-3]
        value, first, second = rows.split_with_sizes((1, n_tangents, len(pairs)), -3)
        return Jet(value.squeeze(-3), first, second)

    def seen_from(self, x: Tensor, chart: int | None = None) -> Tensor:
        if self.frame is None:
            return x - self.center.to(x)
        frame = self.frame if chart is None else self.frame[chart]
        return (x - self.center.to(x)) @ frame.to(x)

    def _out_of(self, seen: Tensor, chart: int | None) -> Tensor:
        """Vectors (..., n) of the space, from what is seen of them (..., r)."""
        if self.frame is None:
            return seen
        frame = self.frame if chart is None else self.frame[chart]
        extra = seen.dim() - frame.dim() if chart is None else 0
        frame = frame.to(seen).mT
        return seen @ frame.view(*frame.shape[:-2], *[1] * extra, *frame.shape[-2:])

    def _distance(self, x: Tensor, seen: Tensor, gap: Tensor) -> Tensor:
        square = (x - self.center).square().sum(-1) - seen.square().sum(-1)
        return (gap.square() + square.clamp(min=0)).sqrt()
