"""How good a learned embedding is: figures, and the gate that it has to pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds.latent.embedding.learned import LearnedEmbedding

# Cells a coordinate of the histogram of parameters; 16 all together, or near that.
_CELLS = {1: 16, 2: 4}
_MANY = 2

# Parameters this far apart, of [0, 1], that have the same image lie on two sheets.
_APART = 0.1

_MOST_SAMPLES = 16_384


@dataclass(frozen=True)
class EmbeddingQuality:
    """Figures of an embedding against samples; lengths are in units of `size`.

    Attributes
    ----------
    size : float
        Root mean square distance of the samples to their mean.
    stray : float
        Largest distance of a point of the image to the nearest sample.
    miss : float
        Largest distance of a sample to the nearest point of the image.
    least_stretch, largest_stretch : float
        Extreme singular values of the derivative, relative to the geometric mean of all.
    unevenness : float
        Total variation distance between the samples' parameters and the uniform distribution, on
        cells; sampling alone gives about 0.4 sqrt(cells / samples).
    overlap : float
        Share of the image that is covered twice.
    gap : float
        Distance of the two ends of a curve; NaN for more than one parameter.
    """

    size: float
    stray: float
    miss: float
    least_stretch: float
    largest_stretch: float
    unevenness: float
    overlap: float
    gap: float

    def __str__(self) -> str:
        return (
            f"stray {self.stray:.3g}, miss {self.miss:.3g}, stretch {self.least_stretch:.3g} to "
            f"{self.largest_stretch:.3g}, unevenness {self.unevenness:.3g}, "
            f"overlap {self.overlap:.3g}, gap {self.gap:.3g}"
        )


@dataclass(frozen=True)
class Gate:
    """Bounds that the figures of `EmbeddingQuality` must keep for an embedding to be taken.

    Attributes
    ----------
    stray, miss, unevenness, overlap, gap : float
        Upper bounds.
    least_stretch, largest_stretch : float
        Lower and upper bound.
    """

    stray: float = 0.15
    miss: float = 0.25
    least_stretch: float = 0.25
    largest_stretch: float = 4.0
    unevenness: float = 0.06
    overlap: float = 0.1
    gap: float = math.inf

    def passes(self, quality: EmbeddingQuality) -> bool:
        """Whether all figures keep their bounds."""
        names = ("stray", "miss", "largest_stretch", "unevenness", "overlap")
        kept = all(getattr(quality, name) <= getattr(self, name) for name in names)
        return kept and quality.least_stretch >= self.least_stretch and not quality.gap > self.gap


@torch.no_grad()
def measure_embedding(embedding: LearnedEmbedding, samples: ArrayLike) -> EmbeddingQuality:
    """Figures of an embedding against samples (N, l) of what its image should be.

    The first 16,384 samples count.

    Raises
    ------
    TypeError, ValueError
        If the samples are no finite array of that shape.
    """
    points = as_tensor(samples, "samples", shape=(None, embedding.n_ambient), allow_empty=False)
    points = points.to(embedding.chart.anchors)[:_MOST_SAMPLES]
    size = float((points - points.mean(0)).square().sum(-1).mean().sqrt())
    coords = embedding.chart.anchors
    eye = torch.eye(embedding.dim, dtype=coords.dtype, device=coords.device).unsqueeze(1)
    jet = embedding.chart.jet(coords, 0, eye.expand(embedding.dim, *coords.shape))
    image, stretch = jet.value, torch.linalg.svdvals(jet.first.movedim(0, 1))
    stretch = stretch / stretch.clamp(min=1e-12).log().mean().exp()
    distance = _distances(points, image)
    cells = _CELLS.get(embedding.dim, _MANY)
    inverse = embedding.inverse(points)
    cell = (inverse * cells).long().clamp(max=cells - 1)
    flat = (cell * cells ** torch.arange(embedding.dim, device=cell.device)).sum(-1)
    shares = torch.bincount(flat, minlength=cells**embedding.dim) / len(points)
    ends = embedding.network(coords.new_tensor([[-1.0], [1.0]])) if embedding.dim == 1 else None
    return EmbeddingQuality(
        size=size,
        stray=float(distance.amin(0).max()) / size,
        miss=float((embedding(inverse) - points).norm(dim=-1).max()) / size,
        least_stretch=float(stretch.min()),
        largest_stretch=float(stretch.max()),
        unevenness=float((shares - shares.mean()).abs().sum() / 2),
        overlap=_overlap(coords, image),
        gap=math.nan if ends is None else float((ends[1] - ends[0]).norm()) / size,
    )


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _overlap(coords: Tensor, image: Tensor) -> float:
    """Share of the anchors whose image is as near to that of a far one as to a neighbour's."""
    space = _distances(image, image)
    parameters = torch.cdist(coords, coords, p=math.inf) / 2
    near = torch.where(parameters > 0, parameters, torch.inf).amin(-1, keepdim=True)
    neighbours = torch.where(parameters <= 1.01 * near, space, 0.0).amax(-1, keepdim=True)
    return float(((parameters > _APART) & (space <= neighbours)).any(-1).double().mean())
