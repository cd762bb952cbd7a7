"""Mixture of variational autoencoders with injective decoders: learns an atlas from data."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds._grad import differentiable
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.learning.noise import spacing
from learnedmanifolds.models.atlas_estimator import AtlasEstimator
from learnedmanifolds.models.kernel_atlas import KernelAtlas
from learnedmanifolds.models.of_fits import LARGEST_APART, NEARLY_ALL, TOLERANCE, TOO_MUCH
from learnedmanifolds.models.schedule import Schedule
from learnedmanifolds.models.start import Start, disagreement
from learnedmanifolds.training.estimator import TrainedEstimator
from learnedmanifolds.training.units import Units

# The least sigma_x of the losses, in units of the data's spread: without noise they would be infinite.
_LEAST_NOISE = 1e-3
# What flows may leave where there is no noise, in units of the spread of the data.
_SMALL = 0.05
# Points that are looked at.
_JUDGED, _ROWS = 2048, 4096


class _Straighter(KernelAtlas):
    """Of charts that flows can follow."""

    _straight = 0.25


class MixtureVAE(AtlasEstimator, TrainedEstimator):
    """Learn a data manifold of any topology as an atlas of K charts of dimension d.

    Every chart is a variational autoencoder whose decoder is injective and whose encoder is its exact
    left inverse. It starts from what `KernelAtlas` learns: number of charts, dimension, noise, domains
    and codes. Decoders first regress on these codes; then the mixture is trained by a lower bound of the
    log-likelihood, and charts are made to overlap and to agree where they do. Flows leave up to some
    thousandths of the size of the data: with less noise than that `KernelAtlas` is more exact.

    Parameters
    ----------
    n_charts : int or "auto"
        K; by default as few as are discs and leave the noise only.
    dim : int or "auto"
        d, from 1 to 12; by default what `learnedmanifolds.dimension` finds.
    noise_std : float, optional
        Standard deviation sigma_x of the data around the manifold, in the units of the data; by default
        what `KernelAtlas` finds.
    hidden, n_blocks : int
        Size of the flows, see `LiftedCharts`.
    schedule : Schedule, optional
        Steps, rates and weights of the training stages.
    <parameters of TrainedEstimator>

    Attributes
    ----------
    atlas_ : Atlas
        The learned manifold in the units and at the place of the data: float32, or float64 where
        float32 is too coarse for them (see `Units.dtype`: farther from the origin than 16 times
        their spread, or a spread beyond 1e-12 to 1e12).
    start_ : KernelAtlas
        What the training started from.
    quality_ : Quality
        Its figures on at most 2,048 of the training data.
    history_ : dict
        Steps and losses.
    dim_, n_charts_ : int
    left_out_ : ndarray of bool, shape (N,)
        See `KernelAtlas`.
    n_features_in_ : int

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, arXiv 2303.15244.
    """

    def __init__(
        self,
        n_charts: int | Literal["auto"] = "auto",
        dim: int | Literal["auto"] = "auto",
        noise_std: float | None = None,
        hidden: int = 64,
        n_blocks: int = 4,
        schedule: Schedule | None = None,
        checkpoint_dir: str | Path | None = None,
        accelerator: str = "auto",
        verbose: bool = False,
        random_state: int | None = None,
    ) -> None:
        super().__init__(
            checkpoint_dir=checkpoint_dir,
            accelerator=accelerator,
            verbose=verbose,
            random_state=random_state,
        )
        self.n_charts = n_charts
        self.dim = dim
        self.noise_std = noise_std
        self.hidden = hidden
        self.n_blocks = n_blocks
        self.schedule = schedule

    @differentiable()
    def fit(self, x: ArrayLike, y: object = None) -> Self:
        """Learn the atlas of the points x, (N, ...); y is ignored.

        Raises
        ------
        TypeError, ValueError
            If x is not a finite array of points of at least two features, or no data that `KernelAtlas`
            can learn, or a parameter is out of range.

        Warns
        -----
        UserWarning
            As `KernelAtlas`; if the atlas is not healthy, or has more components than it started from.
        """
        data = self._check(x)
        self._take_names(x)
        (seed,) = self._start(1, data)
        self.start_ = _Straighter(self.n_charts, self.dim, self.noise_std, seed).fit(data)
        self.left_out_ = self.start_.left_out_
        known = data[torch.from_numpy(~self.left_out_)]
        self.atlas_, self.history_ = self._train(known, seed)
        self.dim_, self.n_charts_ = self.atlas_.dim, self.atlas_.n_charts
        self.n_features_in_ = data[0].numel()
        self.quality_ = self.atlas_.quality(known[:: -(-len(known) // _JUDGED)])
        if not self.quality_.healthy and self.start_.quality_.healthy:
            warnings.warn(
                f"The atlas does not hold the data: {'; '.join(self.quality_.faults)}, within a "
                f"tolerance of {self.atlas_.tolerance:.3g}; see quality_, and start_.atlas_, which does.",
                stacklevel=3,
            )
        elif (pieces := _pieces(self.atlas_)) > (whole := _pieces(self.start_.atlas_)):
            warnings.warn(
                f"The atlas has {pieces} components, that of start_ has {whole}: overlapping charts are "
                f"farther apart than {self.atlas_.agreement:.3g}.",
                stacklevel=3,
            )
        return self

    def _check(self, x: ArrayLike) -> Tensor:
        data = as_tensor(x, "x", allow_empty=False).detach()
        self._check_training()
        for name in ("hidden", "n_blocks"):
            integer(getattr(self, name), name, minimum=1)
        if data.dim() < 2 or data[0].numel() < 2:
            raise ValueError(
                f"x must have shape (N, ...), at least 2 features, got {tuple(data.shape)}."
            )
        if not isinstance(self.schedule, Schedule | None):
            raise TypeError(
                f"schedule must be a Schedule or None, got {type(self.schedule).__name__}."
            )
        return data

    def _train(self, x: Tensor, seed: int) -> tuple[Atlas, dict[str, Any]]:
        """The atlas of points (N, ...) that the start knows, and the history of its training."""
        # Lightning takes seconds to import; a pretrained atlas needs none.
        from learnedmanifolds.models.training import AtlasTraining

        units, found = Units.of(x), self.start_.atlas_
        start = Start.of(found, x, units, self.hidden, self.n_blocks, seed)
        schedule = self.schedule or Schedule.suited(found.n_charts, found.dim)
        noise = max(found.noise_std / units.scale, _LEAST_NOISE)
        module = AtlasTraining(start, noise, schedule, seed)
        self._run(module, schedule.n_steps, self.checkpoint_dir, schedule.clip)
        return self._judged(start, units, x), module.history

    def _judged(self, start: Start, units: Units, x: Tensor) -> Atlas:
        """The atlas of the trained charts, with what they leave of points (N, ...), and their density."""
        found, few = self.start_.atlas_, x[:: -(-len(x) // _ROWS)]
        charts = start.finish(found, units)
        shares = (start.holds.double() / start.holds.sum(0)).mean(1)
        atlas = Atlas(charts, shares, found.noise_std, found.tolerance, copy_charts=False)
        coords, error = atlas.claims(atlas.flat(few))
        left = error.amin(0).double()
        off = float(left.square().mean()) ** 0.5
        noise, tolerance, agreement = found.noise_std, found.tolerance, found.agreement
        freedom, spread = max(1, charts.n_ambient - charts.dim), units.scale * charts.n_ambient**0.5
        # Flows that leave far more than the noise do not tell what it is.
        if off <= max(TOO_MUCH * noise * freedom**0.5, _SMALL * spread):
            noise = noise if self.noise_std is not None else max(noise, off / freedom**0.5)
            tolerance = max(tolerance, TOLERANCE * float(left.quantile(NEARLY_ALL)))
            apart = disagreement(atlas, coords, start.holds[:, :: -(-len(x) // _ROWS)])
            agreement = agreement if apart is None else max(agreement, apart)
        between = LARGEST_APART * units.scale * spacing(start.x.double())
        agreement = min(agreement, max(tolerance, between))
        atlas = Atlas(charts, shares, noise, tolerance, agreement, copy_charts=False)
        near = int((left <= tolerance).sum())
        return atlas.with_density(few) if near >= 2 * (atlas.dim + 2) else atlas

    def score(self, x: ArrayLike, y: object = None) -> float:
        """Mean `Atlas.log_likelihood` of points (N, ...), in nats; larger is better."""
        self._check_names(x)
        points = as_tensor(x, "x", allow_empty=False)
        return float(self._fitted().log_likelihood(points).mean())


def _pieces(atlas: Atlas) -> int:
    return len(atlas.components.unique())
