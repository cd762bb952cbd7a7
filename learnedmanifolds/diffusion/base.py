"""What the exact and the parametric diffusion map share: their data, graph and spectrum."""

from __future__ import annotations

import abc
import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, non_negative, positive
from learnedmanifolds.diffusion.bandwidth import choose_bandwidth, sample_distances
from learnedmanifolds.diffusion.figures import draw
from learnedmanifolds.diffusion.graph import KernelGraph, build_graph
from learnedmanifolds.diffusion.neighbors import DataDistances
from learnedmanifolds.diffusion.spectrum import Spectrum
from learnedmanifolds.training.frames import Framed
from learnedmanifolds.training.units import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Entries of the sparse kernel: 200 MB, and a few times that while it is made.
_ENTRIES = 2**24
_ROWS = 1024
_DOUBLE_SLACK = 1e-6


class DiffusionEmbedding(
    Framed,
    TransformerMixin,
    BaseEstimator,
    abc.ABC,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Coordinates psi_i = lambda_i^t f_i of data, from the spectrum of a random walk on them."""

    n_components: int
    epsilon: float | None
    alpha: float
    local_scale: int | None
    n_neighbors: int | None
    cutoff: float
    t: float

    @abc.abstractmethod
    def fit(self, x: ArrayLike, y: None = None) -> Self:
        """Find the eigenfunctions from data (N, *ambient_shape)."""

    @abc.abstractmethod
    def coordinates(self, x: ArrayLike) -> Tensor:
        """Coordinates (M, n_components) of data (M, *ambient_shape), a tensor always."""

    def transform(self, x: ArrayLike) -> Tensor:
        """`coordinates` of data; a DataFrame after ``set_output(transform="pandas")``."""
        values: Tensor = self._as_asked(self.coordinates(x), x)
        return values

    def fit_transform(self, x: ArrayLike, y: None = None) -> Tensor:
        """Fit, and return `embedding_`, the coordinates of the data, (N, n_components)."""
        values: Tensor = self._as_asked(self.fit(x).embedding_, x)
        return values

    @property
    def _n_outputs(self) -> int:
        return self.embedding_.shape[1]

    def plot(self, color: ArrayLike | None = None) -> Figure:
        """The first two coordinates, the spectrum with its widest gap, and the choice of epsilon.

        Parameters
        ----------
        color : array, shape (N,), optional
            A value of each data point; the third coordinate by default, where there is one.
        """
        check_is_fitted(self)
        embedding = self.embedding_.detach().cpu().double().numpy()
        values = None
        if color is not None:
            given = as_tensor(color, "color", shape=(len(embedding),))
            values = given.detach().cpu().double().numpy()
        elif embedding.shape[1] > 2:
            values = embedding[:, 2]
        return draw(embedding, self._values, self.gaps_.numpy(), self.bandwidth_, values)

    def _graph_of(self, x: ArrayLike, precomputed: bool = False) -> tuple[Tensor, KernelGraph]:
        """Check parameters and data; return the data as given and their graph."""
        data = as_tensor(x, "x", allow_empty=False).detach()
        if data.ndim < 2:
            raise ValueError(f"x must have shape (N, *ambient_shape), got {tuple(data.shape)}.")
        near, cutoff, epsilon, alpha = self._check_parameters(len(data))
        self._take_names(x)
        flat = data.cpu().double().flatten(1).numpy()
        if precomputed:
            _require_distances(flat, _slack(data))
            # What rounding left: one distance in both directions.
            flat = (flat + flat.T) / 2
            np.fill_diagonal(flat, 0.0)
        else:
            # Distances are differences of squares, which lose digits far from the origin.
            self._center = Units.of(data).center.flatten().cpu().numpy()
            flat = flat - self._center
        scale = None if self.local_scale is None else int(self.local_scale)
        distances = DataDistances(flat, scale, precomputed)
        self.bandwidth_ = choose_bandwidth(sample_distances(distances), near, cutoff, epsilon)
        self.epsilon_, self.dimension_ = self.bandwidth_.epsilon, self.bandwidth_.dimension
        low, high = self.bandwidth_.linear
        if epsilon is None and self.epsilon_ < 0.99 * low:
            warnings.warn(
                f"n_neighbors={near} keeps the kernel to epsilon={self.epsilon_:.3g}, below the linear "
                f"region ({low:.3g}, {high:.3g}), where it is too narrow for the gaps between the "
                "points; raise n_neighbors (memory grows with it) or cutoff.",
                UserWarning,
                stacklevel=3,
            )
        graph = build_graph(distances, self.epsilon_, alpha, cutoff)
        return data, graph

    def _check_parameters(self, size: int) -> tuple[int, float, float | None, float]:
        """The bound of the neighbours, the cutoff, epsilon and alpha, for so many points."""
        if size < 4:
            raise ValueError(f"x must hold at least 4 points, got {size}.")
        count = integer(self.n_components, "n_components", minimum=1)
        if count > size - 3:
            raise ValueError(
                f"n_components must be at most N - 3 = {size - 3} for {size} points, got {count}."
            )
        alpha = non_negative(self.alpha, "alpha")
        if alpha > 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}.")
        cutoff = positive(self.cutoff, "cutoff")
        if cutoff >= 1:
            raise ValueError(f"cutoff must be in (0, 1), got {cutoff}.")
        non_negative(self.t, "t")
        epsilon = None if self.epsilon is None else positive(self.epsilon, "epsilon")
        if self.local_scale is not None:
            scale = integer(self.local_scale, "local_scale", minimum=2)
            if scale > size:
                raise ValueError(
                    f"local_scale must be at most the number of points, got {scale} of {size}."
                )
        if self.n_neighbors is None:
            return min(size - 1, max(1, _ENTRIES // size)), cutoff, epsilon, alpha
        near = integer(self.n_neighbors, "n_neighbors", minimum=1)
        if near >= size:
            raise ValueError(
                f"n_neighbors must be less than the number of points, got {near} neighbours of "
                f"{size} points."
            )
        return near, cutoff, epsilon, alpha

    def _keep(self, spectrum: Spectrum, data: Tensor) -> None:
        """Set the fitted attributes."""
        values = spectrum.values
        if values[-1] <= 0:
            raise ValueError(
                f"n_components={self.n_components} is too large: of the walk at epsilon="
                f"{self.epsilon_:.4g} only {int((values > 0).sum())} eigenvalues beside the constant's "
                "are positive; ask for fewer components or a smaller epsilon."
            )
        self._values = np.concatenate([[1.0], values, [spectrum.following]])
        self.eigenvalues_ = torch.from_numpy(values.copy())
        self.laplacian_eigenvalues_ = -self.eigenvalues_.log() / self.epsilon_
        self.gaps_ = torch.from_numpy(spectrum.gaps.copy())
        self.spectral_gap_ = float(self.gaps_[0])
        self.n_features_in_ = data[0].numel()
        self._shape = tuple(data.shape[1:])
        scaled = spectrum.functions * values ** float(self.t)
        self.embedding_ = as_given(torch.from_numpy(scaled), data)

    def _new_data(self, x: ArrayLike) -> tuple[Tensor, Any]:
        """Check data for `transform`; return them as given, and flat, float64, (M, n)."""
        check_is_fitted(self)
        self._check_names(x)
        data = as_tensor(x, "x", shape=(None, *self._shape)).detach()
        return data, data.cpu().double().flatten(1).numpy()


def as_given(value: Tensor, data: Tensor) -> Tensor:
    """To the data's device, and to their dtype if it is a floating one."""
    dtype = data.dtype if data.is_floating_point() else torch.float64
    return value.to(dtype=dtype, device=data.device)


def _slack(distances: Tensor) -> float:
    """Share of the largest distance by which rounding may be off: as squares lose digits in float32."""
    if distances.dtype == torch.float64 or not distances.is_floating_point():
        return _DOUBLE_SLACK
    return 4 * max(torch.finfo(torch.float32).eps ** 0.5, torch.finfo(distances.dtype).eps)


def _require_distances(distances: np.ndarray, slack: float) -> None:
    size = len(distances)
    if distances.shape != (size, size):
        raise ValueError(
            f"x must be a matrix (N, N) of distances for metric='precomputed', got {distances.shape}."
        )
    slack *= float(np.abs(distances).max())
    if distances.min() < 0:
        raise ValueError(f"x must hold distances of at least 0, got {distances.min():.4g}.")
    if float(np.abs(np.diagonal(distances)).max()) > slack:
        raise ValueError("x must hold distances, 0 from every point to itself.")
    for start in range(0, size, _ROWS):
        rows = distances[start : start + _ROWS]
        if float(np.abs(rows - distances[:, start : start + _ROWS].T).max()) > slack:
            raise ValueError("x must hold distances, the same in both directions.")
