"""Tables in and out of estimators, as scikit-learn has them: names of features, pandas output."""

from __future__ import annotations

import abc
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.exceptions import NotFittedError
from torch import Tensor

from learnedmanifolds._check import one_of

_KINDS = ("default", "pandas")


class Framed(abc.ABC):  # noqa: B024
    """What an estimator does with DataFrames.

    `fit` records the names of the columns as ``feature_names_in_``, where there are such names, and
    later data in a table must have the same ones in the same order; arrays have none and are taken as
    they come. `transform` gives a DataFrame after ``set_output(transform="pandas")``.

    """

    feature_names_in_: np.ndarray

    @property
    @abc.abstractmethod
    def _n_outputs(self) -> int:
        """Numbers that `transform` gives a point."""

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` gives: "default", tensors, or "pandas"; None changes nothing.

        Raises
        ------
        TypeError, ValueError
            If it is another.
        """
        if transform is not None:
            # The attribute that scikit-learn's clone, Pipeline and ColumnTransformer look at.
            self._sklearn_output_config = {"transform": one_of(transform, "transform", _KINDS)}
        return self

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Names of the columns that `transform` gives: the class's name, small, and a number.

        Parameters
        ----------
        input_features : ignored
            For scikit-learn.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        if not hasattr(self, "n_features_in_"):
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet; call fit first.")
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._n_outputs)], dtype=object)

    def _take_names(self, x: object) -> None:
        """Record the names of the columns of the data of `fit`, if they have names."""
        names = _names(x)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _check_names(self, x: object, name: str = "x") -> None:
        """`ValueError` if data in a table have other columns than those of `fit`, or another order."""
        names, fitted = _names(x), getattr(self, "feature_names_in_", None)
        if names is None or fitted is None or names == list(fitted):
            return
        what = "order" if sorted(names) == sorted(fitted) else "columns"
        raise ValueError(
            f"{name} must have the feature names of fit in their order, {list(fitted)}; got "
            f"other {what}, {names}."
        )

    def _as_asked(self, values: Tensor, x: object) -> Any:
        """Values (N, ...) of the rows of x, as a DataFrame where that was asked for."""
        chosen = getattr(self, "_sklearn_output_config", {}).get("transform")
        if (chosen or get_config()["transform_output"]) != "pandas":
            return values
        import pandas

        return pandas.DataFrame(
            values.detach().cpu().flatten(1).numpy(),
            columns=self.get_feature_names_out(),
            index=getattr(x, "index", None) if hasattr(x, "columns") else None,
        )


def _names(x: object) -> list[str] | None:
    """Names of the columns of a table, None for other data and for columns that are not named."""
    columns = getattr(x, "columns", None)
    if columns is None:
        return None
    names = list(columns)
    return names if names and all(isinstance(name, str) for name in names) else None
