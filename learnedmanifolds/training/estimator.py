"""Parameters that every trained estimator has, their checks, and how its trainings are run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from torch import Tensor

from learnedmanifolds._check import as_path, integer, positive
from learnedmanifolds.training.checkpoints import claim
from learnedmanifolds.training.seeds import start_seeds
from learnedmanifolds.training.trainer import run_training

# Stands in the docstrings of subclasses where the parameters below go.
_PLACE = "    <parameters of TrainedEstimator>\n"

_PARAMETERS = """\
    checkpoint_dir : str or Path, optional
        Folder for checkpoints. `fit` resumes from the last one there, to the weights of an
        uninterrupted run. A folder belongs to the data, parameters and seed of its first `fit`; others
        are refused.
    accelerator : str
        Passed to Lightning: "auto" takes a GPU if there is one.
    verbose : bool
        Whether to show a progress bar.
    random_state : int, optional
        The same seed gives the same weights on one machine, whatever torch's default dtype, the state
        of its global generator and other threads are.
"""

# What does not decide the result.
_RUNNING = frozenset(["checkpoint_dir", "accelerator", "verbose"])
_COUNTS = frozenset(["max_steps", "max_epochs", "batch_size"])


class TrainedEstimator(BaseEstimator):
    """An estimator whose `fit` trains networks, with checkpoints.

    A subclass lists all parameters in its own ``__init__``, as scikit-learn demands, and hands those
    of this class on.

    Parameters
    ----------
    <parameters of TrainedEstimator>
    """

    def __init__(
        self,
        *,
        checkpoint_dir: str | Path | None,
        accelerator: str,
        verbose: bool,
        random_state: int | None,
    ) -> None:
        self.checkpoint_dir = checkpoint_dir
        self.accelerator = accelerator
        self.verbose = verbose
        self.random_state = random_state

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__doc__ is not None:
            cls.__doc__ = cls.__doc__.replace(_PLACE, _PARAMETERS)

    def _check_training(self) -> None:
        """`TypeError` or `ValueError` if a parameter of the training is out of range."""
        given = self.get_params(deep=False)
        for name in sorted(_COUNTS & given.keys()):
            integer(given[name], name, minimum=1)
        if "learning_rate" in given:
            positive(given["learning_rate"], "learning_rate")
        if not isinstance(self.accelerator, str):
            raise TypeError(
                f"accelerator must be a string such as 'auto' or 'cpu', got "
                f"{type(self.accelerator).__name__}."
            )
        if not isinstance(self.verbose, bool):
            raise TypeError(f"verbose must be a bool, got {type(self.verbose).__name__}.")
        if self.checkpoint_dir is not None:
            as_path(self.checkpoint_dir, "checkpoint_dir")

    def _start(self, count: int, x: Tensor, y: Tensor | None = None) -> list[int]:
        """Seeds of so many trainings; the checkpoint folder is this training's from here on."""
        seeds = start_seeds(self.random_state, count)
        if self.checkpoint_dir is not None:
            decisive = {
                name: value
                for name, value in self.get_params(deep=False).items()
                if name not in self._undecisive()
            }
            folder, kind = Path(self.checkpoint_dir), type(self).__name__
            first = claim(folder, kind, {"x": x, "y": y}, decisive, seeds[0])
            seeds = start_seeds(first, count)
        return seeds

    def _undecisive(self) -> frozenset[str]:
        """Parameters that may change between an interrupted training and its end."""
        return _RUNNING

    def _run(
        self,
        module: Any,
        max_steps: int,
        folder: str | Path | None,
        clip: float | None = None,
    ) -> None:
        """Train a module; see `run_training`."""
        run_training(
            module,
            max_steps=max_steps,
            accelerator=self.accelerator,
            verbose=self.verbose,
            folder=folder,
            clip=clip,
        )
