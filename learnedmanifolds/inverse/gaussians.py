"""The answer of a mixture of Gaussians to an inverse problem with a mask: its conditional mean."""

from __future__ import annotations

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive


class Gaussians:
    """A mixture of Gaussians fitted to data, to compare an atlas with.

    Parameters
    ----------
    x : array, shape (N, n)
    n_components : int
        At most N.
    ridge : float
        Added to the variances, in units of the squared data.
    random_state : int, optional

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.
    """

    def __init__(
        self, x: ArrayLike, n_components: int, ridge: float, random_state: int | None = None
    ) -> None:
        data = as_tensor(x, "x", shape=(None, None), allow_empty=False).double()
        count = integer(n_components, "n_components", minimum=1)
        if count > len(data):
            raise ValueError(f"n_components must be at most {len(data)}, got {count}.")
        self.model = GaussianMixture(
            count, reg_covar=positive(ridge, "ridge"), random_state=random_state
        ).fit(data.numpy())
        self._weights, self._means, self._covariances = (
            torch.from_numpy(part)
            for part in (self.model.weights_, self.model.means_, self.model.covariances_)
        )

    def restore(self, observed: ArrayLike, visible: ArrayLike) -> Tensor:
        """Mean (n,) of the mixture given the visible entries.

        Parameters
        ----------
        observed : array, shape (n,)
            Only its visible entries are read.
        visible : array of bool, shape (n,)
        """
        shape = self._means.shape[1:]
        y = as_tensor(observed, "observed", shape=shape).double()
        mask = as_tensor(visible, "visible", dtype=torch.bool, shape=shape)
        gap = (y - self._means)[:, mask]
        factor = torch.linalg.cholesky(self._covariances[:, mask][:, :, mask])
        white = torch.linalg.solve_triangular(factor, gap.unsqueeze(-1), upper=False).squeeze(-1)
        halves = factor.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * white.square().sum(1)
        gain = torch.cholesky_solve(gap.unsqueeze(-1), factor)
        restored = self._means + (self._covariances[:, :, mask] @ gain).squeeze(-1)
        return torch.softmax(self._weights.log() - halves, 0) @ restored
