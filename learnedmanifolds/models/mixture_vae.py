"""Mixture of variational autoencoders with injective decoders: learns an atlas from data."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive
from learnedmanifolds._grad import differentiable
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.flow import FlowCharts
from learnedmanifolds.charts.image import ImageCharts
from learnedmanifolds.charts.learned import LearnedCharts
from learnedmanifolds.models.atlas_estimator import AtlasEstimator
from learnedmanifolds.models.cells import disc_cells
from learnedmanifolds.models.losses import evidence_lower_bound
from learnedmanifolds.models.patches import neighbours
from learnedmanifolds.models.schedule import Schedule
from learnedmanifolds.training.estimator import TrainedEstimator
from learnedmanifolds.training.units import Units


class MixtureVAE(AtlasEstimator, TrainedEstimator):
    """Learn a data manifold of any topology as an atlas of K charts of dimension d.

    Every chart is a variational autoencoder whose decoder is injective and whose encoder is its
    exact left inverse; the mixture is trained by a lower bound of the log-likelihood, then charts
    are made to overlap, to agree where they do, and to keep their whole box on the data.

    Parameters
    ----------
    n_charts : int
        K, at least 1; a closed manifold needs at least 2, more for an even cover.
    dim : int
        d, at least 1, at most the number of features.
    noise_std : float, optional
        Standard deviation sigma_x of the data around the manifold, in the units of the data; by
        default measured as the residual of local principal components.
    hidden, n_blocks, n_latent_blocks : int
        Size of the networks, see `FlowCharts` and, for images, `ImageCharts`.
    levels, conv_hidden, n_conv_blocks : int
        Of images only, see `ImageCharts`.
    schedule : Schedule, optional
        Steps, rates and weights of the training stages; `Schedule.suited` by default.
    max_restarts : int
        How often a training that left dead or folded charts, or data uncovered, is repeated from
        another seed; the best is kept.
    <parameters of TrainedEstimator>

    Attributes
    ----------
    atlas_ : Atlas
        The learned manifold in the units and at the place of the data: float32, or float64 where
        float32 is too coarse for them (see `Units.dtype`: farther from the origin than 16 times
        their spread, or a spread beyond 1e-12 to 1e12).
    quality_ : Quality
        Its figures on (at most 4,096 of) the training data.
    history_ : dict
        Steps and losses of the kept training, and the seeds of all.
    n_features_in_ : int

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, arXiv 2303.15244.
    """

    def __init__(
        self,
        n_charts: int = 4,
        dim: int = 1,
        noise_std: float | None = None,
        hidden: int = 64,
        n_blocks: int = 5,
        n_latent_blocks: int = 3,
        levels: int | None = None,
        conv_hidden: int = 32,
        n_conv_blocks: int = 3,
        schedule: Schedule | None = None,
        max_restarts: int = 1,
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
        self.n_latent_blocks = n_latent_blocks
        self.levels = levels
        self.conv_hidden = conv_hidden
        self.n_conv_blocks = n_conv_blocks
        self.schedule = schedule
        self.max_restarts = max_restarts

    @differentiable()
    def fit(self, x: ArrayLike, y: object = None) -> Self:
        """Learn the atlas of the points x, (N, n), or of images, (N, C, H, W); y is ignored.

        Raises
        ------
        TypeError, ValueError
            If x is not a finite array of at least two features, or of images whose sides can be
            halved ``levels`` times, a parameter is out of range, dim exceeds the number of features,
            or there are fewer points than charts.
        """
        data = self._check(x)
        self._take_names(x)
        units = Units.of(data)
        train = units.remove(data).flatten(1)
        self._require_distinct(train)
        runs = []
        seeds = self._start(int(self.max_restarts) + 1, data)
        data = data[:4096].to(units.dtype)
        for restart, seed in enumerate(seeds):
            atlas, history = self._train(train, units, seed, restart)
            runs.append((atlas, atlas.quality(data), history))
            if runs[-1][1].healthy:
                break
        self.atlas_, self.quality_, history = max(
            runs, key=lambda run: (run[1].healthy, run[1].in_gaps == 0, run[1].coverage)
        )
        self.history_ = {**history, "seeds": seeds[: len(runs)]}
        self.n_features_in_ = data[0].numel()
        if self.quality_.coverage * len(data) >= 2 * (self.dim + 2):
            self.atlas_ = self.atlas_.with_density(data)
        if not self.quality_.healthy:
            warnings.warn(
                f"The atlas does not hold the data after {len(runs)} trainings: "
                f"{'; '.join(self.quality_.faults)}; try another n_charts or random_state, or a longer "
                f"schedule.",
                stacklevel=2,
            )
        return self

    def _check(self, x: ArrayLike) -> Tensor:
        data = as_tensor(x, "x", allow_empty=False).detach()
        if data.dim() not in (2, 4):
            raise ValueError(f"x must have shape (N, n) or (N, C, H, W), got {tuple(data.shape)}.")
        n_features = data[0].numel()
        self._check_training()
        integer(self.n_charts, "n_charts", minimum=1)
        integer(self.dim, "dim", minimum=1)
        for name in ("hidden", "n_blocks", "conv_hidden", "n_conv_blocks"):
            integer(getattr(self, name), name, minimum=1)
        for name in ("n_latent_blocks", "max_restarts"):
            integer(getattr(self, name), name, minimum=0)
        if self.noise_std is not None:
            positive(self.noise_std, "noise_std")
        if n_features < 2:
            raise ValueError(f"x must have at least 2 features, got shape {tuple(data.shape)}.")
        if self.dim > n_features:
            raise ValueError(
                f"dim must be at most the number of features {n_features}, got {self.dim}."
            )
        if len(data) < max(32, self.n_charts * (self.dim + 2)):
            raise ValueError(
                f"x must have at least {max(32, self.n_charts * (self.dim + 2))} points for "
                f"n_charts={self.n_charts} and dim={self.dim}, got {len(data)}."
            )
        if not isinstance(self.schedule, Schedule | None):
            raise TypeError(
                f"schedule must be a Schedule or None, got {type(self.schedule).__name__}."
            )
        if self.levels is not None:
            integer(self.levels, "levels", minimum=1)
        return data

    def _require_distinct(self, x: Tensor) -> None:
        """`ValueError` if too many of the points (N, n) are the same ones."""
        # Different points have different products with a random vector.
        source = torch.Generator().manual_seed(0)
        probe = torch.randn(x.shape[1], generator=source, dtype=x.dtype)
        count, least = len((x @ probe).unique()), self.n_charts * (self.dim + 2)
        if count < least:
            raise ValueError(
                f"x must hold at least {least} different points for n_charts={self.n_charts} and "
                f"dim={self.dim}, got {count}."
            )

    def _new_charts(self, shape: tuple[int, ...], seed: int) -> FlowCharts | ImageCharts:
        sizes: dict[str, Any] = {
            "n_charts": self.n_charts,
            "dim": self.dim,
            "hidden": self.hidden,
            "n_blocks": self.n_blocks,
            "n_latent_blocks": self.n_latent_blocks,
            "seed": seed,
        }
        if len(shape) == 1:
            return FlowCharts(n_ambient=shape[0], **sizes)
        channels, height, width = shape
        return ImageCharts(
            ambient_shape=(channels, height, width),
            levels=self.levels,
            conv_hidden=self.conv_hidden,
            n_conv_blocks=self.n_conv_blocks,
            **sizes,
        )

    def _train(
        self, x: Tensor, units: Units, seed: int, restart: int
    ) -> tuple[Atlas, dict[str, Any]]:
        """An atlas in the data's units, from flat points x in theirs."""
        schedule = self.schedule or Schedule.suited(self.n_charts, self.dim)
        generator = torch.Generator().manual_seed(seed)
        # Lightning takes seconds to import; a pretrained atlas needs none.
        from learnedmanifolds.models.training import AtlasTraining

        cells = disc_cells(x, self.n_charts, self.dim, generator)
        charts = self._new_charts(tuple(units.center.shape), seed)
        charts.place(*cells.frames(full=isinstance(charts, FlowCharts)), cells.radius)
        if self.noise_std is None:
            noise_std = local_noise(x, self.dim)
        else:
            noise_std = float(self.noise_std) / units.scale
        module = AtlasTraining(charts, x, cells, noise_std, schedule, seed)
        root = self.checkpoint_dir
        folder = None if root is None else Path(root) / f"run-{restart}"
        self._run(module, schedule.n_steps, folder, schedule.clip)
        found = module.atlas()
        charts = copy.deepcopy(charts).to(units.dtype)
        charts.carry(units.center.flatten(), units.scale)
        return Atlas(charts, found.weights, found.noise_std * units.scale), module.history

    def score(self, x: ArrayLike, y: object = None) -> float:
        """Mean lower bound of the log-likelihood of points (N, n), in nats; larger is better."""
        atlas = self._fitted()
        self._check_names(x)
        flat = atlas.flat(x)
        bound = evidence_lower_bound(self._charts(), flat, atlas.noise_std)
        return float(torch.logsumexp(atlas.weights.log().unsqueeze(-1) + bound, dim=0).mean())

    def _charts(self) -> LearnedCharts:
        charts = self._fitted().charts
        if not isinstance(charts, LearnedCharts):
            raise TypeError(f"atlas_ must have LearnedCharts, got {type(charts).__name__}.")
        return charts


def local_noise(x: Tensor, dim: int) -> float:
    """Residual of local principal components: the data's spread around a d-dimensional manifold.

    Root mean square, in a normal direction, of the 60 nearest neighbours of 512 points about their
    best d-dimensional plane; at least a thousandth of the data's spread.
    """
    centers = x[:: max(1, len(x) // 512)][:512]
    near = x[neighbours(x, centers, min(60, len(x)))]
    centred = near - near.mean(1, keepdim=True)
    values = torch.linalg.svdvals(centred).square()
    count, n = near.shape[1], x.shape[1]
    freedom = max(1, count - 1 - dim)
    residual = values[:, dim:].sum(-1) / freedom / max(1, n - dim)
    floor = 1e-3 * float((x - x.mean(0)).square().sum(-1).mean().sqrt())
    return max(float(residual.median().sqrt()), floor)
