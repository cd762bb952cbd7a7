"""Fits of all charts together: which are split, and how they are made to agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from learnedmanifolds.geometry.farthest import farthest
from learnedmanifolds.geometry.local import Located
from learnedmanifolds.geometry.principal import Principal
from learnedmanifolds.learning.cells import Cell, Cover
from learnedmanifolds.learning.codes import interpolate
from learnedmanifolds.learning.kernel_fit import (
    ENOUGH,
    EXACT,
    KernelFit,
    fit_chart,
    interpolate_chart,
)
from learnedmanifolds.learning.nodes import Nodes
from learnedmanifolds.learning.noise import UNTOLD, spacing
from learnedmanifolds.learning.region import Region

# A chart that leaves more than this times the noise is split, at most so many times over.
_TOO_MUCH, _SPLITS = 1.5, 6
# A chart that would take more bumps is split where it leaves more than this part of the distance between
# neighbouring points.
_NEAR = 0.3
_AGREEMENTS = 6
_CODES = 512
# Places at which charts are compared.
_SHARED = 1024
# Numbers in the points that tell what charts leave.
_NUMBERS = 2**23


Fit = TypeVar("Fit")


class Made(NamedTuple, Generic[Fit]):
    """A fit, its points, and which of these are its cell's own and in its domain."""

    fit: Fit
    rows: Tensor
    core: Tensor
    inner: Tensor


class Shared(NamedTuple):
    """Codes (N, d) of points in two charts (N,) each."""

    charts: tuple[Tensor, Tensor]
    codes: tuple[Tensor, Tensor]


class ChartFits:
    """Kernel fits of the cells of covers.

    Parameters
    ----------
    x : Tensor, shape (N, q)
    nodes : Nodes
        Of the points.
    """

    def __init__(self, x: Tensor, nodes: Nodes) -> None:
        self.x, self._nodes = x, nodes
        self._node = nodes.owners(x.numpy())
        self._made: list[Made[KernelFit]] = []
        self.cells: list[Cell] = []

    def update(self, cells: Sequence[Cell]) -> None:
        """Fit the cells that are new."""
        known = {id(cell): made for cell, made in zip(self.cells, self._made, strict=True)}
        self.cells = list(cells)
        self._made = [known.get(id(cell)) or self._fit(cell) for cell in self.cells]

    def _fit(self, cell: Cell) -> Made[KernelFit]:
        inside = np.flatnonzero(np.isin(self._node, cell.members))
        index = torch.from_numpy(inside)
        own = self.x[index]
        some = own[:: -(-len(own) // ENOUGH)]
        codes = interpolate(some, self._nodes.points[cell.members], cell.coords)
        core, inner = (
            torch.from_numpy(np.isin(self._node[inside], part)) for part in (cell.core, cell.inner)
        )
        fit = (interpolate_chart if self._nodes.exact else fit_chart)(codes, own)
        fit.project(own)
        kept = fit.near(own)
        fit.codes = fit.codes[kept]
        fit.shrink()
        fit.settle()
        return Made(fit, index[kept], core[kept], inner[kept])

    @property
    def errors(self) -> Tensor:
        """Mean squared distance that each chart leaves of its points, (K,)."""
        return torch.tensor([fit.error for fit, *_ in self._made], dtype=torch.float64)

    @property
    def error(self) -> float:
        """The same of all charts, each by its share of the points."""
        return float(self.errors @ self.shares)

    @property
    def starved(self) -> set[int]:
        """Identities of the cells that more bumps than a chart may have would fit better."""
        return {id(c) for c, made in zip(self.cells, self._made, strict=True) if made.fit.starved}

    def bent(self, least: float) -> set[int]:
        """Identities of the cells whose charts are less straight than that."""
        made = zip(self.cells, self._made, strict=True)
        return {id(cell) for cell, (fit, *_) in made if fit.straightness < least}

    def agree(self, rounds: int) -> None:
        """Fit all charts some times more, where they overlap to the mean of what they said at first.

        A chart's weight is the square of its depth.
        """
        # Few points will do, the same ones of every chart.
        stride = max(1, len(self.x) // (ENOUGH * len(self.cells)))
        chosen = [(index % stride == 0).nonzero().squeeze(1) for _, index, *_ in self._made]
        places = [index[some] for (_, index, *_), some in zip(self._made, chosen, strict=True)]
        fits = [
            replace(fit, codes=fit.codes[some])
            for (fit, *_), some in zip(self._made, chosen, strict=True)
        ]
        count = torch.bincount(torch.cat(places), minlength=len(self.x))
        regions = [
            Region.of(fit.codes[made.inner[some]])
            for fit, made, some in zip(fits, self._made, chosen, strict=True)
        ]
        # The mean of the first fits: one that was taken anew each time would drift away from the data.
        total, share = torch.zeros_like(self.x), torch.zeros_like(self.x[:, :1])
        for fit, place, region in zip(fits, places, regions, strict=True):
            fit.project(self.x[place], 1)
            weight = region.depth(fit.codes).clamp(1e-3, 1).square().unsqueeze(1)
            total.index_add_(0, place, weight * fit.decode())
            share.index_add_(0, place, weight)
        for fit, place in zip(fits, places, strict=True):
            both = (count[place] > 1).unsqueeze(1)
            mean = torch.where(both, total[place] / share[place], fit.decode())
            for _ in range(rounds):
                fit.follow(mean)
                fit.project(mean, 1)
        for (whole, index, *_), fit in zip(self._made, fits, strict=True):
            whole.weights = fit.weights
            whole.project(self.x[index])
            whole.shrink()
            whole.settle()

    @property
    def shares(self) -> Tensor:
        """Parts of the points that are the charts' own, (K,)."""
        own = torch.tensor([float(core.sum()) for _, _, core, _ in self._made], dtype=torch.float64)
        return own / own.sum()

    def whole_weights(self, x: Tensor, principal: Principal) -> list[Tensor]:
        """Weights (F, n) of each chart for the points (N, n) themselves.

        What the principal coordinates leave is another linear function of the same features.
        """
        found = []
        for fit, index, *_ in self._made:
            if principal.basis is None:
                found.append(fit.weights)
                continue
            own = fit.weights - fit.regress(self.x, index)
            found.append(principal.restore(own) + fit.regress(x, index))
        return found

    def left(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Distances of some of points (N, n) from the charts in the cores of whose cells they are."""
        gaps = []
        for (fit, index, core, _), own in zip(self._made, weights, strict=True):
            some = core.nonzero().squeeze(1)
            some = some[:: max(1, len(x) * x.shape[1] // _NUMBERS)]
            gaps.append((x[index[some]] - fit.features()[some] @ own).norm(dim=1))
        return torch.cat(gaps)

    def located(self) -> tuple[Tensor, Located]:
        """See `located`."""
        return located(self._made)

    def shared(self) -> Shared:
        """See `shared`."""
        return shared(self._made, len(self.x))

    def stacked(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Arguments of `KernelCharts` for given weights of the charts."""
        fits = self._made
        regions = [Region.of(fit.codes[inner]) for fit, _, _, inner in fits]
        codes, mass = [], []
        for (fit, _, core, inner), region in zip(fits, regions, strict=True):
            inside = inner & (region.depth(fit.codes) >= 0)
            every = torch.cat([fit.codes[inside], region.grid()])
            place = farthest(every, _CODES)
            codes.append(every[torch.nn.functional.pad(place, (0, _CODES - len(place)))])
            # Points that several charts hold are drawn about in one.
            own = fit.codes[inside & core].numpy()
            near = torch.from_numpy(cKDTree(codes[-1].numpy()).query(own)[1])
            mass.append(torch.bincount(near, minlength=_CODES).to(self.x))
        width = [fit.width for fit, *_ in fits]
        return {
            "weights": _padded(weights),
            "centers": _padded([fit.centers for fit, *_ in fits]),
            "width": torch.tensor(width, dtype=self.x.dtype),
            "border_low": torch.stack([region.low for region in regions]),
            "border_step": torch.stack([region.step for region in regions]),
            "border": torch.stack([region.values for region in regions]),
            "codes": torch.stack(codes),
            "mass": torch.stack(mass),
        }


def located(made: Sequence[Made[Any]]) -> tuple[Tensor, Located]:
    """Points that are in cores of cells, each in one, and where they are."""
    rows, chart, coords = [], [], []
    for k, (fit, index, core, inner) in enumerate(made):
        own = core & inner
        rows.append(index[own])
        chart.append(torch.full_like(index[own], k))
        coords.append(fit.codes[own])
    return torch.cat(rows), Located(torch.cat(chart), torch.cat(coords))


def shared(made: Sequence[Made[Any]], n: int) -> Shared:
    """Places in two charts of n points, halfway between points that both hold, so that one is near."""
    first = made[0].fit.codes
    count = torch.zeros(n, dtype=torch.int64)
    chart = torch.zeros(n, 2, dtype=torch.int64)
    codes = first.new_zeros(n, 2, first.shape[1])
    for k, (fit, index, _, inner) in enumerate(made):
        for slot in (1, 0):
            # The second one first: a point has one place of each chart.
            held = inner & (count[index] == slot)
            rows = index[held]
            chart[rows, slot], codes[rows, slot] = k, fit.codes[held]
            count[rows] += 3 if slot else 1
    rows = (count > 2).nonzero().squeeze(1)
    rows = rows[:: -(-len(rows) // _SHARED)] if len(rows) else rows
    chart, codes = chart[rows], codes[rows]
    if len(rows) > 1:
        # Codes of other pairs of charts are far in the coordinates that number these.
        own = torch.cat([codes[:, 0], 10.0 * chart], 1).numpy()
        near = torch.from_numpy(cKDTree(own).query(own, 2)[1][:, 1])
        same = (chart[near] == chart).all(1)
        codes[same] = (codes[same] + codes[near[same]]) / 2
    return Shared((chart[:, 0], chart[:, 1]), (codes[:, 0], codes[:, 1]))


def _padded(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of several lengths, with zeros to one length."""
    return torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True)


def fit_cover(
    covers: Sequence[Cover],
    nodes: Nodes,
    x: Tensor,
    noise: float,
    split: bool = True,
    straight: float = 0.0,
) -> ChartFits:
    """Fit the cells of covers to points (N, q), split those that leave too much, and make them agree.

    The noise is the mean squared distance of the points from the manifold. Charts less straight than
    asked for are split too, see `KernelFit.straightness`.
    """
    fits = ChartFits(x, nodes)
    fits.update([cell for cover in covers for cell in cover.cells])
    between = spacing(x) ** 2
    for _ in range(_SPLITS if split else 0):
        errors = fits.errors
        # Charts that leave less than points can tell need not be as good as the best of them.
        good = max(float(errors.quantile(0.25)), UNTOLD * between)
        usual = max(min(noise, good), EXACT)
        bad = {id(fits.cells[k]) for k in (errors > _TOO_MUCH**2 * usual).nonzero().flatten()}
        # Where there is no noise, what tells is that charts are nearer than other points.
        rough = {id(fits.cells[k]) for k in (errors > _NEAR**2 * between).nonzero().flatten()}
        bad |= rough & fits.starved
        if straight:
            bad |= fits.bent(straight)
        changed = False
        for cover in covers:
            for cell in [c for c in cover.cells if id(c) in bad]:
                place = next(i for i, c in enumerate(cover.cells) if c is cell)
                if cover.can_split(place):
                    cover.split(place)
                    changed = True
        if not changed:
            break
        fits.update([cell for cover in covers for cell in cover.cells])
    if len(fits.cells) > 1:
        fits.agree(_AGREEMENTS)
    return fits
