"""Records of many runs: tensors of one leading length, selected and replaced together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from learnedmanifolds.inverse.recording import FAILURES

RowsT = TypeVar("RowsT", bound="Rows")


@dataclass(frozen=True, eq=False)
class Rows:
    """A dataclass of tensors (A, ...) and of further `Rows`, one row a run."""

    def take(self, index: Tensor) -> Self:
        """The rows of an index or of a mask."""
        return replace(
            self,
            **{
                name: value.take(index) if isinstance(value, Rows) else value[index]
                for name, value in self._items()
            },
        )

    def put(self, index: Tensor, other: Self) -> Self:
        """A copy whose rows of an index (B,) are those of another record."""
        if len(index) == len(self):
            # A mask's index is sorted: all rows are those of the other record.
            return other
        return replace(
            self,
            **{
                name: value.put(index, getattr(other, name))
                if isinstance(value, Rows)
                else value.index_copy(0, index, getattr(other, name))
                for name, value in self._items()
            },
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The rows of several records, one after the other."""
        values = []
        for name, first in parts[0]._items():
            column = [getattr(part, name) for part in parts]
            values.append(first.join(column) if isinstance(first, Rows) else torch.cat(column))
        return cls(*values)

    def __len__(self) -> int:
        return len(self._items()[0][1])

    def _items(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def without_failures(
    function: Callable[[Tensor], RowsT], index: Tensor
) -> tuple[Tensor, RowsT | None]:
    """Results for those rows of an index (A,) for which a function of it does not fail, if any.

    Linear algebra raises an error for a whole batch because of one of its rows, which is found by
    halving.
    """
    parts = _parts(function, index)
    if not parts:
        return index[:0], None
    return torch.cat([rows for rows, _ in parts]), parts[0][1].join([part for _, part in parts])


def _parts(function: Callable[[Tensor], RowsT], index: Tensor) -> list[tuple[Tensor, RowsT]]:
    if not len(index):
        return []
    try:
        return [(index, function(index))]
    except FAILURES:
        half = len(index) // 2
        if not half:
            return []
        return _parts(function, index[:half]) + _parts(function, index[half:])
