"""Pictures with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from learnedmanifolds._check import integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES_A_ROW = 10


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Pictures of one size, and what is known about each.

    Attributes
    ----------
    images : Tensor, shape (N, 1, H, W) or (N, 3, H, W), float32
        Grey or red, green and blue values, in [0, 1] or in [-1, 1]; row 0 is the top.
    labels : Tensor, shape (N,), int64, optional
        The class of each picture, counted from 0.
    angles : Tensor, shape (N,), float32, optional
        The angle, in radians, by which the object is turned.
    """

    images: Tensor
    labels: Tensor | None = None
    angles: Tensor | None = None

    def __repr__(self) -> str:
        n, channels, height, width = self.images.shape
        parts = [f"{n} {'grey' if channels == 1 else 'colour'} images of {height} x {width}"]
        if self.labels is not None:
            parts.append(f"{len(self.labels.unique())} labels")
        if self.angles is not None:
            parts.append("angles")
        return f"ImageSet({', '.join(parts)})"

    def plot(self, n: int = 40) -> Figure:
        """Show `n` pictures, spread evenly over the set, row by row.

        Raises
        ------
        TypeError, ValueError
            If `n` is not an integer of at least 1.
        """
        from learnedmanifolds._panels import grey, new_figure

        count = min(integer(n, "n", minimum=1), len(self.images))
        chosen = torch.arange(count) * len(self.images) // count
        low = -1.0 if self.images.min() < 0 else 0.0
        tiles = _tile((self.images[chosen].detach().cpu() - low) / (1 - low))
        columns = min(count, PICTURES_A_ROW)
        width = 0.7 * columns
        figure = new_figure(width, width * tiles.shape[0] / tiles.shape[1])
        axes = figure.add_subplot()
        axes.imshow(tiles.squeeze(-1).numpy(), cmap=grey(), vmin=0, vmax=1)
        axes.set_axis_off()
        return figure


def _tile(images: Tensor) -> Tensor:
    """Put pictures (n, C, H, W) side by side into one (height, width, C), white between them."""
    columns = min(len(images), PICTURES_A_ROW)
    rows = -(-len(images) // columns)
    framed = pad(images, (1, 1, 1, 1), value=1.0)
    framed = torch.cat([framed, framed.new_ones(rows * columns - len(images), *framed.shape[1:])])
    height, width = framed.shape[2:]
    grid = framed.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2)
    return grid.reshape(rows * height, columns * width, images.shape[1])
