"""The von Mises-Fisher law: Bessel functions, draws, their derivatives and the speed of drawing.

python benchmarks/von_mises_fisher.py [--draws 20000] [--seed 0]

Errors of the functions of the concentration are against mpmath with 60 digits. Draws are compared
with their law, which is computed by quadrature in NumPy, by Kolmogorov-Smirnov tests; of a right
sampler the p-values are uniform, and the least of N is below x / N with probability x. Derivatives
of the mean cosine are compared with the variance of the cosine, in standard errors. Speeds are the
best of five on one thread, 500 draws of each of 64 laws, beside as many of one law of SciPy's.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import mpmath
import numpy as np
import torch
from scipy import stats
from scipy.integrate import cumulative_simpson, simpson
from scipy.interpolate import CubicSpline
from torch import Tensor

from learnedmanifolds.latent import bessel
from learnedmanifolds.latent.power_spherical import PowerSpherical
from learnedmanifolds.latent.von_mises_fisher import VonMisesFisher

DIMENSIONS = [2, 3, 5, 10, 32, 64, 128, 256]
KAPPAS = [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5]
NODES = 20_001


def exact(m: int, kappa: float) -> list[float]:
    """A, A', A'' and the divergence from the uniform law."""
    with mpmath.workdps(60):
        order, k = mpmath.mpf(m) / 2 - 1, mpmath.mpf(kappa)
        value = mpmath.besseli(order, k)
        a = mpmath.besseli(order + 1, k) / value
        slope = 1 - a**2 - (m - 1) * a / k
        curvature = -2 * a * slope - (m - 1) * (slope * k - a) / k**2
        log = mpmath.log(value * mpmath.gamma(order + 1) * (2 / k) ** order)
        return [float(x) for x in (a, slope, curvature, k * a - log)]


def functions() -> None:
    grid = np.logspace(-3, 6, 37)
    print("largest relative error, 37 concentrations from 1e-3 to 1e6")
    print(f"{'m':>6} {'A':>9} {'A_prime':>9} {'A_second':>9} {'KL':>9} {'KL_prime':>9}")
    for m in (2, 3, 5, 11, 33, 34, 64, 256, 1025):
        kappa = torch.tensor(grid, requires_grad=True)
        a, divergence = bessel.mean_resultant(kappa, m), bessel.divergence_from_uniform(kappa, m)
        (slope,) = torch.autograd.grad(a.sum(), kappa, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), kappa)
        (moment,) = torch.autograd.grad(divergence.sum(), kappa)
        truth = torch.tensor([exact(m, k) for k in grid], dtype=torch.float64).unbind(1)
        pairs = zip(
            (a, slope, curvature, divergence, moment), (*truth, kappa * truth[1]), strict=True
        )
        errors = [float(((got - want) / want).abs().max().detach()) for got, want in pairs]
        print(f"{m:6d} " + " ".join(f"{e:9.1e}" for e in errors))


def angle_law(m: int, kappa: float) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Distribution function of the angle, and the variance of its cosine, by quadrature."""
    most = min(math.nextafter(math.pi, 0), (math.sqrt(m) + 12) / math.sqrt(kappa))
    theta = np.linspace(0, most, NODES)
    gap = 2 * np.sin(theta / 2) ** 2
    with np.errstate(divide="ignore"):
        log_density = (m - 2) * np.log(np.sin(theta)) - kappa * gap if m > 2 else -kappa * gap
    density = np.exp(log_density - log_density.max())
    mass = cumulative_simpson(density, x=theta, initial=0)
    density, cdf = density / mass[-1], CubicSpline(theta, mass / mass[-1])
    mean = simpson(gap * density, x=theta)
    variance = float(simpson((gap - mean) ** 2 * density, x=theta))
    return lambda x: cdf(np.minimum(x, most)), variance


def angles(z: Tensor, loc: Tensor) -> Tensor:
    z, loc = (v.double() / v.double().norm(dim=-1, keepdim=True) for v in (z, loc))
    return 2 * torch.atan2((z - loc).norm(dim=-1), (z + loc).norm(dim=-1))


def laws(m: int, dtype: torch.dtype) -> VonMisesFisher:
    loc = torch.nn.functional.normalize(torch.randn(len(KAPPAS), m, dtype=torch.float64), dim=-1)
    return VonMisesFisher(loc.to(dtype), torch.tensor(KAPPAS, dtype=dtype))


def heads(title: str) -> None:
    print(f"\n{title}")
    print(f"{'m':>6} " + " ".join(f"{k:>9g}" for k in KAPPAS))


def draws(count: int) -> None:
    for dtype in (torch.float32, torch.float64):
        heads(f"Kolmogorov-Smirnov p-values of the cosine, {count} draws, {dtype}; columns: kappa")
        found = []
        for m in DIMENSIONS:
            law = laws(m, dtype)
            theta = angles(law.sample((count,)), law.loc).T.numpy()
            row = [
                stats.kstest(t, angle_law(m, k)[0]).pvalue
                for k, t in zip(KAPPAS, theta, strict=True)
            ]
            print(f"{m:6d} " + " ".join(f"{p:9.4f}" for p in row))
            found += row
        uniform = stats.kstest(found, "uniform").pvalue
        print(f"least of {len(found)}: {min(found):.4f}; uniformity of all: p = {uniform:.3f}")


def derivatives(count: int) -> None:
    heads(f"mean pathwise derivative over the exact one, {count} draws, float64; columns: kappa")
    found = []
    for m in DIMENSIONS:
        law = laws(m, torch.float64)
        rates = []
        for part in torch.full((count,), 1.0).split(5000):
            kappa = law.concentration.expand(len(part), -1).clone().requires_grad_()
            z = VonMisesFisher(law.loc, kappa).rsample()
            gap = (z - law.loc).square().sum(-1) / 2
            rates.append(torch.autograd.grad(-gap.sum(), kappa)[0])
        rate = torch.cat(rates)
        exact_rate = torch.tensor([angle_law(m, k)[1] for k in KAPPAS], dtype=torch.float64)
        error = rate.std(0) / count**0.5
        found.append((rate.mean(0) - exact_rate) / error)
        print(f"{m:6d} " + " ".join(f"{r:9.5f}" for r in (rate.mean(0) / exact_rate).tolist()))
    deviations = torch.cat(found)
    normal = stats.kstest(deviations.numpy(), "norm").pvalue
    print(
        f"deviations in standard errors: largest of {len(deviations)} {deviations.abs().max():.2f}, "
        f"root mean square {deviations.square().mean().sqrt():.2f}, normality p = {normal:.3f}"
    )


def best(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def speed() -> None:
    count = 64 * 500
    print("\nmillions of draws a second, one thread, 64 laws of 500 draws, kappa from 1 to 101")
    print(f"{'m':>6} {'float32':>9} {'float64':>9} {'backward':>9} {'power_sph':>9} {'scipy':>9}")
    for m in (2, 3, 6, 11, 21, 41, 129):
        row = []
        kappa = 1 + 100 * torch.rand(64)
        loc = torch.nn.functional.normalize(torch.randn(64, m, dtype=torch.float64), dim=-1)
        for dtype in (torch.float32, torch.float64):
            law = VonMisesFisher(loc.to(dtype), kappa.to(dtype))
            row.append(best(lambda law=law: law.sample((500,))))
        moving = VonMisesFisher(loc.float().requires_grad_(), kappa.clone().requires_grad_())
        row.append(best(lambda law=moving: law.rsample((500,)).sum().backward()))
        power = PowerSpherical(loc.float(), kappa)
        row.append(best(lambda law=power: law.sample((500,))))
        one = stats.vonmises_fisher(loc[0].numpy(), 50.0)
        row.append(best(lambda law=one: law.rvs(count, random_state=1)))
        print(f"{m:6d} " + " ".join(f"{count / t / 1e6:9.2f}" for t in row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    functions()
    draws(given.draws)
    derivatives(given.draws)
    speed()


if __name__ == "__main__":
    main()
