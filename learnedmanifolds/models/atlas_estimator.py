"""What every estimator of an atlas does once it is fitted."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from learnedmanifolds._check import ArrayLike
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.geometry.local import Located
from learnedmanifolds.training.frames import Framed


class AtlasEstimator(Framed):
    """An estimator with an ``atlas_``."""

    atlas_: Atlas

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """Draw points (n, n_features) of the learned manifold."""
        return self._fitted().sample(n, seed)

    def transform(self, x: ArrayLike) -> Located:
        """Chart (N,) and coordinates (N, d) of points (N, n_features).

        After ``set_output(transform="pandas")`` a DataFrame with the columns of
        `get_feature_names_out`.
        """
        self._check_names(x)
        located = self._fitted().locate(x)
        chart = located.chart.to(located.coords).unsqueeze(1)
        table = self._as_asked(torch.cat([chart, located.coords], 1), x)
        return located if isinstance(table, Tensor) else table.astype({table.columns[0]: int})

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """See `Framed.get_feature_names_out`; the first is the chart."""
        coords = super().get_feature_names_out(input_features)
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}_chart", *coords[:-1]], dtype=object)

    @property
    def _n_outputs(self) -> int:
        return 1 + self._fitted().dim

    def inverse_transform(self, located: tuple[ArrayLike, ArrayLike]) -> Tensor:
        """Points (N, n_features) of charts (N,) and coordinates (N, d)."""
        try:
            chart, coords = located
        except TypeError as error:
            raise TypeError(
                f"located must be charts and coordinates, got {type(located).__name__}."
            ) from error
        return self._fitted().decode(coords, chart)

    def _fitted(self) -> Atlas:
        check_is_fitted(self, "atlas_")
        return self.atlas_
