"""Wigner matrices: the irreducible representations of SO(3) in the basis of real harmonics."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import integer
from learnedmanifolds.charts.jet import JetRule
from learnedmanifolds.latent.rotations.algebra import matrices


def wigner(rotation: Tensor, degree: int) -> list[Tensor]:
    """Orthogonal matrices D^l(R) of l = 0, ..., degree: Y_l(R x) = D^l(R) Y_l(x).

    Y_l are the 2 l + 1 real spherical harmonics of order m = -l, ..., l, without the Condon-Shortley
    phase: Y_1 is proportional to (y, z, x). D^l is the part of D^1 (x) D^(l - 1) that the
    Clebsch-Gordan isometry C_l of the highest spin picks out,

        D^l = C_l^T (D^1 (x) D^(l - 1)) C_l,

    so its entries are polynomials of degree l of the entries of R, smooth everywhere.

    Parameters
    ----------
    rotation : Tensor, shape (..., 3, 3)
    degree : int
        At least 0.

    Returns
    -------
    list of Tensor, shape (..., 2 l + 1, 2 l + 1)

    Raises
    ------
    TypeError, ValueError
        If the degree is not a non-negative integer or the shape does not fit.

    References
    ----------
    Varshalovich, Moskalev, Khersonskii, Quantum Theory of Angular Momentum, 1988, chapters 4 and 8.
    """
    top = integer(degree, "degree", minimum=0)
    found = [torch.ones_like(matrices(rotation, "rotation")[..., :1, :1])]
    if top:
        found.append(rotation[..., _ORDER, :][..., _ORDER])
    for spin in range(2, top + 1):
        coupling = _coupling(spin).to(rotation)
        # (1 (x) D^(l - 1)) C, then D^1 over the first factor, then C^T.
        inner = found[-1].unsqueeze(-3) @ coupling
        outer = torch.einsum("...ij,...jab->...iab", found[1], inner)
        found.append(torch.einsum("iac,...iab->...cb", coupling, outer))
    return found


def push_wigner(rows: Tensor, rule: JetRule, degree: int) -> list[Tensor]:
    """Rows (..., R, N, (2 l + 1)^2) of `wigner` from those of the matrices, (..., R, N, 9)."""
    constant = torch.zeros_like(rows[..., :1])
    constant.select(-3, 0).fill_(1)
    found = [constant]
    if degree:
        first = rows.unflatten(-1, (3, 3))[..., _ORDER, :][..., _ORDER]
        found.append(first.flatten(-2))
    for spin in range(2, degree + 1):
        coupling = _coupling(spin).to(rows)
        below, size = 2 * spin - 1, 2 * spin + 1
        inner = found[-1].unflatten(-1, (1, below, below)) @ coupling
        left = first.unsqueeze(-1).expand(*first.shape, below * size).flatten(-3)
        right = inner.flatten(-2).unsqueeze(-3).expand(*first.shape[:-1], 3, below * size)
        outer = rule.product(left, right.flatten(-3)).unflatten(-1, (3, 3, below, size)).sum(-3)
        found.append(torch.einsum("iac,...iab->...cb", coupling, outer).flatten(-2))
    return found


# Real harmonics of degree 1 are y, z, x.
_ORDER = [1, 2, 0]


@functools.lru_cache(maxsize=64)
def _coupling(spin: int) -> Tensor:
    """C_l, (3, 2 l - 1, 2 l + 1), float64: an isometry from spin l into 1 (x) (l - 1)."""
    below = spin - 1
    complex_form = torch.zeros(3, 2 * below + 1, 2 * spin + 1, dtype=torch.complex128)
    for m in range(-spin, spin + 1):
        for step in (-1, 0, 1):
            if abs(m - step) <= below:
                amount = (spin + step * m) * (spin + step * m - 1) / 2
                if step == 0:
                    amount = (spin - m) * (spin + m)
                value = math.sqrt(amount / (spin * (2 * below + 1)))
                complex_form[step + 1, m - step + below, m + spin] = value
    one, low, high = (_real_basis(k) for k in (1, below, spin))
    return torch.einsum("ai,bj,ijk,ck->abc", one, low, complex_form, high.conj()).real


def _real_basis(spin: int) -> Tensor:
    """Rows are the real harmonics in terms of the complex ones (Condon-Shortley), unitary."""
    basis = np.zeros((2 * spin + 1, 2 * spin + 1), dtype=np.complex128)
    basis[spin, spin] = 1
    root = math.sqrt(0.5)
    for m in range(1, spin + 1):
        sign = (-1) ** m
        basis[spin + m, spin + m], basis[spin + m, spin - m] = sign * root, root
        basis[spin - m, spin + m], basis[spin - m, spin - m] = -1j * sign * root, 1j * root
    return torch.from_numpy(basis)
