"""Intrinsic geometry of the analytic sphere and torus charts against closed forms.

python benchmarks/closed_forms.py [--pairs 1000]

Largest relative error (of distances, velocities, points by the radius, curvatures by their largest
absolute value) over random pairs within the injectivity radius; on the torus, whose distances have no
closed form, log and dist against geodesics that Clairaut's integral gives by quadrature.
"""

from __future__ import annotations

import argparse
import math

import torch
from scipy.integrate import solve_ivp

from learnedmanifolds import Atlas
from learnedmanifolds.charts import SphereCharts, TorusCharts
from learnedmanifolds.geometry import InducedMetric

MAJOR, MINOR = 3.0, 1.0


def sphere(count: int) -> None:
    atlas = Atlas(SphereCharts(1.0), tolerance=1e-6)
    metric = InducedMetric(atlas)
    a, b = metric.uniform(count, 0), metric.uniform(count, 1)
    x, y = (atlas.decode(p.coords, p.chart) for p in (a, b))
    angle = 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1))
    print(f"sphere, {count} pairs, two charts; distances {angle.min():.3f} to {angle.max():.3f}")
    exact = y - (x * y).sum(-1, keepdim=True) * x
    exact = angle.unsqueeze(-1) * exact / exact.norm(dim=-1, keepdim=True)
    found = metric.logarithm(a, b)
    report("dist", (found.distance - angle).abs() / angle)
    report("log", (found.vector - exact).norm(dim=-1) / angle)
    end = metric.exp(a, exact)
    report("exp", (atlas.decode(end.coords, end.chart) - y).norm(dim=-1))
    w = metric.local(a).project(
        torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).double()
    )
    u = exact / angle.unsqueeze(-1)
    along = (w * u).sum(-1, keepdim=True)
    turned = -angle.sin().unsqueeze(-1) * x + angle.cos().unsqueeze(-1) * u
    _, moved = metric.parallel_transport(w.unsqueeze(1), a, exact)
    expected = w + along * (turned - u)
    report("parallel transport", (moved[:, 0] - expected).norm(dim=-1) / w.norm(dim=-1))
    curvature = metric.curvature(a)
    v = metric.local(a).project(torch.roll(w, 1, 0))
    report("sectional curvature", (curvature.sectional(w, v) - 1).abs())
    report("scalar curvature", (curvature.scalar - 2).abs() / 2)
    report("Ricci curvature", (curvature.ricci(w, v) - (w * v).sum(-1)).abs())
    report("mean curvature vector", (curvature.mean_curvature_vector + 2 * x).norm(dim=-1) / 2)
    expected = (v * v).sum(-1, keepdim=True) * w - (w * v).sum(-1, keepdim=True) * v
    error = (curvature.riemann(w, v, v) - expected).norm(dim=-1)
    report("Riemann curvature", error / expected.norm(dim=-1))
    area = metric.volume() / (4 * math.pi) - 1
    print(f"    {'area':22s} {abs(area):.1e} (16,384 quasi-random points a chart)")


def geodesic(v: float, slope_u: float, slope_v: float) -> tuple[float, float, float]:
    """Angles (u, v, dv/dt) after time 1 from u = 0: u' = c / ring^2, v'' = -ring sin v u'^2."""
    ring = MAJOR + MINOR * math.cos(v)
    momentum = ring**2 * slope_u

    def rate(_: float, s: list[float]) -> list[float]:
        r = MAJOR + MINOR * math.cos(s[1])
        return [momentum / r**2, s[2], -math.sin(s[1]) * momentum**2 / (MINOR * r**3)]

    done = solve_ivp(rate, (0, 1), [0.0, v, slope_v], method="DOP853", rtol=1e-13, atol=1e-13)
    return tuple(float(s) for s in done.y[:, -1])


def place(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    ring = MAJOR + MINOR * v.cos()
    return torch.stack([ring * u.cos(), ring * u.sin(), MINOR * v.sin()], dim=-1)


def frame(u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors along the two circles."""
    along = torch.stack([-u.sin(), u.cos(), 0 * u], dim=-1)
    around = torch.stack([-v.sin() * u.cos(), -v.sin() * u.sin(), v.cos()], dim=-1)
    return along, around


def torus(count: int) -> None:
    atlas = Atlas(TorusCharts(MAJOR, MINOR), tolerance=1e-6)
    metric = InducedMetric(atlas)
    source = torch.Generator().manual_seed(3)
    at = metric.uniform(count, 4)
    x = atlas.decode(at.coords, at.chart)
    u, v = torch.atan2(x[:, 1], x[:, 0]), torch.atan2(x[:, 2], x[:, :2].norm(dim=-1) - MAJOR)
    # The injectivity radius of this torus is pi r = pi: the smallest closed geodesic is 2 pi r.
    # Conjugate points come no sooner than pi / sqrt(K) = 2 pi.
    length = (0.02 + 0.97 * torch.rand(count, generator=source, dtype=torch.float64)) * math.pi
    turn = 2 * math.pi * torch.rand(count, generator=source, dtype=torch.float64)
    along, around = frame(u, v)
    vector = length.unsqueeze(-1) * (
        turn.cos().unsqueeze(-1) * along + turn.sin().unsqueeze(-1) * around
    )
    ring = MAJOR + MINOR * v.cos()
    ends = [
        geodesic(*arguments)
        for arguments in zip(
            v.tolist(),
            (length * turn.cos() / ring).tolist(),
            (length * turn.sin() / MINOR).tolist(),
            strict=True,
        )
    ]
    du, v_end, v_rate = torch.tensor(ends, dtype=torch.float64).T
    y = place(u + du, v_end)
    print(f"torus {MAJOR}, {MINOR}, {count} pairs, four charts; lengths up to 0.99 of pi")
    end = metric.exp(at, vector)
    report("exp", (atlas.decode(end.coords, end.chart) - y).norm(dim=-1) / MINOR)
    found = metric.logarithm(at, atlas.find(y))
    report("dist", (found.distance - length).abs() / length)
    report("log", (found.vector - vector).norm(dim=-1) / length)
    # The velocity is parallel; on a surface so is what is at a right angle to it.
    ring_end = MAJOR + MINOR * v_end.cos()
    along_end, around_end = frame(u + du, v_end)
    momentum = ring * length * turn.cos()
    velocity = (momentum / ring_end).unsqueeze(-1) * along_end + (MINOR * v_rate).unsqueeze(
        -1
    ) * around_end
    normal, normal_end = (torch.linalg.cross(*f) for f in (frame(u, v), (along_end, around_end)))
    across = torch.linalg.cross(normal, vector)
    _, moved = metric.parallel_transport(torch.stack([vector, across], 1), at, vector)
    expected = torch.stack([velocity, torch.linalg.cross(normal_end, velocity)], 1)
    report("parallel transport", ((moved - expected).norm(dim=-1) / length.unsqueeze(-1)).amax(-1))
    curvature, gauss = metric.curvature(at), v.cos() / (MINOR * ring)
    largest = 1 / (MINOR * (MAJOR - MINOR))
    report("sectional curvature", (curvature.sectional(along, around) - gauss).abs() / largest)
    report("scalar curvature", (curvature.scalar - 2 * gauss).abs() / (2 * largest))
    report("Ricci curvature", (curvature.ricci(along, along) - gauss).abs() / largest)
    error = (curvature.riemann(along, around, around) - gauss.unsqueeze(-1) * along).norm(dim=-1)
    report("Riemann curvature", error / largest)
    mean = (1 / MINOR + v.cos() / ring).unsqueeze(-1) * -normal
    error = (curvature.mean_curvature_vector - mean).norm(dim=-1)
    report("mean curvature vector", error * MINOR)
    area = metric.volume() / (4 * math.pi**2 * MAJOR * MINOR) - 1
    print(f"    {'area':22s} {abs(area):.1e} (16,384 quasi-random points a chart)")


def report(name: str, error: torch.Tensor) -> None:
    missing = int(error.isnan().sum())
    print(
        f"    {name:22s} {float(error.nan_to_num().max()):.1e}"
        + (f", {missing} not found" if missing else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    options = parser.parse_args()
    sphere(options.pairs)
    torus(options.pairs)


if __name__ == "__main__":
    main()
