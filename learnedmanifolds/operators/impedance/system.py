"""The discrete problem at its conductivities: loads, factorization, potentials, observation."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
import torch

from learnedmanifolds.operators.domain import OutsideDomainError
from learnedmanifolds.operators.impedance.assembly import Assembly, SparseMap
from learnedmanifolds.operators.impedance.factor import Factor
from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh

# The point of a trust region and the one it tries.
CACHED = 2

S = TypeVar("S")
T = TypeVar("T")


class State:
    """The potentials of all loads in one conductivity, and what solves further ones.

    Attributes
    ----------
    conductivity : ndarray, shape (T,)
    factor : Factor
    potentials : ndarray, shape (n, c)
    """

    def __init__(self, system: System, conductivity: np.ndarray) -> None:
        self.conductivity = conductivity
        self.factor = system.factorize(conductivity)
        self.potentials = self.factor.solve(system.loads)
        self._gradient = system.gradient

    @cached_property
    def fields(self) -> np.ndarray:
        """Gradients of the potentials times the root of the triangles' areas, (2 T, c)."""
        return self._gradient.forward @ self.potentials


class System:
    """A(sigma) u = loads, with the last unknown grounded.

    Loads that sum to zero have the solution of any other normalisation up to a constant.

    Parameters
    ----------
    mesh : ImpedanceMesh
    loads : ndarray, shape (N + L, c)
        For the N vertices and L further unknowns.
    observed : ndarray of int, shape (m,)
        Unknowns that are observed.
    constant : sparse array, shape (N + L, N + L), optional
        Part of A that does not depend on the conductivity.
    threads : int, optional
        For several conductivities; as many as torch uses by default.

    Attributes
    ----------
    loads : ndarray, shape (n, c)
        In the order of elimination, without the grounded unknown.
    gradient : SparseMap, (2 T, n)
        See `Assembly`.
    observe : SparseMap, (m, n)
        Selects the observed unknowns.
    n_factorizations : int
        How many were made so far.
    """

    def __init__(
        self,
        mesh: ImpedanceMesh,
        loads: np.ndarray,
        observed: np.ndarray,
        constant: sp.coo_array | None = None,
        threads: int | None = None,
    ) -> None:
        self._mesh = mesh
        self._threads = threads
        self._assembly = Assembly(mesh, len(loads), constant)
        self.gradient = self._assembly.gradient
        self.loads = np.asfortranarray(loads[self._assembly.order])
        select = sp.csr_array(sp.eye(len(loads), len(loads) - 1))
        self.observe = SparseMap.of(select[self._assembly.place[observed]])
        self.n_factorizations = 0
        self._states: deque[State] = deque(maxlen=CACHED)
        self._lock = threading.Lock()

    def factorize(self, conductivity: np.ndarray) -> Factor:
        """Factorize A and count it.

        Raises
        ------
        OutsideDomainError
            If a conductivity is not positive and finite.
        """
        self.require_positive(conductivity[None])
        with self._lock:
            self.n_factorizations += 1
        return Factor(self._assembly.matrix(conductivity))

    def require_positive(self, conductivities: np.ndarray) -> None:
        """`OutsideDomainError` unless conductivities (N, T) are positive and finite."""
        wrong = ~((conductivities > 0) & np.isfinite(conductivities))
        if wrong.any():
            row, first = np.argwhere(wrong)[0]
            x, y = self._mesh.nodes[self._mesh.triangles[first]].mean(0)
            raise OutsideDomainError(
                f"image must give every triangle a positive, finite conductivity "
                f"scale * image + offset, got {conductivities[row, first]:.6g} S/m in the triangle "
                f"at ({x:.4g}, {y:.4g}), one of {int(wrong[row].sum())}."
            )

    def state(self, conductivity: np.ndarray) -> State:
        """The state at a conductivity (T,); the last few are kept."""
        with self._lock:
            for known in self._states:
                if np.array_equal(known.conductivity, conductivity):
                    return known
        made = State(self, conductivity.copy())
        with self._lock:
            self._states.append(made)
        return made

    def map(self, function: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """Apply a function to items, in several threads."""
        every, threads = list(items), self._threads or torch.get_num_threads()
        if threads == 1 or len(every) < 2:
            return [function(item) for item in every]
        return list(_pool(threads).map(function, every))


_pools: dict[int, ThreadPoolExecutor] = {}
if sys.platform != "win32":
    # Threads do not survive a fork.
    os.register_at_fork(after_in_child=_pools.clear)


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: they release the factorizations that they made."""
    return _pools.setdefault(threads, ThreadPoolExecutor(threads, thread_name_prefix="impedance"))
