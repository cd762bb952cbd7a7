"""Running a Lightning module quietly, with checkpoints that a later run resumes from."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch


def run_training(
    module: Any,
    *,
    steps_per_epoch: int,
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
    steps_per_epoch, max_steps : int
        A checkpoint is written after every epoch.
    accelerator : str
        "auto" takes a GPU if there is one.
    verbose : bool
        Whether to show a progress bar.
    folder : str or Path or None
        Of the checkpoint; a training goes on from the one it holds.
    clip : float, optional
        Bound of the gradient's norm.
    """
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    callbacks: list[Any] = []
    resume = None
    if folder is not None:
        last = Path(folder) / "last.ckpt"
        resume = str(last) if last.exists() else None
        callbacks.append(
            ModelCheckpoint(
                folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
            )
        )
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Advice on data loaders and loggers, of which this training needs none.
            warnings.filterwarnings("ignore", module="lightning|pytorch_lightning|torch")
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
                range(steps_per_epoch),  # type: ignore[arg-type]
                generator=torch.Generator(),
            )
            trainer.fit(module, steps, ckpt_path=resume)
    finally:
        logger.setLevel(level)
    module.cpu()
