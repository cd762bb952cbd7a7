"""The Frey faces."""

from __future__ import annotations

from pathlib import Path

from learnedmanifolds.datasets._pixels import symmetric_values, unit_values
from learnedmanifolds.datasets._sources import Source, read_mat
from learnedmanifolds.datasets.image_set import ImageSet

HEIGHT, WIDTH = 28, 20

SOURCE = Source(
    "the Frey faces (frey_rawface.mat)",
    "https://cs.nyu.edu/~roweis/data/frey_rawface.mat",
    {"ff": (HEIGHT * WIDTH, None)},
)


def frey_faces(path: str | Path, *, scaled: bool = False) -> ImageSet:
    """Read the 1965 pictures, 28 x 20, of one face that moves: the frames of a film, in order.

    Parameters
    ----------
    path : str or Path
        The MATLAB file ``frey_rawface.mat``, with the array ``ff`` (560, N), a picture a column, row
        by row. It can be had at https://cs.nyu.edu/~roweis/data/frey_rawface.mat.
    scaled : bool
        Whether grey values are in [-1, 1] rather than in [0, 1].

    Returns
    -------
    ImageSet
        Images (N, 1, 28, 20), without labels.

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        If there is no such file, or it holds something else.

    References
    ----------
    Roweis, Saul, Nonlinear dimensionality reduction by locally linear embedding, Science 290, 2000.
    """
    pixels = unit_values(read_mat(path, SOURCE)["ff"], "ff")
    images = pixels.T.reshape(-1, 1, HEIGHT, WIDTH).contiguous()
    return ImageSet(symmetric_values(images, scaled))
