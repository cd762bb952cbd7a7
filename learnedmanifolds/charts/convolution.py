"""Stacked invertible networks on images: convolutional coupling blocks and orthogonal up-sampling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from learnedmanifolds.charts.coupling import Nonlinearity
from learnedmanifolds.charts.jet import JetRule

_KERNEL = 3


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, chart: int | None) -> Tensor:
    """Convolution of (N, C, H, W), or of all charts (K, N, C, H, W) in one call."""
    if chart is not None:
        weight, bias = weight[chart], None if bias is None else bias[chart]
    trained = weight.requires_grad and torch.is_grad_enabled()
    slow = x.dtype == torch.float64 and x.device.type == "cpu"
    if weight.shape[-3] > weight.shape[-4] and slow and not trained:
        y = _gather(x, weight)
        return y if bias is None else y + bias.unsqueeze(-2)[..., None, None]
    if chart is not None:
        return functional.conv2d(x, weight, bias, padding="same")
    count = len(x)
    y = functional.conv2d(
        x.transpose(0, 1).flatten(1, 2),
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        padding="same",
        groups=count,
    )
    return y.unflatten(1, (count, -1)).transpose(0, 1)


def _gather(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution to fewer channels: one product for all taps, then a sum of shifted outputs.

    In float64 on a processor, torch's own takes up to 15 times as long.
    """
    height, width = x.shape[-2:]
    padded = functional.pad(x, (1, 1, 1, 1)).flatten(-2)
    taps = weight.movedim((-2, -1), (-4, -3)).flatten(-4, -2).unsqueeze(-3)
    parts = (taps @ padded).unflatten(-2, (_KERNEL**2, -1)).unflatten(-1, (height + 2, width + 2))
    shifts = [(i, j) for i in range(_KERNEL) for j in range(_KERNEL)]
    views = [parts[..., tap, :, i : i + height, j : j + width] for tap, (i, j) in enumerate(shifts)]
    total = views[0] + views[1]
    for view in views[2:]:
        total = total + view
    return total


class ConvolutionStack(nn.Module):
    """K invertible networks on images (C, H, W): coupling blocks with convolutional subnets.

    A block updates both halves of the channels, as in `CouplingStack`; the subnets are two 3 x 3
    convolutions with zero padding around one hidden layer. It starts as the identity.

    Parameters
    ----------
    n_charts, n_channels, n_blocks, hidden : int
        C >= 2; ``hidden`` channels.
    generator : torch.Generator, optional
        Source of the initial weights.
    published : bool
        See `Nonlinearity`.
    """

    def __init__(
        self,
        n_charts: int,
        n_channels: int,
        n_blocks: int,
        hidden: int,
        generator: torch.Generator | None = None,
        published: bool = False,
    ) -> None:
        super().__init__()
        self._functions = Nonlinearity(published)
        self.first = round(n_channels / 2)
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for _ in range(n_blocks):
            for outer in (self.first, n_channels - self.first):
                sizes = (n_channels - outer, hidden, 2 * outer)
                for layer, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
                    bound = 0.0 if layer else (fan_in * _KERNEL**2) ** -0.5
                    shape = (n_charts, fan_out, fan_in * _KERNEL**2 + 1)
                    draw = bound * (
                        2 * torch.rand(shape, generator=generator, dtype=torch.float32) - 1
                    )
                    kernel = draw[..., :-1].unflatten(-1, (fan_in, _KERNEL, _KERNEL))
                    self.weights.append(nn.Parameter(kernel.clone()))
                    self.biases.append(nn.Parameter(draw[..., -1].clone()))

    @property
    def n_subnets(self) -> int:
        """Two a block."""
        return len(self.weights) // 2

    def _layer(self, x: Tensor, index: int, chart: int | None, bias: bool = True) -> Tensor:
        return _convolve(x, self.weights[index], self.biases[index] if bias else None, chart)

    def _scale_shift(self, x: Tensor, net: int, chart: int | None) -> tuple[Tensor, Tensor]:
        hidden = self._functions.hidden(self._layer(x, 2 * net, chart))
        raw, shift = self._layer(hidden, 2 * net + 1, chart).chunk(2, dim=-3)
        return self._functions.log_scale(raw), shift

    def forward(self, x: Tensor, chart: int | None = None) -> Tensor:
        """Image of x, (N, C, H, W) or (K, N, C, H, W)."""
        x1, x2 = x[..., : self.first, :, :], x[..., self.first :, :, :]
        for net in range(0, self.n_subnets, 2):
            s, t = self._scale_shift(x2, net, chart)
            x1 = torch.addcmul(t, s.exp(), x1)
            r, u = self._scale_shift(x1, net + 1, chart)
            x2 = torch.addcmul(u, r.exp(), x2)
        return torch.cat([x1, x2], dim=-3)

    def inverse(self, y: Tensor, chart: int | None = None) -> Tensor:
        """Inverse image of y."""
        y1, y2 = y[..., : self.first, :, :], y[..., self.first :, :, :]
        for net in reversed(range(0, self.n_subnets, 2)):
            r, u = self._scale_shift(y1, net + 1, chart)
            y2 = (y2 - u) * (-r).exp()
            s, t = self._scale_shift(y2, net, chart)
            y1 = (y1 - t) * (-s).exp()
        return torch.cat([y1, y2], dim=-3)

    def push(self, rows: Tensor, rule: JetRule, chart: int | None = None) -> Tensor:
        """Jet rows (..., R, N, C, H, W) carried through the network, exact (Taylor mode)."""
        x1, x2 = rows[..., : self.first, :, :], rows[..., self.first :, :, :]
        for net in range(0, self.n_subnets, 2):
            x1 = self._push_half(x1, x2, net, rule, chart)
            x2 = self._push_half(x2, x1, net + 1, rule, chart)
        return torch.cat([x1, x2], dim=-3)

    def _push_half(
        self, moved: Tensor, fixed: Tensor, net: int, rule: JetRule, chart: int | None
    ) -> Tensor:
        hidden = self._layer_rows(fixed, 2 * net, chart)
        hidden = _on_images(rule, hidden, self._functions.hidden_jet)
        raw, shift = self._layer_rows(hidden, 2 * net + 1, chart).chunk(2, dim=-3)
        scale = _on_images(rule, raw, self._functions.scale_jet)
        return rule.product(scale.flatten(-3), moved.flatten(-3)).view_as(moved) + shift

    def _layer_rows(self, rows: Tensor, index: int, chart: int | None) -> Tensor:
        lead = rows.shape[-5:-3]
        out = self._layer(rows.flatten(-5, -4), index, chart, bias=False).unflatten(-4, lead)
        bias = self.biases[index] if chart is None else self.biases[index][chart]
        out.select(-5, 0).add_(bias.unsqueeze(-2)[..., None, None])
        return out


class OrthogonalUpsampling(nn.Module):
    """K orthogonal maps (4 C, H, W) -> (C, 2 H, 2 W): four channels become a 2 x 2 patch.

    The patch of channel c at a pixel is its four values times the 4 x 4 Cayley transform
    (I + A)^-1 (I - A), A = W_c - W_c^T, orthogonal for every W. It starts as the pixel shuffle.

    Parameters
    ----------
    n_charts, n_channels : int
        Channels C after up-sampling.
    """

    def __init__(self, n_charts: int, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_charts, n_channels, 4, 4, dtype=torch.float32))

    def _kernel(self, chart: int | None) -> Tensor:
        w = self.weight if chart is None else self.weight[chart]
        skew = w - w.mT
        eye = torch.eye(4, dtype=w.dtype, device=w.device)
        return torch.linalg.solve(eye + skew, eye - skew)

    def forward(self, x: Tensor, chart: int | None = None) -> Tensor:
        """(..., N, 4 C, H, W) -> (..., N, C, 2 H, 2 W); linear, so it acts on jet rows as well."""
        return functional.pixel_shuffle(self._mix(x, self._kernel(chart).mT, chart), 2)

    def inverse(self, y: Tensor, chart: int | None = None) -> Tensor:
        """(..., N, C, 2 H, 2 W) -> (..., N, 4 C, H, W)."""
        return self._mix(functional.pixel_unshuffle(y, 2), self._kernel(chart), chart)

    def _mix(self, x: Tensor, kernel: Tensor, chart: int | None) -> Tensor:
        """Multiply every group of four channels by its matrix (C, 4, 4)."""
        grouped = x.unflatten(-3, (-1, 4)).flatten(-2)
        if chart is None:
            kernel = kernel.view(len(kernel), *[1] * (grouped.dim() - 4), *kernel.shape[1:])
        return (kernel @ grouped).flatten(-3, -2).unflatten(-1, x.shape[-2:])


def _on_images(rule: JetRule, rows: Tensor, function) -> Tensor:  # type: ignore[no-untyped-def]
    return rule.elementwise(rows.flatten(-3), function).view_as(rows)
