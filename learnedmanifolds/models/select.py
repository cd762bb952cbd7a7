"""Which latent manifold do data want? Held-out likelihood of the same network on each candidate."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.models.manifold_vae import ManifoldVAE
from learnedmanifolds.models.vae_checks import data_tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True)
class Candidate:
    """One latent space and how well it explains held-out data.

    Attributes
    ----------
    name : str
    model : ManifoldVAE
        Of the trainings, the one of the smallest (held-out, with ``patience``) training loss.
    log_likelihood : float
        Mean importance-weighted log-likelihood of the held-out data, in nats a point.
    trainings : tuple of float
        The same of every training.
    standard_error : float
        Of the best model's mean over the held-out points, in nats.
    difference, difference_error : float
        Mean of the largest log-likelihood of a candidate minus this one's, point by point, in nats,
        and its standard error; zero for the likeliest.
    """

    name: str
    model: ManifoldVAE
    log_likelihood: float
    trainings: tuple[float, ...]
    standard_error: float
    difference: float
    difference_error: float


@dataclass(frozen=True, repr=False)
class Selection:
    """Candidates for a latent space, the best first.

    A space that contains another explains data as well as it, so that likelihood alone decides only
    against what is too small or of the wrong topology. Therefore the candidates whose difference from
    the likeliest is at most one standard error come first, those of the fewest dimensions before the
    others: the one-standard-error rule.

    References
    ----------
    Hastie, Tibshirani, Friedman, The elements of statistical learning, 2009, section 7.10.

    Attributes
    ----------
    candidates : tuple of Candidate
    n_held_out : int
        Points that decided.
    """

    candidates: tuple[Candidate, ...]
    n_held_out: int

    @property
    def best(self) -> Candidate:
        """Of the candidates that explain the held-out data best, that of the fewest dimensions."""
        return self.candidates[0]

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row a candidate, the best first."""
        import pandas

        rows = [
            {
                "log_likelihood": c.log_likelihood,
                "standard_error": c.standard_error,
                "behind": c.difference,
                "behind_error": c.difference_error,
                "dim": c.model.latent.dim,
                "worst_training": min(c.trainings),
                "trainings": len(c.trainings),
            }
            for c in self.candidates
        ]
        return pandas.DataFrame(rows, index=pandas.Index([c.name for c in self.candidates]))

    def __repr__(self) -> str:
        ranked = ", ".join(f"{c.name} {c.log_likelihood:.2f}" for c in self.candidates)
        return f"Selection({ranked}; nats a point, {self.n_held_out} held-out points)"

    def __rich__(self) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table("latent space", "dim", "log-likelihood", "behind", box=SIMPLE_HEAD)
        for c in self.candidates:
            table.add_row(
                c.name,
                str(c.model.latent.dim),
                f"{c.log_likelihood:.2f} +- {c.standard_error:.2f}",
                f"{c.difference:.2f} +- {c.difference_error:.2f}" if c.difference else "-",
            )
        table.caption = (
            f"Nats a point, mean over {self.n_held_out} held-out points. First those within a standard "
            f"error of the likeliest, by dimension."
        )
        return table

    def print(self) -> None:
        """Print the table to the terminal."""
        from rich.console import Console

        Console().print(self)

    def plot(self) -> Figure:
        """How far each is behind the likeliest, with two standard errors; trainings as dots."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.5, 0.8 + 0.4 * len(self.candidates)), layout="constrained")
        axes = figure.add_subplot()
        top = max(c.log_likelihood for c in self.candidates)
        for row, c in enumerate(self.candidates):
            axes.errorbar(
                -c.difference, row, xerr=2 * c.difference_error, fmt="o", color="C0", capsize=3
            )
            all_ = [value - top for value in c.trainings]
            axes.plot(all_, [row] * len(all_), "o", color="C0", alpha=0.3, markersize=4)
        axes.set_yticks(range(len(self.candidates)), [c.name for c in self.candidates])
        axes.invert_yaxis()
        axes.axvline(0, color="0.8", zorder=0)
        axes.set_xlabel("held-out log-likelihood against the likeliest (nats a point)")
        return figure


def select(
    x: ArrayLike,
    candidates: Sequence[LatentSpace] | Mapping[str, LatentSpace],
    *,
    held_out: float = 0.2,
    n: int = 500,
    n_trainings: int = 1,
    random_state: int = 0,
    **options: Any,
) -> Selection:
    """Rank latent spaces by the likelihood of held-out data under a `ManifoldVAE` on each.

    All candidates see the same split, the same network and the same training. See `Selection` for
    the order.

    Parameters
    ----------
    x : array, shape (N, *ambient_shape)
    candidates : sequence of LatentSpace, or mapping from names to them
    held_out : float
        Share of the data that decides, in (0, 1).
    n : int
        Draws of the importance-weighted likelihood.
    n_trainings : int
        Trainings of each candidate, from consecutive seeds; the best by its training loss counts.
    random_state : int
    **options
        Arguments of `ManifoldVAE`. Of ``checkpoint_dir`` every training gets a folder of its own.

    Returns
    -------
    Selection

    Raises
    ------
    TypeError, ValueError
        If there is no candidate, one is no latent space, two have one name, or an argument is out
        of range.
    """
    given = data_tensor(x, None, options.get("likelihood") == "bernoulli")
    data = as_tensor(given, "x", allow_empty=False).detach()
    named = candidates
    if not isinstance(named, Mapping):
        if not isinstance(named, Sequence) or isinstance(named, str):
            raise TypeError(
                f"candidates must be a sequence or mapping of latent spaces, got "
                f"{type(candidates).__name__}."
            )
        names = [repr(space) for space in named]
        if len(set(names)) < len(names):
            raise ValueError(f"candidates must differ, got {names}; a mapping gives them names.")
        named = dict(zip(names, named, strict=True))
    if not named:
        raise ValueError("candidates must hold at least one latent space, got none.")
    for name, space in named.items():
        if not isinstance(space, LatentSpace):
            raise TypeError(f"candidates[{name!r}] must be a LatentSpace, got {space!r}.")
    share = positive(held_out, "held_out")
    n_test = round(share * len(data))
    if not 2 <= n_test <= len(data) - 2:
        raise ValueError(
            f"held_out must leave at least two points on both sides, got {share} of {len(data)}."
        )
    integer(n_trainings, "n_trainings", minimum=1)
    integer(random_state, "random_state", minimum=0)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(random_state))
    test, train = data[order[:n_test]], data[order[n_test:]]
    found = []
    root = options.pop("checkpoint_dir", None)
    for place, (name, space) in enumerate(named.items()):
        models = []
        for i in range(n_trainings):
            folder = None if root is None else Path(root) / f"{place}-{i}"
            model = ManifoldVAE(
                space, random_state=random_state + i, checkpoint_dir=folder, **options
            )
            models.append(model.fit(train))
        values = [model.log_likelihood(test, n, seed=random_state) for model in models]
        best = min(range(n_trainings), key=lambda i: _training_loss(models[i]))
        found.append((name, models[best], values[best], tuple(float(v.mean()) for v in values)))
    top = max((entry[2] for entry in found), key=lambda value: float(value.mean()))
    root = math.sqrt(n_test)
    judged = [
        Candidate(
            name,
            model,
            float(value.mean()),
            means,
            float(value.std()) / root,
            float((top - value).mean()),
            float((top - value).std()) / root,
        )
        for name, model, value, means in found
    ]
    return Selection(tuple(sorted(judged, key=_rank)), n_test)


def _rank(candidate: Candidate) -> tuple[int, float]:
    dim = candidate.model.latent.dim
    level = dim if candidate.difference <= candidate.difference_error else sys.maxsize
    return level, -candidate.log_likelihood


def _training_loss(model: ManifoldVAE) -> float:
    history = model.history_
    return min(history["held_out"]) if history["held_out"] else history["loss"][-1]
