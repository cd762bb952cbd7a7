"""Diffusion maps: the exact eigenfunctions of a random walk on data, and their extension."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, one_of
from learnedmanifolds.diffusion.base import DiffusionEmbedding, as_given
from learnedmanifolds.diffusion.spectrum import leading


class DiffusionMap(DiffusionEmbedding):
    r"""Coordinates of data from the slowest modes of a random walk between near points.

    With k(x, y) = exp(-|x - y|^2 / 4 epsilon), q = sum_j k(., x_j), w = k / (q(x) q(y))^alpha and
    d = sum_j w(., x_j), the walk steps from x to y with probability p(x, y) = w(x, y) / d(x). Its
    eigenfunctions f_i, of mean square 1 under its stationary law, make the coordinates
    psi_i = lambda_i^t f_i; the constant f_0 is dropped. For data on a manifold and alpha = 1,
    -log(lambda_i) / epsilon tend to the eigenvalues of its Laplace-Beltrami operator and f_i to its
    eigenfunctions, whatever the density of the data; alpha = 0 keeps the density's influence.

    The kernel is sparse: it is cut at the distance where it falls below ``cutoff``, and no matrix
    (N, N) is made. Eigenvectors of one eigenvalue (both of a circle's first, say) come in an arbitrary
    basis; signs are those that make the entry largest in size positive.

    Parameters
    ----------
    n_components : int
        Coordinates, at most N - 3.
    epsilon : float, optional
        Width of the kernel, in squared units of the data; by default chosen from their distances
        (`choose_bandwidth`).
    alpha : float
        Exponent of the density normalisation, in [0, 1].
    local_scale : int, optional
        k. Distances are then measured in local units, over the root of the product of what they are
        from both points to the k-th nearest data, each point its own first: for data whose outliers a
        kernel of one width does not reach, such as images. Steps of the walk are longer where data are
        sparse; in the limit its generator is div(q r^2 grad f) / q, q the density of the data, r the
        unit, for any alpha that leaves the nearly constant degrees alone, and q its stationary law. 7
        to 20 are usual.
    n_neighbors : int, optional
        Mean number of points within the reach of the kernel, at most: it bounds memory and time, and
        a chosen epsilon is lowered to it. By default 2^24 / N, a kernel of 200 MB. The reach is
        2 sqrt(epsilon log(1 / cutoff)).
    t : float
        Diffusion time, in steps of the walk.
    cutoff : float
        Value below which the kernel is taken as 0. The share of its sum that is lost is
        ``bandwidth_.neglected``: for data of dimension d the probability that a chi-squared variable
        of d degrees is larger than 2 log(1 / cutoff), and eigenvalues are too small by that of
        d + 2 degrees, 1e-4 for surfaces at the default. In higher dimensions the reach that this asks
        for holds nearly all points; a cutoff of 0.01 then gives a sparse graph of the
        nearest ones, at the price of that share.
    metric : {"euclidean", "precomputed"}
        Whether `fit` and `transform` are given data or their distances to the data of `fit`.

    Attributes
    ----------
    embedding_ : Tensor, shape (N, n_components)
        Coordinates of the data, in their dtype (float64 for integers).
    eigenvalues_ : Tensor, shape (n_components,)
        lambda_i of the walk, decreasing, without the constant's 1; float64.
    laplacian_eigenvalues_ : Tensor, shape (n_components,)
        -log(lambda_i) / epsilon, in inverse squared units of the data.
    gaps_ : Tensor, shape (n_components + 1,)
        Differences of consecutive eigenvalues, from 1 - lambda_1 to the one after the last coordinate.
        A last gap near 0 says that the coordinates break off inside an eigenspace.
    spectral_gap_ : float
        1 - lambda_1, the rate at which the walk forgets where it started, a step.
    epsilon_, dimension_ : float
        Width of the kernel, and the intrinsic dimension that the kernel sees at that width.
    bandwidth_ : Bandwidth
        What they were chosen from.
    graph_ : KernelGraph
    n_features_in_ : int

    References
    ----------
    Coifman, Lafon, Appl. Comput. Harmon. Anal. 21 (2006), 5-30.
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        epsilon: float | None = None,
        alpha: float = 1.0,
        local_scale: int | None = None,
        n_neighbors: int | None = None,
        t: float = 1.0,
        cutoff: float = 1e-5,
        metric: str = "euclidean",
    ) -> None:
        self.n_components = n_components
        self.epsilon = epsilon
        self.alpha = alpha
        self.local_scale = local_scale
        self.n_neighbors = n_neighbors
        self.t = t
        self.cutoff = cutoff
        self.metric = metric

    def fit(self, x: ArrayLike, y: None = None) -> Self:
        """Find the eigenfunctions from data.

        Parameters
        ----------
        x : array, shape (N, *ambient_shape)
            Or distances (N, N). Duplicates are allowed: with alpha = 1 they hardly change the result.

        Raises
        ------
        TypeError, ValueError
            If a parameter is out of range, x is not finite, has fewer points than the components or
            neighbours ask for, holds one point only or so many duplicates that the kernel has no
            width, falls into several connected components (the message says how many and how
            large), or is not a matrix of distances where one is expected.
        """
        precomputed = one_of(self.metric, "metric", ("euclidean", "precomputed")) == "precomputed"
        data, self.graph_ = self._graph_of(x, precomputed)
        spectrum = leading(self.graph_, int(self.n_components))
        self._keep(spectrum, data)
        self._functions = spectrum.functions
        return self

    def coordinates(self, x: ArrayLike) -> Tensor:
        """Coordinates of new points, by the Nystrom extension f(x) = sum_j p(x, x_j) f(x_j) / lambda.

        At the data of `fit` it is `embedding_`. Far from all data, where p goes to the nearest point
        alone, it is that point's value over lambda. Data of many dimensions are all about equally far
        from a new point; the sum is then over many, and tends to the mean (`SpectralNet` does not).

        Parameters
        ----------
        x : array, shape (M, *ambient_shape)
            Or distances (M, N) to the data of `fit`.

        Returns
        -------
        Tensor, shape (M, n_components)
            In the dtype of x.

        Raises
        ------
        TypeError, ValueError
            If x is not finite or of another shape than the data.
        """
        data, flat = self._new_data(x)
        if self.metric != "precomputed":
            flat = flat - self._center
        elif len(flat) and flat.min() < 0:
            raise ValueError(f"x must hold distances of at least 0, got {flat.min():.4g}.")
        values = self.eigenvalues_.numpy()
        if not len(flat):
            return as_given(torch.zeros(0, len(values), dtype=torch.float64), data)
        extended = self.graph_.transition(flat) @ self._functions
        return as_given(
            torch.from_numpy(np.asarray(extended * values ** (float(self.t) - 1.0))), data
        )
