"""Data on manifolds that are known exactly, and small real data sets.

- Known manifolds, with exact samples, distances and nearest points: the toys in `TOYS`, such as
  `Circle`, `Loop`, `Sphere`, `Torus`; `gaussian_grid` for separate clusters.
- Images drawn on the fly: `Bars`, `Balls`, `Solid`.
- Real data from files that the user has, nothing is ever downloaded: `bunny`, `frey_faces`, `coil20`,
  `mnist`, `image_folder`, `numpy_file`. `digits` come with scikit-learn.

`scale_to_box` brings points to [-1, 1], and so do the readers with ``scaled=True``.
"""

from learnedmanifolds.datasets.bunny import bunny
from learnedmanifolds.datasets.circle import Circle
from learnedmanifolds.datasets.circles import TwoCircles
from learnedmanifolds.datasets.coil import coil20
from learnedmanifolds.datasets.digits import Digits, digits
from learnedmanifolds.datasets.faces import frey_faces
from learnedmanifolds.datasets.files import numpy_file
from learnedmanifolds.datasets.folder import image_folder
from learnedmanifolds.datasets.gaussian_grid import NINE_CELLS, Clusters, gaussian_grid
from learnedmanifolds.datasets.image_set import ImageSet
from learnedmanifolds.datasets.images import IMAGES, Balls, Bars, ImageManifold, balls, bars
from learnedmanifolds.datasets.loop import Loop
from learnedmanifolds.datasets.manifold import ToyManifold, ToySettings
from learnedmanifolds.datasets.mnist import mnist
from learnedmanifolds.datasets.registry import (
    TOYS,
    circle,
    loop,
    ring,
    sphere,
    swiss_roll,
    torus,
    toy,
    two_circles,
)
from learnedmanifolds.datasets.ring import Ring
from learnedmanifolds.datasets.scaling import scale_to_box
from learnedmanifolds.datasets.solid import Solid
from learnedmanifolds.datasets.sphere import Sphere
from learnedmanifolds.datasets.swiss_roll import SwissRoll
from learnedmanifolds.datasets.torus import Torus

__all__ = [
    "IMAGES",
    "NINE_CELLS",
    "TOYS",
    "Balls",
    "Bars",
    "Circle",
    "Clusters",
    "Digits",
    "ImageManifold",
    "ImageSet",
    "Loop",
    "Ring",
    "Solid",
    "Sphere",
    "SwissRoll",
    "Torus",
    "ToyManifold",
    "ToySettings",
    "TwoCircles",
    "balls",
    "bars",
    "bunny",
    "circle",
    "coil20",
    "digits",
    "frey_faces",
    "gaussian_grid",
    "image_folder",
    "loop",
    "mnist",
    "numpy_file",
    "ring",
    "scale_to_box",
    "sphere",
    "swiss_roll",
    "torus",
    "toy",
    "two_circles",
]
