"""Monomials of several variables, and their Taylor arithmetic."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from learnedmanifolds.charts.jet import JetRule, jet_rule


class Monomials:
    """The monomials of d variables up to a degree, in order of degree.

    Parameters
    ----------
    dim, degree : int

    Attributes
    ----------
    degrees : list of int
        Of each of the F = (dim + degree)! / (dim! degree!) monomials.
    """

    def __init__(self, dim: int, degree: int) -> None:
        before: list[tuple[int, ...]] = [()]
        self.degrees = [0]
        self._steps: list[tuple[Tensor, Tensor]] = []
        for q in range(1, degree + 1):
            # Each is the one that lacks its last variable, times that variable.
            words = list(itertools.combinations_with_replacement(range(dim), q))
            place = {word: i for i, word in enumerate(before)}
            parents = torch.tensor([place[word[:-1]] for word in words])
            self._steps.append((parents, torch.tensor([word[-1] for word in words])))
            self.degrees += [q] * len(words)
            before = words

    def __call__(self, coords: Tensor) -> Tensor:
        """Values (..., N, F) at coordinates (..., N, d)."""
        return self.push(coords.unsqueeze(-3), jet_rule(0, ())).squeeze(-3)

    def push(self, rows: Tensor, rule: JetRule) -> Tensor:
        """Rows (..., R, N, F) of the monomials from those of the coordinates, (..., R, N, d)."""
        one = torch.zeros_like(rows[..., :1])
        one.select(-3, 0).fill_(1)
        levels = [one]
        for parents, variables in self._steps:
            before = levels[-1].index_select(-1, parents.to(rows.device))
            levels.append(rule.product(before, rows.index_select(-1, variables.to(rows.device))))
        return torch.cat(levels, -1)
