"""The rotation group SO(3) as a latent space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from learnedmanifolds._check import one_of, positive
from learnedmanifolds.charts.rotations import RotationCharts, nearest_quaternion
from learnedmanifolds.latent._call import call
from learnedmanifolds.latent._parameters import last_axis, times
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.rotations.algebra import exp, from_quaternion, log, matrices
from learnedmanifolds.latent.rotations.isotropic import MAX_TIME, IsotropicGaussian
from learnedmanifolds.latent.rotations.means import MEANS
from learnedmanifolds.latent.rotations.normal import MAX_SCALE, RotationNormal
from learnedmanifolds.latent.rotations.uniform import HaarUniform

# Narrower posteriors than this, in radians, are beyond the precision of float32 matrices.
_MIN_SCALE = 1e-3

# The normal family is the closest to the uniform distribution at 1.5; the isotropic Gaussian comes
# closer and closer, with a divergence of 7e-8 at 3.
_LARGEST = {"normal": (1.5, MAX_SCALE), "isotropic": (3.0, (2 * MAX_TIME) ** 0.5)}


class Rotations(LatentSpace):
    """SO(3) in R^{3 x 3}, with the uniform prior and posteriors around a rotation.

    The outputs of an encoder are the parameters of the mean (see `means`) and, through a sigmoid
    that bounds them, standard deviations in radians: three of a `RotationNormal`, or the one,
    sqrt(2 s), of an `IsotropicGaussian` of time s.

    Parameters
    ----------
    mean : "6d", "quaternion", "axis-angle" or "algebra"
        6, 4, 5 or 3 numbers. Only of "6d" can a continuous encoder reach every rotation.
    posterior : "normal" or "isotropic"
        The second has an exact divergence from the prior.
    max_scale : float, optional
        Upper bound of the standard deviations; by default 1.5 and 3, where the posterior is, up to
        0.02 and 1e-7 nats, uniform. At most 5 and 4.47.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    References
    ----------
    Falorsi et al., Explorations in homeomorphic variational auto-encoding, arXiv 1807.04689.
    """

    def __init__(
        self, mean: str = "6d", posterior: str = "normal", max_scale: float | None = None
    ) -> None:
        self.mean = one_of(mean, "mean", MEANS)
        self.family = one_of(posterior, "posterior", _LARGEST)
        usual, bound = _LARGEST[self.family]
        self.max_scale = usual if max_scale is None else positive(max_scale, "max_scale")
        if not _MIN_SCALE < self.max_scale <= bound:
            raise ValueError(
                f"max_scale must be above {_MIN_SCALE} and at most {bound:.4g} for the posterior "
                f"{self.family!r}, got {max_scale}."
            )
        n_scales = 3 if self.family == "normal" else 1
        super().__init__(3, (3, 3), MEANS[self.mean].n_parameters + n_scales)

    def __repr__(self) -> str:
        usual = self.max_scale == _LARGEST[self.family][0]
        return call(
            Rotations,
            mean=self.mean,
            posterior=self.family,
            max_scale=None if usual else self.max_scale,
        )

    @property
    def space(self) -> Any:
        """SO(3) in geomstats, points as matrices."""
        from learnedmanifolds._geomstats import require_geomstats

        require_geomstats()
        from geomstats.geometry.special_orthogonal import SpecialOrthogonal

        return SpecialOrthogonal(n=3, point_type="matrix")

    def prior(self) -> Distribution:
        """The uniform distribution."""
        return HaarUniform()

    def posterior(self, parameters: Tensor) -> Distribution:
        """See `LatentSpace.posterior`: parameters of the mean, then those of the scales."""
        outputs = last_axis(parameters, "parameters", self.n_parameters)
        mean = MEANS[self.mean]
        loc = mean.function(outputs[..., : mean.n_parameters])
        share = torch.sigmoid(outputs[..., mean.n_parameters :])
        scale = _MIN_SCALE + (self.max_scale - _MIN_SCALE) * share
        # Rounding must not lead out of the range.
        if self.family == "normal":
            return RotationNormal(loc, scale.clamp(max=self.max_scale))
        return IsotropicGaussian(loc, (scale.squeeze(-1).square() / 2).clamp(max=MAX_TIME))

    def project(self, z: Tensor) -> Tensor:
        """Nearest rotations of matrices (..., 3, 3), differentiable at rotations too."""
        return from_quaternion(nearest_quaternion(matrices(z, "z")))

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """See `LatentSpace.geodesic`: turns about one axis; one of two where the angle is pi."""
        vector = log(matrices(start, "start").mT @ matrices(end, "end"))
        return start @ exp(times(t, vector) * vector)

    def charts(self) -> RotationCharts:
        """Four charts around the quaternions of the coordinate axes."""
        return RotationCharts()
