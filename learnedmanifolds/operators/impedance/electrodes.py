"""The complete electrode model: electrodes on the border, each with a contact impedance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive
from learnedmanifolds.operators.impedance.boundary import arc_integrals
from learnedmanifolds.operators.impedance.currents import require_balance
from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh, frozen


@dataclass(frozen=True, eq=False)
class Electrodes:
    """Electrodes on arcs of the border.

    u + z_l sigma du/dn = U_l on electrode l, the integral of sigma du/dn over it is the current
    I_l, and sigma du/dn = 0 in between. E. Somersalo, M. Cheney, D. Isaacson, "Existence and
    uniqueness for electrode models for electric current computed tomography", SIAM J. Appl. Math.
    52 (1992).

    Parameters
    ----------
    starts, lengths : array, shape (L,)
        Shares of the perimeter, counterclockwise from the border vertex nearest to the lower right
        corner (`ImpedanceMesh.boundary_parameter`); any position within an edge.
    contact_impedance : float or array, shape (L,)
        z, ohm metres (ohm square metres for a body one metre thick).

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two electrodes, one has no length, two overlap, or an impedance is
        not positive.
    """

    starts: np.ndarray
    lengths: np.ndarray
    contact_impedance: np.ndarray | float = 0.01

    def __post_init__(self) -> None:
        starts = as_tensor(self.starts, "starts", dtype=torch.float64, shape=(None,)).numpy()
        count = len(starts)
        if count < 2:
            raise ValueError(f"starts must place at least two electrodes, got {count}.")
        lengths = as_tensor(self.lengths, "lengths", dtype=torch.float64, shape=(count,)).numpy()
        if lengths.min() <= 0:
            raise ValueError(f"lengths must be positive, got {lengths.min()}.")
        if starts.min() < 0 or starts.max() >= 1:
            raise ValueError(
                f"starts must be shares of the perimeter in [0, 1), got {starts.min()} to "
                f"{starts.max()}."
            )
        order = np.argsort(starts)
        gap = (np.roll(starts[order], -1) - starts[order] - lengths[order]) + (
            np.arange(count) == count - 1
        )
        # Electrodes may touch.
        if gap.min() < -1e-12:
            raise ValueError(
                f"electrodes must not overlap: electrode {order[gap.argmin()]} reaches "
                f"{-gap.min():.3g} of the perimeter into the next."
            )
        impedance = as_tensor(self.contact_impedance, "contact_impedance", dtype=torch.float64)
        if impedance.ndim > 1 or impedance.numel() not in (1, count):
            raise ValueError(
                f"contact_impedance must be a number or have shape ({count},), "
                f"got {tuple(impedance.shape)}."
            )
        if float(impedance.min()) <= 0:
            raise ValueError(f"contact_impedance must be positive, got {float(impedance.min())}.")
        values = np.broadcast_to(impedance.numpy(), count)
        for name, array in (("starts", starts), ("lengths", lengths)):
            object.__setattr__(self, name, frozen(array))
        object.__setattr__(self, "contact_impedance", frozen(values))

    @classmethod
    def equispaced(
        cls, count: int, *, coverage: float = 0.5, contact_impedance: ArrayLike = 0.01
    ) -> Electrodes:
        """Electrodes of equal length and distance; the first one starts at the first border vertex.

        Parameters
        ----------
        count : int
            At least 2.
        coverage : float
            Share of the border under electrodes, in (0, 1].
        contact_impedance : float or array, shape (count,)
            Ohm metres.
        """
        number = integer(count, "count", minimum=2)
        share = positive(coverage, "coverage")
        if share > 1:
            raise ValueError(f"coverage must be at most 1, got {coverage}.")
        starts = np.arange(number) / number
        return cls(starts, np.full(number, share / number), contact_impedance)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.starts)

    def patterns(self, currents: ArrayLike | None) -> np.ndarray:
        """Currents into the electrodes, (P, L) amperes; by default from each into the next.

        Raises
        ------
        TypeError, ValueError
            If the array has another number of electrodes or is not finite, or if the currents of
            a pattern do not sum to zero.
        """
        count = len(self)
        if currents is None:
            return (np.eye(count) - np.roll(np.eye(count), 1, 1))[:-1]
        values = as_tensor(
            currents, "currents", dtype=torch.float64, shape=(None, count), allow_empty=False
        )
        array = values.detach().numpy()
        require_balance(
            array.sum(1), np.abs(array).sum(1), "currents must sum to zero over the electrodes"
        )
        return array

    def contact_matrix(self, mesh: ImpedanceMesh) -> sp.coo_array:
        """What the electrodes add to the stiffness matrix, (N + L, N + L)."""
        integrals = arc_integrals(mesh, self.starts, self.lengths)
        admittance = 1 / np.asarray(self.contact_impedance)
        nodes, count = len(mesh.nodes), len(self)
        vertex, after = mesh.boundary, np.roll(mesh.boundary, -1)
        first, both, second = (admittance @ product for product in integrals.products)
        electrode = nodes + np.arange(count)
        row, column = (a.ravel() for a in np.broadcast_arrays(electrode[:, None], vertex))
        coupling = (-admittance[:, None] * integrals.hats).ravel()
        own = admittance * self.lengths * mesh.perimeter
        entries = [
            (vertex, vertex, first),
            (after, after, second),
            (vertex, after, both),
            (after, vertex, both),
            (row, column, coupling),
            (column, row, coupling),
            (electrode, electrode, own),
        ]
        i, j, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
        touched = value != 0
        shape = (nodes + count, nodes + count)
        return sp.coo_array((value[touched], (i[touched], j[touched])), shape=shape)
