"""Data on manifolds that are known exactly, and small real data sets."""

from learnedmanifolds.datasets.circles import TwoCircles
from learnedmanifolds.datasets.digits import Digits, digits
from learnedmanifolds.datasets.images import IMAGES, Balls, Bars, ImageManifold, balls, bars
from learnedmanifolds.datasets.manifold import ToyManifold, ToySettings
from learnedmanifolds.datasets.registry import (
    TOYS,
    ring,
    sphere,
    swiss_roll,
    torus,
    toy,
    two_circles,
)
from learnedmanifolds.datasets.ring import Ring
from learnedmanifolds.datasets.solid import Solid
from learnedmanifolds.datasets.sphere import Sphere
from learnedmanifolds.datasets.swiss_roll import SwissRoll
from learnedmanifolds.datasets.torus import Torus

__all__ = [
    "IMAGES",
    "TOYS",
    "Balls",
    "Bars",
    "Digits",
    "ImageManifold",
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
    "digits",
    "ring",
    "sphere",
    "swiss_roll",
    "torus",
    "toy",
    "two_circles",
]
