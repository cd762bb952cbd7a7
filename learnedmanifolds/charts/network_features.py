"""Features that a network learns: sines of the coordinates, then dense layers."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.coupling import silu
from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.jet import JetRule, Pairs, jet_rule


class NetworkFeatures:
    """phi(t) = (1, t, silu(W_L ... silu(W_1 sin(W_0 t + b_0) + b_1) ... + b_L)), F = 1 + d + H a chart.

    Parameters
    ----------
    frequencies : Tensor, shape (K, d, H)
        W_0.
    phases : Tensor, shape (K, H)
        b_0.
    layers : Tensor, shape (K, L, H, H)
        W_1 to W_L, which rows are multiplied by from the right.
    biases : Tensor, shape (K, L, H)

    References
    ----------
    Tancik et al., Fourier features let networks learn high frequency functions in low dimensional
    domains, 2020.
    """

    def __init__(self, frequencies: Tensor, phases: Tensor, layers: Tensor, biases: Tensor) -> None:
        self.frequencies, self.phases = frequencies, phases
        self.layers, self.biases = layers, biases

    def __call__(self, coords: Tensor, chart: Chart) -> Tensor:
        """Features (..., N, F) at coordinates (..., N, d)."""
        rows = self.jet(
            coords, chart, coords.new_empty(*coords.shape[:-2], 0, *coords.shape[-2:]), ()
        )
        return rows.squeeze(-3)

    def jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs) -> Tensor:
        """Rows (..., 1 + T + P, N, F): features, first and second derivatives."""
        coords, tangents = coords.to(self.phases), tangents.to(self.phases)
        rule = jet_rule(tangents.shape[-3], tuple(pairs))
        if isinstance(chart, Tensor):
            count = 1 + tangents.shape[-3] + len(pairs)
            size = 1 + coords.shape[-1] + self.phases.shape[-1]
            out = coords.new_empty(count, len(coords), size)
            for k in chart.unique().tolist():
                index = (chart == k).nonzero().squeeze(-1)
                own = self._jet(coords[index], k, tangents[:, index], rule)
                out.index_copy_(-2, index, own)
            return out
        return self._jet(coords, chart, tangents, rule)

    def _jet(self, coords: Tensor, chart: int | None, tangents: Tensor, rule: JetRule) -> Tensor:
        parts = (self.frequencies, self.phases, self.layers, self.biases)
        first, phase, layers, biases = (p if chart is None else p[chart : chart + 1] for p in parts)
        rows = rule.pack(coords, tangents)
        rows = rows.unsqueeze(0) if chart is not None else rows
        hidden = rule.cos_sin(rule.shift(rows @ first.unsqueeze(1), phase.unsqueeze(1)))[1]
        for layer, bias in zip(layers.unbind(1), biases.unbind(1), strict=True):
            hidden = rule.shift(hidden @ layer.unsqueeze(1), bias.unsqueeze(1))
            hidden = rule.elementwise(hidden, silu)
        every = [torch.cat([*rule.unpack(part)[1:]], -3) for part in (rows, hidden)]
        values = torch.cat([torch.ones_like(coords[..., :1]), coords], -1)
        values = values.unsqueeze(0) if chart is not None else values
        top = torch.cat([values.unsqueeze(-3), hidden.narrow(-3, 0, 1)], -1)
        rest = torch.cat([torch.zeros_like(every[0][..., :1]), *every], -1)
        made = torch.cat([top, rest], -3)
        return made.squeeze(0) if chart is not None else made
