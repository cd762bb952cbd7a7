"""The Stanford bunny."""

from __future__ import annotations

from pathlib import Path

import torch

from learnedmanifolds.datasets._sources import Source, read_numpy
from learnedmanifolds.datasets.scaling import scale_to_box

SOURCE = Source(
    "the Stanford bunny (bunny_vertices.npy)",
    "https://graphics.stanford.edu/data/3Dscanrep/",
    {"": (None, 3)},
    "Save the vertices of bun_zipper.ply: numpy.save('bunny_vertices.npy', "
    "numpy.loadtxt('bun_zipper.ply', skiprows=12, max_rows=35947, usecols=(0, 1, 2))).",
)


def bunny(path: str | Path, *, scaled: bool = False) -> torch.Tensor:
    """Read the vertices of the Stanford bunny, points of a surface in space.

    Parameters
    ----------
    path : str or Path
        A NumPy file .npy with the vertices (N, 3). The surface can be had at
        https://graphics.stanford.edu/data/3Dscanrep/; the vertices are lines 13 to 35959 of its
        ``bun_zipper.ply``::

            vertices = numpy.loadtxt(
                "bun_zipper.ply", skiprows=12, max_rows=35947, usecols=(0, 1, 2)
            )
            numpy.save("bunny_vertices.npy", vertices)
    scaled : bool
        Whether the points are shifted and scaled to the box [-1, 1]^3, see `scale_to_box`.

    Returns
    -------
    torch.Tensor, shape (N, 3), float32
        In the units of the file unless scaled; y is up.

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        If there is no such file, or it holds something else.

    References
    ----------
    Turk, Levoy, Zippered polygon meshes from range images, SIGGRAPH 1994.
    """
    points = torch.from_numpy(read_numpy(path, SOURCE)[""].astype("float64"))
    return (scale_to_box(points) if scaled else points).float()
