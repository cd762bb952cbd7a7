"""Many runs at once: one trial step of every run a round, finished runs leave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from learnedmanifolds.geometry import Located, Retraction, SecondOrderRetraction
from learnedmanifolds.inverse.batch.borders import meet_borders
from learnedmanifolds.inverse.batch.iterate import Iterate, Place
from learnedmanifolds.inverse.batch.method import BatchMethod
from learnedmanifolds.inverse.batch.objective import BatchObjective, Evaluation
from learnedmanifolds.inverse.batch.records import STATUSES, Ends, Runs, Spots
from learnedmanifolds.inverse.batch.rows import without_failures
from learnedmanifolds.optimizers.status import Status

# As in `inverse.run` and `inverse.recording`: steps rejected in a row, and charts entered where a
# jump between charts would stop a run.
_MAX_REJECTED = 50
_MAX_HOPS = 8

# Rows in work at once are so many that their geometry takes about this much memory, in bytes.
_MEMORY = 2**28


@dataclass(frozen=True, eq=False)
class Engine:
    """The iteration that all methods share.

    Attributes
    ----------
    objective : BatchObjective
    method : BatchMethod
    retraction : Retraction
    size : float
        The manifold's, in units of the data.
    max_iterations : int
    min_gradient_norm : Tensor, shape (N,)
        Of each problem.
    """

    objective: BatchObjective
    method: BatchMethod[Any]
    retraction: Retraction
    size: float
    max_iterations: int
    min_gradient_norm: Tensor

    def run(self, starts: Located, problem: Tensor) -> Ends:
        """Run from starts (M,), each in the problem of its index (M,)."""
        atlas = self.objective.atlas
        n, m, d = atlas.charts.n_ambient, self.objective.observations[0].numel(), atlas.dim
        numbers = n * (d * d + 6 * d + 10) + m * (2 * d + 6)
        block = max(1, _MEMORY // (8 * numbers))
        pieces = [
            self._run_block(Located(chart, coords), of_runs)
            for chart, coords, of_runs in zip(
                starts.chart.split(block),
                starts.coords.split(block),
                problem.split(block),
                strict=True,
            )
        ]
        return Ends.join(pieces)

    def _run_block(self, starts: Located, problem: Tensor) -> Ends:
        ends, runs = self._begin(starts, problem)
        while runs is not None and len(runs):
            ends, runs = self._hop(ends, runs)
            ends, runs = self._stop(ends, runs)
            if len(runs):
                ends, runs = self._step(ends, runs)
        return ends

    def _begin(self, starts: Located, problem: Tensor) -> tuple[Ends, Runs | None]:
        evaluation, points = self._evaluate(starts, problem)
        ends = Ends(
            *starts,
            points,
            evaluation.cost,
            torch.full_like(evaluation.cost, torch.nan),
            torch.zeros_like(problem),
            torch.full_like(problem, STATUSES.index(Status.FAILED)),
        )
        index, iterate = self._arrive(evaluation, starts, evaluation.cost.isfinite())
        if iterate is None:
            return ends, None
        zeros = torch.zeros_like(index)
        memory = self.method.start(iterate, self.size)
        return ends, Runs(index, problem[index], zeros, zeros, zeros, iterate, memory)

    def _hop(self, ends: Ends, runs: Runs) -> tuple[Ends, Runs]:
        """Go on in the next chart where a run stands at the border of one.

        Charts may disagree by more than a small step gains, which would stop it there.
        """
        while True:
            iterate = runs.iterate
            hops = iterate.leads_on & ~self._converged(runs) & (runs.hops < _MAX_HOPS)
            hops &= runs.iterations < self.max_iterations
            index = hops.nonzero().squeeze(-1)
            if not len(index):
                return ends, runs
            follows = Located(iterate.next_chart[index], iterate.next_coords[index])
            evaluation, _ = self._evaluate(follows, runs.problem[index])
            arrived, new = self._arrive(evaluation, follows, evaluation.cost.isfinite())
            index = index[arrived]
            if new is not None:
                before = runs.take(index)
                hopped = replace(
                    before,
                    hops=before.hops + 1,
                    rejected=torch.zeros_like(before.rejected),
                    iterate=new,
                    memory=self.method.start(new, self.size),
                )
                runs = runs.put(index, hopped)
            ends, runs = self._end(ends, runs, {Status.FAILED: hops.index_fill(0, index, False)})

    def _stop(self, ends: Ends, runs: Runs) -> tuple[Ends, Runs]:
        """Take out the runs that end where they are."""
        reasons = {
            Status.CONVERGED: self._converged(runs),
            Status.MAX_ITERATIONS: runs.iterations >= self.max_iterations,
            Status.STEP_TOO_SMALL: runs.iterate.leads_on | (runs.rejected >= _MAX_REJECTED),
        }
        return self._end(ends, runs, reasons)

    def _step(self, ends: Ends, runs: Runs) -> tuple[Ends, Runs]:
        """Try one step of every run."""
        old = runs.iterate
        step = self.method.propose(old, runs.memory)
        located, retracted = self._retract(old.place, step)
        evaluation, _ = self._evaluate(located, runs.problem)
        verdict = self.method.judge(old, runs.memory, step, evaluation.cost)
        accepted = verdict.accepted & retracted
        index, new = self._arrive(evaluation, located, accepted)
        reasons = {
            Status.FAILED: ~retracted | accepted.index_fill(0, index, False),
            Status.STEP_TOO_SMALL: verdict.given_up,
        }
        iterate, memory = old, verdict.memory
        if new is not None:
            of_new, stalled = self.method.advance(
                old.take(index), memory.take(index), step[index], new
            )
            # A run that stalls ends where it was.
            reasons[Status.STEP_TOO_SMALL] = verdict.given_up.index_put((index,), stalled)
            index, new, of_new = index[~stalled], new.take(~stalled), of_new.take(~stalled)
            iterate, memory = old.put(index, new), memory.put(index, of_new)
        moved = torch.zeros_like(accepted).index_fill(0, index, True)
        runs = replace(
            runs,
            iterations=runs.iterations + (1 if self.method.counts_rejected else moved.long()),
            rejected=torch.where(moved, 0, runs.rejected + 1),
            iterate=iterate,
            memory=memory,
        )
        return self._end(ends, runs, reasons)

    def _end(self, ends: Ends, runs: Runs, reasons: dict[Status, Tensor]) -> tuple[Ends, Runs]:
        """Take out the runs that have a reason to end, which is the first one that holds."""
        ended = torch.stack([*reasons.values()]).any(0)
        if not bool(ended.any()):
            return ends, runs
        codes = torch.zeros_like(runs.run)
        for status, holds in reversed(reasons.items()):
            codes = codes.masked_fill(holds, STATUSES.index(status))
            if status is not Status.FAILED:
                bounded = holds & runs.iterate.at_boundary
                codes = codes.masked_fill(bounded, STATUSES.index(Status.AT_BOUNDARY))
        last = runs.take(ended)
        place = last.iterate.place
        of_last = Ends(
            place.chart,
            place.coords,
            place.value,
            last.iterate.cost,
            last.iterate.gradient_norm,
            last.iterations,
            codes[ended],
        )
        return ends.put(last.run, of_last), runs.take(~ended)

    def _converged(self, runs: Runs) -> Tensor:
        norm = runs.iterate.gradient_norm
        return (norm == 0) | (norm < self.min_gradient_norm[runs.problem])

    def _retract(self, place: Place, step: Tensor) -> tuple[Located, Tensor]:
        """Ends of steps in the tangent bases, and whether they are anywhere, (A,)."""
        atlas = self.objective.atlas

        def ends(index: Tensor) -> Spots:
            some = place if len(index) == len(place) else place.take(index)
            vector = (some.basis @ step[index].unsqueeze(-1)).squeeze(-1)
            return Spots(*self.retraction(atlas, some.geometry(atlas), vector))

        index, spots = without_failures(ends, step.isfinite().all(-1).nonzero().squeeze(-1))
        located = Spots(*place.located)
        if spots is not None:
            finite = spots.coords.isfinite().all(-1)
            index = index[finite]
            located = located.put(index, spots.take(finite))
        reached = torch.zeros_like(step[:, 0], dtype=torch.bool).index_fill(0, index, True)
        return Located(located.chart, located.coords), reached

    def _evaluate(self, located: Located, problem: Tensor) -> tuple[Evaluation, Tensor]:
        points = self.objective.atlas.decode(located.coords, located.chart).flatten(1)
        return self.objective.evaluate(points, problem), points

    def _arrive(
        self, evaluation: Evaluation, located: Located, where: Tensor
    ) -> tuple[Tensor, Iterate | None]:
        """Iterates at the evaluated points of a mask, if there are any; of which rows, (B,).

        Points where a derivative is not finite or the Jacobian singular are left out.
        """
        atlas, twice = self.objective.atlas, self.method.second_order
        bent = twice or isinstance(self.retraction, SecondOrderRetraction)

        def places(index: Tensor) -> Place:
            some = Located(located.chart[index], located.coords[index])
            return Place.of(atlas, some, first_order=not bent)

        index, place = without_failures(places, where.nonzero().squeeze(-1))
        if place is None:
            return index, None
        euclidean = evaluation.gradient(index, twice=twice)
        border = meet_borders(atlas, place, euclidean)
        curvature = self.method.curvature(evaluation, index, place, euclidean)
        iterate = Iterate(
            place,
            evaluation.cost[index],
            border.gradient,
            border.gradient.norm(dim=-1),
            _held(curvature, border.free),
            border.free,
            border.at_boundary,
            border.leads_on,
            *border.follows,
        )
        finite = iterate.finite
        if not bool(finite.any()):
            return index[:0], None
        return index[finite], iterate.take(finite)


def _held(curvature: Tensor, free: Tensor) -> Tensor:
    """Curvatures (A, d, d) along the faces that are held; across, one that moves nothing."""
    eye = torch.eye(free.shape[-1], dtype=free.dtype, device=free.device)
    size = curvature.flatten(1).norm(dim=-1)[:, None, None]
    return free @ curvature @ free + size * (eye - free)
