"""Image charts: injective multiscale decoders for images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from learnedmanifolds._check import integer
from learnedmanifolds.charts.convolution import ConvolutionStack, OrthogonalUpsampling
from learnedmanifolds.charts.coupling import CouplingStack
from learnedmanifolds.charts.jet import JetRule
from learnedmanifolds.charts.learned import LearnedCharts

_NO_TURN = 1e-6

# Measured on a processor: larger batches leave its cache and take 2 to 15 times as long an image.
_PIECE_BYTES = 2**18


def default_levels(height: int, width: int) -> int:
    """Number of up-samplings: 1 for 16 and 32, 2 for 64 and 128, 3 for 256 pixels a side."""
    return max(1, int(math.log2(height * width) / 4 - 1))


class ImageCharts(LearnedCharts):
    """K charts x = c + s U(F(pad(T(m + w t)))) for images (C, H, W), with an exact left inverse.

    F is a dense network on the coarse image, in an orthonormal basis whose first d vectors fit the
    chart's seed. U repeats each coarse channel 4^levels times, and alternates convolutional
    coupling with an orthogonal up-sampling by 2, ``levels`` times. The left inverse applies the
    inverse networks, averages the copies and keeps the first d coordinates. Centre c and scale s
    are of the seed, so that an untrained chart is a flat patch of coarse images.

    Parameters
    ----------
    n_charts, dim : int
        K and d.
    ambient_shape : (int, int, int)
        Channels C, height and width, both multiples of 2^levels.
    levels : int, optional
        `default_levels` by default.
    hidden, n_blocks : int
        Width of the hidden layers and number of blocks of the dense network.
    conv_hidden, n_conv_blocks : int
        Channels of the hidden layers and number of blocks of each convolutional network.
    n_latent_blocks : int
        Blocks of the latent flow T.
    seed : int
        Seed of the initial weights.
    published : bool
        The published networks, see `CouplingStack`.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer, or the sizes do not fit.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 5.
    """

    def __init__(
        self,
        n_charts: int,
        dim: int,
        ambient_shape: tuple[int, int, int],
        levels: int | None = None,
        hidden: int = 64,
        n_blocks: int = 3,
        conv_hidden: int = 32,
        n_conv_blocks: int = 3,
        n_latent_blocks: int = 3,
        seed: int = 0,
        published: bool = False,
    ) -> None:
        if len(ambient_shape) != 3:
            raise ValueError(f"ambient_shape must be (C, H, W), got {tuple(ambient_shape)}.")
        channels, height, width = (
            integer(size, "ambient_shape", minimum=1) for size in ambient_shape
        )
        integer(n_charts, "n_charts", minimum=1)
        integer(dim, "dim", minimum=1)
        levels = default_levels(height, width) if levels is None else integer(levels, "levels")
        if levels < 1 or height % 2**levels or width % 2**levels:
            raise ValueError(
                f"ambient_shape must be (C, H, W), H and W multiples of {2**levels} "
                f"for levels={levels}, got {ambient_shape}."
            )
        self.coarse_shape = (channels, height >> levels, width >> levels)
        self.n_coarse = math.prod(self.coarse_shape)
        if dim > self.n_coarse // 2:
            raise ValueError(f"dim must be at most {self.n_coarse // 2}, got {dim}.")
        generator = torch.Generator().manual_seed(seed)
        latent = (
            CouplingStack(n_charts, dim, n_latent_blocks, hidden, generator, published)
            if dim > 1
            else None
        )
        super().__init__(n_charts, dim, tuple(ambient_shape), latent)
        self._config = {
            "n_charts": n_charts,
            "dim": dim,
            "ambient_shape": list(ambient_shape),
            "levels": levels,
            "hidden": hidden,
            "n_blocks": n_blocks,
            "conv_hidden": conv_hidden,
            "n_conv_blocks": n_conv_blocks,
            "n_latent_blocks": n_latent_blocks,
            "published": published,
        }
        self.levels = levels
        self.dense = CouplingStack(n_charts, self.n_coarse, n_blocks, hidden, generator, published)
        widths = [channels * 4**level for level in range(levels, 0, -1)]
        self.convolutions = nn.ModuleList(
            ConvolutionStack(n_charts, c, n_conv_blocks, conv_hidden, generator, published)
            for c in widths
        )
        self.upsamplings = nn.ModuleList(OrthogonalUpsampling(n_charts, c // 4) for c in widths)
        self.center: Tensor
        self.scale: Tensor
        self.gain: Tensor
        self.reflectors: Tensor
        self.register_buffer(
            "center", torch.zeros(n_charts, 1, self.n_ambient, dtype=torch.float32)
        )
        self.register_buffer("scale", torch.ones(n_charts, 1, 1, dtype=torch.float32))
        self.register_buffer("gain", torch.ones((), dtype=torch.float32))
        self.register_buffer(
            "reflectors", torch.zeros(n_charts, dim, self.n_coarse, dtype=torch.float32)
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.reflectors.dtype
        super()._apply(fn, recurse)
        if self.reflectors.dtype != before:
            # Unit vectors to the rounding of the new dtype: the left inverse relies on it.
            self.reflectors = nn.functional.normalize(self.reflectors, dim=-1)
        return self

    def config(self) -> dict[str, object]:
        """Arguments of the constructor, but the seed."""
        return dict(self._config)

    @torch.no_grad()
    def place(self, centers: Tensor, directions: Tensor, radius: Tensor) -> None:
        """Make untrained charts the flat patches c + r Q t, seen at the coarse scale.

        Parameters
        ----------
        centers : Tensor, shape (K, n)
        directions : Tensor, shape (K, n, d)
            Orthonormal after averaging to the coarse image, or made so.
        radius : Tensor, shape (K,)
        """
        self.center.copy_(centers.unsqueeze(1))
        coarse = self._to_coarse(directions.to(self.center).mT.unflatten(-1, self.ambient_shape))
        frames = torch.linalg.qr(coarse.mT)
        frames = frames.Q * frames.R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
        self.gain.fill_(self.n_coarse**0.5)
        self.scale.copy_((radius / (self.gain * 2**self.levels)).view(-1, 1, 1))
        self.reflectors.copy_(_reflectors(frames))

    def _to_coarse(self, images: Tensor) -> Tensor:
        """Averages of the pixels of each coarse one, (..., C, H, W) -> (..., m)."""
        pooled = torch.nn.functional.avg_pool2d(images.flatten(0, -4), 2**self.levels)
        return pooled.view(*images.shape[:-3], -1)

    @property
    def stages(self) -> list[tuple[ConvolutionStack, OrthogonalUpsampling]]:
        """The convolutional networks and the up-samplings after them, from coarse to fine."""
        pairs: Any = zip(self.convolutions, self.upsamplings, strict=True)
        return list(pairs)

    def _reflect(self, y: Tensor, chart: int | None, inverse: bool) -> Tensor:
        """Rotate rows (..., m) from the frame's basis to pixels, or back."""
        v = self.reflectors if chart is None else self.reflectors[chart]
        for i in range(self.dim) if inverse else reversed(range(self.dim)):
            one = v[..., i, :]
            one = one.view(-1, *[1] * (y.dim() - 2), self.n_coarse) if chart is None else one
            y = y - 2 * (y * one).sum(-1, keepdim=True) * one
        return y / self.gain if inverse else y * self.gain

    def _repeat(self, y: Tensor) -> Tensor:
        return y.unflatten(-1, self.coarse_shape).repeat_interleave(4**self.levels, dim=-3)

    def _placement(self, chart: int | None) -> tuple[Tensor, Tensor]:
        return (
            (self.center, self.scale) if chart is None else (self.center[chart], self.scale[chart])
        )

    def _in_pieces(self, function: Callable[[Tensor], Tensor], x: Tensor, rows: int) -> Tensor:
        """A function of the points (..., N, .), of a few at a time on a processor."""
        if not x.shape[-2]:
            # torch's inverse of the pixel shuffle leaves the shape of no images as it is.
            one = x.new_zeros(*x.shape[:-2], 1, x.shape[-1])
            return function(one)[..., :0, :]
        size = max(1, _PIECE_BYTES // (rows * self.n_ambient * x.element_size()))
        if x.device.type != "cpu" or x.shape[-2] <= size:
            return function(x)
        return torch.cat([function(part) for part in x.split(size, dim=-2)], dim=-2)

    def decode_base(self, z: Tensor, chart: int | None = None) -> Tensor:
        """See `LearnedCharts.decode_base`."""
        rows = self.n_charts if chart is None else 1
        return self._in_pieces(lambda part: self._decode(part, chart), z, rows)

    def encode_base(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `LearnedCharts.encode_base`."""
        rows = self.n_charts if chart is None else 1
        return self._in_pieces(lambda part: self._encode(part, chart), x, rows)

    def push_base(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `LearnedCharts.push_base`."""
        count = rows.shape[:-2].numel()
        return self._in_pieces(lambda part: self._push(part, rule, chart), rows, count)

    def _decode(self, z: Tensor, chart: int | None) -> Tensor:
        y = nn.functional.pad(z, (0, self.n_coarse - self.dim))
        x = self._repeat(self._reflect(self.dense(y, chart)[0], chart, inverse=False))
        for convolution, upsampling in self.stages:
            x = upsampling(convolution(x, chart), chart)
        center, scale = self._placement(chart)
        return torch.addcmul(center, scale, x.flatten(-3))

    def _encode(self, x: Tensor, chart: int | None) -> Tensor:
        center, scale = self._placement(chart)
        y = ((x - center) / scale).unflatten(-1, self.ambient_shape)
        for convolution, upsampling in reversed(self.stages):
            y = convolution.inverse(upsampling.inverse(y, chart), chart)
        y = y.unflatten(-3, (-1, 4**self.levels)).mean(-3).flatten(-3)
        return self.dense.inverse(self._reflect(y, chart, inverse=True), chart)[0][..., : self.dim]

    def _push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        rows = nn.functional.pad(rows, (0, self.n_coarse - self.dim))
        rows = self.dense.push(rows, rule, chart)
        rows = self._repeat(self._reflect(rows, chart, inverse=False))
        for convolution, upsampling in self.stages:
            rows = upsampling(convolution.push(rows, rule, chart), chart)
        center, scale = self._placement(chart)
        return rule.shift(scale.unsqueeze(-1) * rows.flatten(-3), center)


def _reflectors(frames: Tensor) -> Tensor:
    """Unit vectors v_i (K, d, m) whose reflections H_1 ... H_d take e_i to the columns of a frame."""
    rest, found = frames.clone(), []
    for i in range(frames.shape[-1]):
        target = torch.zeros_like(rest[..., 0])
        target[..., i] = 1
        v = target - rest[..., i]
        size = v.norm(dim=-1, keepdim=True)
        # A column that is its unit vector already needs no reflection.
        v = torch.where(size > _NO_TURN, v / size.clamp(min=_NO_TURN), 0.0)
        rest = rest - 2 * v.unsqueeze(-1) * (v.unsqueeze(-2) @ rest)
        found.append(v)
    return torch.stack(found, dim=-2)
