"""Running a Lightning module quietly, with checkpoints that a later run resumes from."""

from __future__ import annotations

import signal
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from learnedmanifolds._random import seeded
from learnedmanifolds.training.checkpoints import damaged
from learnedmanifolds.training.shared import quiet, threads_for


def run_training(
    module: Any,
    *,
    max_steps: int,
    accelerator: str,
    verbose: bool,
    folder: str | Path | None,
    clip: float | None = None,
) -> None:
    """Train a module whose steps draw their own batches; it is on the processor afterwards.

    Parameters
    ----------
    module : lightning.LightningModule
        With ``steps_per_epoch``, after which a checkpoint is written (counted anew when a training
        resumes), and a method ``example`` that passes one batch through the networks.
    max_steps : int
    accelerator : str
        "auto" takes a GPU if there is one.
    verbose : bool
        Whether to show a progress bar.
    folder : str or Path or None
        Of the checkpoint; a training goes on from the one it holds.
    clip : float, optional
        Bound of the gradient's norm.

    Raises
    ------
    KeyboardInterrupt
        If the training is interrupted; the checkpoint stays.
    """
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    callbacks: list[Any] = []
    resume = None
    if folder is not None:
        last = Path(folder) / "last.ckpt"
        resume = str(last) if last.exists() else None
        if resume is not None and not zipfile.is_zipfile(resume):
            raise damaged(last)
        callbacks.append(
            ModelCheckpoint(
                folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
            )
        )
    with quiet, threads_for(_work(module)), _interruptible():
        trainer = lightning.Trainer(
            max_steps=max_steps,
            max_epochs=-1,
            accelerator=accelerator,
            devices=1,
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=verbose,
            enable_model_summary=False,
            gradient_clip_val=clip,
        )
        # With a generator of its own it leaves torch's alone.
        steps: Any = torch.utils.data.DataLoader(
            range(module.steps_per_epoch),  # type: ignore[arg-type]
            generator=torch.Generator(),
        )
        trainer.fit(module, steps, ckpt_path=resume)
    module.cpu()


class _Counter(TorchDispatchMode):
    """Counts floating point operations of matrix products and convolutions, of its thread only."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def _work(module: Any) -> float:
    """Multiply-adds of one batch on its way forward."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    with _Counter() as counter, torch.no_grad(), seeded(0):
        module.example()
    for part, mode in modes:
        part.training = mode
    return counter.total / 2


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning makes an interrupt the end of the process, and ignores all that follow; undo both."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)
