"""Network fits: regressions from codes to points by a network, with codes that move with their points."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.network_features import NetworkFeatures
from learnedmanifolds.learning.moments import moments

# Layers that follow the sines, and the standard deviation of the sines' frequencies in units of the
# codes' spread.
_LAYERS, _FREQUENCY = 2, 1.0
# Width of the layers: as many as directions that hold so much of the variance, in steps of the least, and
# points that tell.
_HELD, _LEAST_WIDTH, _LARGEST_WIDTH, _TELLING = 0.99, 128, 1024, 2048
# Times that all points are passed through, steps at most, of layers so wide, and points of a step at most
# and at least.
_EPOCHS, _STEPS, _USUAL_WIDTH, _BATCH, _SMALL = 300, 12_000, 384, 512, 64
# Rates of the layers, of all else, and of the codes; they fall to zero from this part of the steps on.
_LAYER_RATE, _RATE, _CODE_RATE, _FALLING = 0.03, 3e-3, 2e-2, 0.4
# Averages of the codes' gradients and of their squares.
_MEAN, _SQUARE = 0.9, 0.99
# Part of the layers' weights that decays with a unit of the rate, at most, and times the points: networks
# are smooth where there are few data.
_DECAY, _DECAY_BY_POINTS = 1.0, 300.0
# One of so many points is left out; how often, in parts of the steps, they are looked at.
_LEFT_OUT, _FEWEST_OUT, _MOST_OUT, _LOOKS = 10, 16, 1024, 20
# Gauss-Newton steps of codes, at looks and in the end, and their damping.
_STEPS_BETWEEN, _STEPS_LAST, _DAMPING = 3, 10, 1e-2
_ROWS, _RIDGE = 2048, 1e-8
_INSIDE = 0.93
# Error of points left out, in units of that of the others, from which on more data would help.
_OVERFITTED = 9.0


class _Network(nn.Module):
    """Points (N, q) of codes (N, d), linear in `NetworkFeatures`."""

    def __init__(self, dim: int, width: int, n_outputs: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(_FREQUENCY * _normal(dim, width))
        self.phases = nn.Parameter(2 * math.pi * torch.rand(width, dtype=torch.float32))
        square = [_normal(width, width) / width**0.5 for _ in range(_LAYERS)]
        self.layers = nn.ParameterList(square)
        self.biases = nn.ParameterList([torch.zeros_like(self.phases) for _ in range(_LAYERS)])
        self.out = nn.Parameter(_normal(width, n_outputs) / width**0.5)
        self.trend = nn.Parameter(torch.zeros_like(_normal(1 + dim, n_outputs)))

    def forward(self, codes: Tensor) -> Tensor:
        hidden = torch.sin(codes @ self.frequencies + self.phases)
        for layer, bias in zip(self.layers, self.biases, strict=True):
            hidden = nn.functional.silu(hidden @ layer + bias)
        return hidden @ self.out + codes @ self.trend[1:] + self.trend[0]

    @torch.no_grad()
    def features(self) -> dict[str, Tensor]:
        """Arguments of `NetworkFeatures` of one chart, float64."""
        return {
            "frequencies": self.frequencies.double(),
            "phases": self.phases.double(),
            "layers": torch.stack([layer.double() for layer in self.layers]),
            "biases": torch.stack([bias.double() for bias in self.biases]),
        }


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float32)


@dataclass(eq=False)
class NetworkFit:
    """One chart: its codes and the network.

    Attributes
    ----------
    codes : Tensor, shape (N, d)
    network : dict of str to Tensor
        Arguments of `NetworkFeatures`, without the axis of charts.
    weights : Tensor, shape (F, q)
    error : float
        Mean squared distance of points left out of the training of the network.
    overfitted : bool
        Whether that is far more than the others'.
    unseen : Tensor of bool, shape (N,)
        The points left out.
    """

    codes: Tensor
    network: dict[str, Tensor]
    weights: Tensor
    error: float
    overfitted: bool
    unseen: Tensor

    def features(self) -> Tensor:
        """Features (N, F) of the fit's own codes."""
        made = NetworkFeatures(**{name: part.unsqueeze(0) for name, part in self.network.items()})
        return torch.cat([made(part, 0) for part in self.codes.split(_ROWS)])

    def regress(self, x: Tensor, rows: Tensor) -> Tensor:
        """Weights (F, n) of values at the codes, rows (N,) of x (M, n), that are not left out."""
        return _ridge(self.features()[~self.unseen], x, rows[~self.unseen])


def width_for(x: Tensor, rows: Tensor) -> int:
    """Width of the layers for rows (N,) of points (M, n): the last one has to span them."""
    some = x[rows[:: -(-len(rows) // _TELLING)]].double()
    some -= some.mean(0)
    products = some @ some.mT if len(some) < some.shape[1] else some.mT @ some
    sizes = torch.linalg.eigvalsh(products).flip(0).clamp(min=0)
    count = int((sizes.cumsum(0) < _HELD * sizes.sum()).sum()) + 1
    return min(_LEAST_WIDTH * -(-count // _LEAST_WIDTH), _LARGEST_WIDTH)


def fit_network(codes: Tensor, x: Tensor, width: int, seed: int) -> NetworkFit:
    """Fit a chart to points (N, q) of unit scale from rough codes (N, d), by layers so wide.

    Network and codes descend together: Muon for the layers, Adam for the rest. What points left out say
    best is kept. Then codes go to the nearest points, and the last layer to the best one.

    References
    ----------
    Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024; Smola, Mika, Schoelkopf,
    Williamson, JMLR 1, 2001 (regularised principal manifolds: points and their codes in turn).
    """
    # `seeded` would look at every call of torch.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fit(codes, x, width)


def _fit(codes: Tensor, x: Tensor, width: int) -> NetworkFit:
    middle, unit = codes.mean(0), float(codes.std(0).mean())
    start, target = ((codes - middle) / unit).float(), x.float()
    order = torch.randperm(len(x))
    count = min(_MOST_OUT, len(x) // _LEFT_OUT)
    out, rows = order[:count], order[count:]
    network = _Network(codes.shape[1], width, x.shape[1])
    trained, moved, error = _trained(network, start, target, rows, out)
    overfitted, unseen = False, torch.zeros(len(x), dtype=torch.bool)
    unseen[out] = True
    with torch.no_grad():
        moved = torch.cat(
            [
                _project(trained, c, y, _STEPS_LAST)
                for c, y in zip(moved.split(_ROWS), target.split(_ROWS), strict=True)
            ]
        )
        inside = float((trained(moved[rows[:_ROWS]]) - target[rows[:_ROWS]]).square().sum(1).mean())
    if count >= _FEWEST_OUT:
        overfitted = error > _OVERFITTED * inside
    else:
        error = inside
    # Into the box.
    moved = moved.double()
    middle = (moved.amax(0) + moved.amin(0)) / 2
    size = float((moved - middle).abs().max()) / _INSIDE
    features = trained.features()
    features["phases"] = features["phases"] + middle @ features["frequencies"]
    features["frequencies"] = features["frequencies"] * size
    fit = NetworkFit((moved - middle) / size, features, x[:0], error, overfitted, unseen)
    fit.weights = fit.regress(x, torch.arange(len(x)))
    return fit


def _trained(
    network: _Network, start: Tensor, x: Tensor, rows: Tensor, out: Tensor
) -> tuple[_Network, Tensor, float]:
    """The network with codes (N, d) of all points where it is best, and its error on points left out."""
    heavy = [*network.layers, network.out]
    light = [network.frequencies, network.phases, *network.biases, network.trend]
    decay = min(_DECAY, _DECAY_BY_POINTS / len(rows))
    optimizers = {
        torch.optim.Muon(heavy, lr=1.0, weight_decay=decay, adjust_lr_fn="original"): _LAYER_RATE,
        torch.optim.Adam(light): _RATE,
    }
    codes, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    times = torch.zeros_like(start[:, :1])
    batch = min(_BATCH, max(_SMALL, len(rows) // 16), len(rows))
    per_epoch = len(rows) // batch
    width = len(network.phases)
    total = min(int(_STEPS * min(1.0, _USUAL_WIDTH / width)), _EPOCHS * per_epoch)
    best, least = (copy.deepcopy(network), codes.clone()), math.inf
    for step in range(total):
        if step % per_epoch == 0:
            order = rows[torch.randperm(len(rows))]
        rate = min(1.0, (1 - step / total) / (1 - _FALLING))
        for optimizer, own in optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * own
        index = order[(step % per_epoch) * batch :][:batch]
        given = codes[index].requires_grad_()
        loss = (network(given) - x[index]).square().sum(1).mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        slope = torch.zeros_like(given) if given.grad is None else batch * given.grad
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            # Adam's step, of these codes alone.
            times[index] += 1
            mean[index] += (1 - _MEAN) * (slope - mean[index])
            square[index] += (1 - _SQUARE) * (slope.square() - square[index])
            first = mean[index] / (1 - _MEAN ** times[index])
            second = square[index] / (1 - _SQUARE ** times[index])
            codes[index] -= rate * _CODE_RATE * first / (second.sqrt() + 1e-8)
        if len(out) and (step + 1) % max(1, total // _LOOKS) == 0:
            with torch.no_grad():
                codes[out] = _project(network, codes[out], x[out], _STEPS_BETWEEN)
                error = float((network(codes[out]) - x[out]).square().sum(1).mean())
            if error < least:
                best, least = (copy.deepcopy(network), codes.clone()), error
    if not math.isfinite(least):
        best = network, codes
    return *best, least


def _project(network: _Network, codes: Tensor, x: Tensor, steps: int) -> Tensor:
    """Codes (N, d) moved to those of the nearest points of the network to points (N, q)."""
    slope = torch.func.vmap(torch.func.jacfwd(network))
    damping = torch.full_like(codes[:, :1, None], _DAMPING)
    gap = x - network(codes)
    eye = torch.eye(codes.shape[1], dtype=codes.dtype)
    for _ in range(steps):
        jacobian = slope(codes)
        metric = jacobian.mT @ jacobian
        size = metric.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12).view(-1, 1, 1)
        step = torch.linalg.solve(metric + damping * size * eye, jacobian.mT @ gap.unsqueeze(-1))
        trial = codes + step.squeeze(-1)
        rest = x - network(trial)
        better = rest.square().sum(1) < gap.square().sum(1)
        codes = torch.where(better.unsqueeze(1), trial, codes)
        gap = torch.where(better.unsqueeze(1), rest, gap)
        damping = torch.where(better.view(-1, 1, 1), damping / 5, damping * 8).clamp(1e-7, 1e3)
    return codes


def _ridge(features: Tensor, x: Tensor, rows: Tensor) -> Tensor:
    """Weights (F, n) that fit rows (N,) of values (M, n) best, hardly damped."""
    products = features.mT @ features / len(features)
    products.diagonal().add_(_RIDGE * float(products.diagonal().mean()))
    return torch.linalg.solve(products, moments(features, x, rows) / len(features))
