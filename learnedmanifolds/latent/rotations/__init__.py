"""The rotation group SO(3): distributions, means, charts and decoders by its action."""

from learnedmanifolds.latent.rotations.action import GroupAction
from learnedmanifolds.latent.rotations.algebra import (
    angle,
    exp,
    from_quaternion,
    hat,
    log,
    to_quaternion,
    vee,
)
from learnedmanifolds.latent.rotations.isotropic import IsotropicGaussian
from learnedmanifolds.latent.rotations.means import (
    MEANS,
    from_6d,
    from_algebra,
    from_axis_angle,
)
from learnedmanifolds.latent.rotations.normal import RotationNormal
from learnedmanifolds.latent.rotations.space import Rotations
from learnedmanifolds.latent.rotations.toy import random_spectrum
from learnedmanifolds.latent.rotations.uniform import HaarUniform, random_rotations
from learnedmanifolds.latent.rotations.wigner import wigner

__all__ = [
    "MEANS",
    "GroupAction",
    "HaarUniform",
    "IsotropicGaussian",
    "RotationNormal",
    "Rotations",
    "angle",
    "exp",
    "from_6d",
    "from_algebra",
    "from_axis_angle",
    "from_quaternion",
    "hat",
    "log",
    "random_rotations",
    "random_spectrum",
    "to_quaternion",
    "vee",
    "wigner",
]
