"""Training of flow charts in three stages, as a Lightning module."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.density import SmoothedUniform
from learnedmanifolds.charts.learned import LearnedCharts
from learnedmanifolds.models.cells import Cells
from learnedmanifolds.models.losses import (
    LATENT_NOISE,
    consensus_loss,
    lipschitz_loss,
    mixture_loss,
    negative_elbo,
    overlap_weights,
    squeeze_loss,
)
from learnedmanifolds.models.patches import Patches, make_patches
from learnedmanifolds.models.schedule import Schedule
from learnedmanifolds.models.trimming import RESERVE, trimmed_boxes

# The overlap stage sharpens sigma_x to the residual that the mixture stage reached, at most so far.
_LARGEST_SHARPENING = 5.0

# When boxes are trimmed: the part of the overlap stage that is done, the depth that they keep, and
# how much wider they may become where charts have drawn apart.
_TRIMS = ((0.15, 0.15, 1.0), (0.6, 0.1, 1.1))
_TRIM_POINTS = 20_000
_TRIM_ENTRIES = 4_000_000

# Distance in coordinates at which the stretch of a chart is looked at.
_NEAR = 0.2


class AtlasTraining(lightning.LightningModule):
    """The published loss with its seeding and overlap step, and the box and consensus terms.

    Every random draw of a step comes from a generator seeded by the step's number, so that an
    interrupted run that resumes ends in the same weights.

    Parameters
    ----------
    charts : LearnedCharts
    x : Tensor, shape (N, n)
    cells : Cells
        Where each chart is seeded.
    noise_std : float
        sigma_x, in the units of x.
    schedule : Schedule
    seed : int

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, sections 3 and 5.
    """

    steps_per_epoch = 50
    """Steps between two checkpoints."""

    def __init__(
        self,
        charts: LearnedCharts,
        x: Tensor,
        cells: Cells,
        noise_std: float,
        schedule: Schedule,
        seed: int,
    ) -> None:
        super().__init__()
        self.charts = charts
        charts.density = SmoothedUniform(schedule.tail_rate)
        self.logits = nn.Parameter(torch.zeros(charts.n_charts, dtype=x.dtype))
        self.noise_std, self.schedule, self.seed = noise_std, schedule, seed
        generator = torch.Generator().manual_seed(seed)
        # Kept out of the state dict: the data belong to the user, not to the checkpoint.
        self._x, self._cells = x, cells
        self._patches = make_patches(x, charts.dim, generator)
        self._frozen: Tensor | None = None
        self._n_trims = 0
        self.overlap_noise = noise_std
        self.history: dict[str, list[float]] = {"step": [], "loss": []}

    @property
    def log_weights(self) -> Tensor:
        """Log mixing weights, (K,)."""
        return torch.log_softmax(self.logits, dim=0)

    def _to_device(self) -> None:
        if self._x.device != self.device:
            self._x = self._x.to(self.device)
            self._cells = Cells(*(part.to(self.device) for part in self._cells))
            self._patches = Patches(*(part.to(self.device) for part in self._patches))

    def example(self) -> None:
        """Pass one batch through the networks of all charts."""
        self.charts.decode(self.charts.encode(self._x[: self.schedule.batch_size]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs beside the weights."""
        checkpoint["overlap"] = (self._frozen, self._n_trims, self.overlap_noise)
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        self._frozen, self._n_trims, self.overlap_noise = checkpoint["overlap"]
        self.history = checkpoint["history"]

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        """Loss of one step of the stage that the step is in."""
        self._to_device()
        step = self.global_step
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
        name, done = self.schedule.stage(step)
        loss: Tensor = getattr(self, f"_{name}_loss")(generator, done)
        if step % 25 == 0:
            self.history["step"].append(step)
            self.history["loss"].append(float(loss.detach()))
            self.log("loss", loss.detach(), prog_bar=True)
        return loss

    def _noise(self, points: int, generator: torch.Generator) -> Tensor:
        size = (self.charts.n_charts, points, self.charts.dim)
        noise = torch.randn(size, generator=generator, device=self.device, dtype=self._x.dtype)
        return noise * (self.schedule.latent_noise / LATENT_NOISE)

    def _lipschitz(self, generator: torch.Generator) -> Tensor:
        size = self.schedule.batch_size // 4
        t = self.charts.density.sample(
            *(self.charts.n_charts, size, self.charts.dim),
            generator=generator,
            truncated=True,
            dtype=self._x.dtype,
        )
        noise = self._noise(size, generator)
        return self.schedule.lipschitz_weight * lipschitz_loss(
            self.charts, t, noise, self.noise_std
        )

    def _seeding_loss(self, generator: torch.Generator, done: float) -> Tensor:
        """Bound on the cell's points; at first, the decoder also learns the cell's coordinates."""
        x, cells = self._x, self._cells
        size = self.schedule.batch_size // 2
        members = cells.members.float()
        pick = torch.multinomial(members[:, cells.node], size, True, generator=generator)
        noise = self._noise(size, generator)
        losses, _ = negative_elbo(self.charts, x[pick], self.noise_std, noise)
        loss = losses.mean() + self._lipschitz(generator)
        if done < 0.5:
            pick = torch.multinomial(members, size, True, generator=generator)
            rows = torch.arange(len(pick), device=self.device).unsqueeze(1)
            miss = self.charts.decode(cells.coords[rows, pick]) - cells.nodes[pick]
            guide = miss.square().sum(-1).mean() / (2 * self.noise_std**2)
            loss = 2 * done * loss + (1 - 2 * done) * guide
        return loss

    def _mixture_loss(self, generator: torch.Generator, done: float) -> Tensor:
        x = self._x
        pick = torch.randint(
            len(x), (self.schedule.batch_size,), generator=generator, device=self.device
        )
        noise = self._noise(len(pick), generator)
        losses, _ = negative_elbo(self.charts, x[pick], self.noise_std, noise)
        loss, _ = mixture_loss(losses, self.log_weights)
        # The published run has the Lipschitz term for its first quarter only.
        return loss + self._lipschitz(generator) if done < 0.25 else loss

    def _overlap_loss(self, generator: torch.Generator, done: float) -> Tensor:
        if self._frozen is None:
            self._frozen = self._freeze_weights()
        left = _TRIMS[self._n_trims :] if self.schedule.trim else ()
        if left and done >= left[0][0]:
            _, reserve, widest = left[0]
            self._frozen = self._trim_claims(self._frozen, reserve, widest)
            self._n_trims += 1
        x, weights = self._x, self._frozen
        pick = torch.multinomial(weights, self.schedule.batch_size // 2, True, generator=generator)
        noise = self._noise(pick.shape[1], generator)
        losses, _ = negative_elbo(self.charts, x[pick], self.overlap_noise, noise)
        share = self.log_weights.detach().exp()
        loss = (share * losses.mean(1)).sum()
        return loss + self._box_loss(generator, share)

    def _box_loss(self, generator: torch.Generator, share: Tensor) -> Tensor:
        """Box term on uniform points of every box, and agreement of the charts that hold them."""
        size = self.schedule.batch_size // 6
        shape = (self.charts.n_charts, size, self.charts.dim)
        like: dict[str, Any] = {
            "generator": generator,
            "device": self.device,
            "dtype": self._x.dtype,
        }
        t = 2 * torch.rand(shape, **like) - 1
        near = torch.randn(shape, **like)
        near = (t + _NEAR * near / near.norm(dim=-1, keepdim=True)).clamp(-1, 1)
        points = self.charts.decode(torch.cat([t, near], dim=1))
        spread = squeeze_loss(points[:, :size], points[:, size:], t, near, self.charts.unit_length)
        flat = points.flatten(0, 1)
        penalty = self._patches.penalty(flat, self.overlap_noise).view(points.shape[:2])
        box = (share * penalty.mean(1)).sum()
        few = points[:, : max(8, 2 * size // self.charts.n_charts)].flatten(0, 1)
        coords = self.charts.encode(few)
        again = self.charts.decode(coords)
        error = (again - few).square().sum(-1)
        holds = (coords.detach().abs().amax(-1) <= 1) * torch.exp(
            -error.detach() / (2 * (5 * self.overlap_noise) ** 2)
        )
        weights = holds / holds.sum(0, keepdim=True).clamp(min=1)
        agreement = consensus_loss(again, weights, self.overlap_noise)
        return (
            self.schedule.box_weight * box
            + self.schedule.consensus_weight * agreement
            + self.schedule.spread_weight * spread
        )

    @torch.no_grad()
    def _freeze_weights(self) -> Tensor:
        x = self._x
        parts = [
            overlap_weights(
                self.charts, part, self.log_weights, self.noise_std, self.schedule.overlap_factor
            )
            for part in x.split(4096)
        ]
        claims = torch.cat(parts, dim=1)
        # Along the data too: a decoder does not extrapolate far enough to claim much by itself.
        nodes = self._cells.node
        region = torch.zeros_like(self._cells.members)
        region[claims.argmax(0), nodes] = True
        claims = torch.maximum(claims, self._cells.dilate(region)[:, nodes].to(claims))
        frozen = claims / claims.sum(0, keepdim=True)
        if self.charts.n_ambient > self.charts.dim:
            least = self.noise_std / _LARGEST_SHARPENING
            self.overlap_noise = min(self.noise_std, max(self._residual(x), least))
        self.logits.copy_(frozen.mean(1).log())
        self.logits.requires_grad_(False)
        return frozen

    @torch.no_grad()
    def atlas(self) -> Atlas:
        """The atlas of the trained charts: boxes trimmed, weights the data's shares of the charts."""
        self._to_device()
        self.charts.density = SmoothedUniform()
        weights = self.log_weights.exp()
        if not self.schedule.trim:
            return Atlas(self.charts, weights, self.overlap_noise)
        few = self._trim(weights, RESERVE, 1.0)
        atlas = Atlas(self.charts, weights, self.overlap_noise)
        shares = atlas.responsibilities(few.unflatten(-1, atlas.ambient_shape)).mean(0)
        return Atlas(self.charts, shares, self.overlap_noise)

    def _trim(self, weights: Tensor, reserve: float, widest: float) -> Tensor:
        """Trim the boxes; returns the part of the data that decided how far."""
        count = min(_TRIM_POINTS, max(2_000, _TRIM_ENTRIES // self.charts.n_ambient))
        few = self._x[:: 1 + len(self._x) // count]
        atlas = Atlas(self.charts, weights, self.overlap_noise)
        self.charts.rebox(*trimmed_boxes(atlas, few, reserve, widest))
        return few

    @torch.no_grad()
    def _trim_claims(self, claims: Tensor, reserve: float, widest: float) -> Tensor:
        """Trim the boxes, and leave to each chart the points that are in its box."""
        self._trim(claims.mean(1), reserve, widest)
        parts = [self.charts.encode(part).abs().amax(-1) <= 1 for part in self._x.split(4096)]
        kept = claims * torch.cat(parts, dim=1)
        kept = torch.where(kept.any(0), kept, claims)
        kept = kept / kept.sum(0, keepdim=True)
        self.logits.copy_(kept.mean(1).log())
        return kept

    @torch.no_grad()
    def _residual(self, x: Tensor) -> float:
        """Root mean square miss of the best chart in a normal direction, in the units of x."""
        few = x[: 4 * 1024]
        miss = (self.charts.decode(self.charts.encode(few)) - few).square().sum(-1).amin(0)
        return float((miss.mean() / (self.charts.n_ambient - self.charts.dim)).sqrt())

    def configure_optimizers(self) -> Any:
        """Adam with the schedule's rate."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.schedule.learning_rate, fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
