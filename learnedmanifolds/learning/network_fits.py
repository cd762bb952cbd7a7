"""Network fits of all charts together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds.charts.network import NetworkCharts
from learnedmanifolds.geometry.farthest import farthest
from learnedmanifolds.geometry.local import Located
from learnedmanifolds.geometry.principal import Principal
from learnedmanifolds.learning.cells import Cell
from learnedmanifolds.learning.chart_fits import Made, Shared, located, shared
from learnedmanifolds.learning.codes import interpolate
from learnedmanifolds.learning.leverage import leverages
from learnedmanifolds.learning.network_fit import NetworkFit, fit_network, width_for
from learnedmanifolds.learning.nodes import Nodes

# Codes of a chart that nearest points are looked for at.
_CODES = 4096
# Codes that the domain leaves out. On balls of 64 x 64 one draw in seven is unlike data where the domain
# reaches half as far again in the leverage, one in fifty here.
_LEFT_OUT = 2e-3
# Principal coordinates that are learned first.
_COORDINATES = 400


class NetworkFits:
    """Network fits of cells.

    Parameters
    ----------
    x : Tensor, shape (N, n)
        Of unit scale.
    coordinates : Tensor, shape (N, q)
        Few principal coordinates of the points, in which nodes are.
    nodes : Nodes
    cells : sequence of Cell
    seed : int
    """

    def __init__(
        self, x: Tensor, coordinates: Tensor, nodes: Nodes, cells: Sequence[Cell], seed: int
    ) -> None:
        self.x, self.cells = x, list(cells)
        principal = Principal.of(x, seed, _COORDINATES)
        seen = principal.coordinates(x)
        node = nodes.owners(coordinates.numpy())
        self._made: list[Made[NetworkFit]] = []
        for number, cell in enumerate(self.cells):
            inside = np.flatnonzero(np.isin(node, cell.members))
            index = torch.from_numpy(inside)
            codes = interpolate(coordinates[index], nodes.points[cell.members], cell.coords)
            core, inner = (
                torch.from_numpy(np.isin(node[inside], part)) for part in (cell.core, cell.inner)
            )
            fit = fit_network(codes, seen[index], width_for(x, index), seed + number)
            self._made.append(Made(fit, index, core, inner))

    @property
    def error(self) -> float:
        """Mean squared distance of points left out of the training of their chart."""
        sizes = [float(made.core.sum()) for made in self._made]
        return float(np.average([made.fit.error for made in self._made], weights=sizes))

    @property
    def overfitted(self) -> bool:
        """Whether points left out are far farther than others."""
        return any(made.fit.overfitted for made in self._made)

    @property
    def shares(self) -> Tensor:
        """Parts of the points that are the charts' own, (K,)."""
        own = torch.tensor([float(made.core.sum()) for made in self._made], dtype=torch.float64)
        return own / own.sum()

    def shared(self) -> Shared:
        """See `chart_fits.shared`."""
        return shared(self._made, len(self.x))

    def located(self) -> tuple[Tensor, Located]:
        """See `chart_fits.located`."""
        return located(self._made)

    @property
    def unseen(self) -> Tensor:
        """Which of the points of `located` were left out of the training of their chart."""
        return torch.cat([made.fit.unseen[made.core & made.inner] for made in self._made])

    def weights(self) -> list[Tensor]:
        """Weights (F, n) of each chart for the points (N, n) themselves."""
        return [made.fit.regress(self.x, made.rows) for made in self._made]

    def charts(self, center: Tensor, scale: float) -> NetworkCharts:
        """Charts of center (*ambient_shape) + scale times the points."""
        networks = [made.fit.network for made in self._made]
        roots, levels, codes, mass = [], [], [], []
        for fit, _, _, inner in self._made:
            root, own, others = leverages(fit.features()[inner])
            roots.append(root)
            most = others.quantile(1 - _LEFT_OUT)
            levels.append(-torch.stack([most, others.median()]).log())
            inside = fit.codes[inner][own < most]
            codes.append(inside[farthest(inside, _CODES)])
        count = max(map(len, codes))
        for k, own in enumerate(codes):
            lacking = count - len(own)
            mass.append(torch.nn.functional.pad(torch.ones_like(own[:, 0]), (0, lacking)))
            codes[k] = torch.cat([own, own[:1].expand(lacking, -1)])
        return NetworkCharts(
            center=center.flatten(),
            weights=scale * torch.stack(self.weights()),
            **{name: torch.stack([n[name] for n in networks]) for name in networks[0]},
            root=torch.stack(roots),
            levels=torch.stack(levels),
            codes=torch.stack(codes),
            mass=torch.stack(mass),
            ambient_shape=tuple(center.shape),
        )
