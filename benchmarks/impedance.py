"""Electrical impedance tomography: agreement with the published problem, exact currents, speed.

python benchmarks/impedance.py [--repeats 25] [--seed 0]

Reads the published meshes and the case computed with FEniCS from ../shared/data/eit. One run, one
machine, one thread but for the rows that say so. Times are CPU times, medians of interleaved
repeats. Ratios are to one SciPy ``splu`` of the same stiffness matrix (one vertex grounded), in the
same repeat, called in three ways: with the operator's own options (for symmetric matrices, minimum
degree ordering; the goals are for this one), the same with the ordering that the operator worked
out once, so that the factorization alone is timed, and with SciPy's defaults. Every repeat has a
new conductivity, so nothing is cached.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

# Read by the BLAS when NumPy and SciPy are imported.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import scipy  # noqa: E402
import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from scipy.sparse.linalg import splu  # noqa: E402

from learnedmanifolds.operators.impedance import (  # noqa: E402
    ElectricalImpedance,
    Electrodes,
    ImpedanceMesh,
    interpolate,
)
from learnedmanifolds.operators.impedance.factor import SYMMETRIC  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data" / "eit"
SCALE = {"scale": 1.6, "offset": 0.2}


def read(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file}


def random_discs(seed: int) -> np.ndarray:
    """Two discs of conductivity 1.5 in 1, as grey values (sigma - 0.2) / 1.6, 128 x 128."""
    source = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128] + 0.5
    image = np.full((128, 128), 0.5)
    for half in (0, 1):
        radius, angle = source.uniform(12, 22), np.pi * (half + source.uniform(0.2, 0.8))
        centre = 64 + source.uniform(radius + 3, 60 - radius) * np.array(
            [np.cos(angle), np.sin(angle)]
        )
        image[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2] = 1.3 / 1.6
    return image


def interleaved(
    calls: dict, repeats: int, clock: Callable[[], float] = time.thread_time
) -> dict[str, np.ndarray]:
    """Seconds of every call in every repeat."""
    seconds = {name: [] for name in calls}
    for index in range(repeats + 2):
        for name, call in calls.items():
            start = clock()
            call()
            if index > 1:
                seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def agreement(table: Table, coarse: ImpedanceMesh, case: dict) -> None:
    operator = ElectricalImpedance.published(coarse.nodes, coarse.triangles)
    data = torch.from_numpy(case["ND_boundary"])
    other = torch.from_numpy(case["other"]).requires_grad_()
    value = operator.misfit(other, data)
    (gradient,) = torch.autograd.grad(value, other)
    reference = float(case["data_fidelity_other"])
    table.add_row("published misfit, case 0", f"{value.item():.15f}", f"{reference:.15f}")
    table.add_row("    relative difference", f"{abs(value.item() / reference - 1):.1e}", "1e-9")
    step, same, exact = float(case["fd_central_h"]), [], []
    for index, central in zip(case["fd_central_index"], case["fd_central"], strict=True):
        direction = torch.from_numpy(case["directions"][index]).view(128, 128)

        def difference(h: float, along: torch.Tensor = direction) -> float:
            with torch.no_grad():
                ahead, behind = (operator.misfit(other + s * along, data).item() for s in (h, -h))
            return (ahead - behind) / (2 * h)

        size = float(gradient.norm() * direction.norm())
        same.append(abs(difference(step) - central) / size)
        limit = (4 * difference(step / 2) - central) / 3
        exact.append(abs(float((gradient * direction).sum()) - limit) / size)
    table.add_row("our central differences to fd_central / (|g| |v|)", f"{max(same):.1e}", "")
    table.add_row(
        "<g, v> to fd_central less its h^2 error / (|g| |v|)", f"{max(exact):.1e}", "1e-6"
    )


def true_images(table: Table, fine: ImpedanceMesh, coarse: ImpedanceMesh, images: dict) -> None:
    for kind in ("published", "balanced"):
        pixels = "midpoint" if kind == "published" else "area"
        settings = {"currents": kind, "pixels": pixels, **SCALE}
        source = ElectricalImpedance(fine, (128, 128), **settings)
        target = ElectricalImpedance(coarse, (128, 128), **settings)
        for name, image in images.items():
            data = interpolate(source(image), fine, coarse)
            value = target.misfit(image, data).item()
            goal = "" if kind == "published" else "2.3e-5"
            table.add_row(
                f"misfit of the true image, {kind} currents, {name}", f"{value:.2e}", goal
            )


def speed(table: Table, coarse: ImpedanceMesh, case: dict, repeats: int) -> None:
    operator = ElectricalImpedance(coarse, (128, 128), **SCALE)
    data = torch.from_numpy(case["ND_boundary"])
    model = ElectricalImpedance(coarse, (128, 128), electrodes=Electrodes.equispaced(16), **SCALE)
    voltages = model(torch.from_numpy(case["image"]))
    count = iter(range(10**9))
    kept = operator.linearize(case["other"])
    state = operator._system.state(operator.conductivity(case["other"]).numpy())
    ordered = operator._system._assembly.matrix(state.conductivity)
    natural = ordered[:, (back := operator._system._assembly.place[:-1])][back].tocsc()
    directions = torch.from_numpy(case["directions"][:6]).view(6, 128, 128)

    def fresh() -> torch.Tensor:
        return torch.from_numpy(case["other"]) + 1e-9 * next(count)

    def gradient() -> None:
        x = fresh().requires_grad_()
        torch.autograd.grad(operator.misfit(x, data), x)

    symmetric = {"permc_spec": "MMD_AT_PLUS_A", **SYMMETRIC}
    baselines = {
        "splu, options for symmetric matrices": lambda: splu(natural, **symmetric),
        "splu, ordering known": lambda: splu(ordered, permc_spec="NATURAL", **SYMMETRIC),
        "splu, SciPy's defaults": lambda: splu(natural),
    }
    ours = {
        "misfit": lambda: operator.misfit(fresh(), data),
        "misfit with full gradient": gradient,
        "linearize": lambda: operator.linearize(fresh()),
        "derivatives along 1 more image": lambda: kept.jvp(directions[:1]),
        "derivatives along 6 more images": lambda: kept.jvp(directions),
        "misfit, 16 electrodes": lambda: model.misfit(fresh(), voltages),
        "15 right-hand sides": lambda: state.factor.solve(operator._system.loads),
    }
    seconds = interleaved(baselines | ours, repeats)
    for name in baselines:
        table.add_row(name, f"{1e3 * median(seconds[name]):.1f} ms", "")
    goals = {"misfit": "1.5", "misfit with full gradient": "2.5"}
    for name in ours:
        ratios = [median(seconds[name] / seconds[base]) for base in baselines]
        text = f"{1e3 * median(seconds[name]):.1f} ms: " + ", ".join(f"{r:.2f}" for r in ratios)
        table.add_row(f"{name}, in splu as above", text, goals.get(name, ""))


def threads(table: Table, coarse: ImpedanceMesh, case: dict, repeats: int) -> None:
    operators = {
        number: ElectricalImpedance(coarse, (128, 128), threads=number, **SCALE)
        for number in (1, 2)
    }
    count = iter(range(10**9))
    shift = 1e-9 * torch.arange(8, dtype=torch.float64).view(8, 1, 1)

    def run(number: int, gradient: bool) -> None:
        x = (torch.from_numpy(case["other"]) + shift + 1e-7 * next(count)).requires_grad_(gradient)
        value = operators[number].batch(x)
        if gradient:
            torch.autograd.grad(value.square().sum(), x)

    for gradient in (False, True):
        calls = {n: partial(run, n, gradient) for n in operators}
        seconds = interleaved(calls, max(3, repeats // 3), time.perf_counter)
        name = "8 conductivities" + (" with gradient" if gradient else "")
        gain = median(seconds[1]) / median(seconds[2])
        table.add_row(f"{name}, wall time on 1 thread / 2 threads", f"{gain:.2f}", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not DATA.exists():
        parser.error(f"the published meshes are not at {DATA}")
    torch.set_num_threads(1)
    meshes = {name: read(f"mesh_{name}") for name in ("generation", "reconstruction")}
    fine, coarse = (ImpedanceMesh(m["nodes"], m["tris"]) for m in meshes.values())
    case = read("case_0")
    title = (
        f"{platform.machine()}, {os.cpu_count()} cores, 1 thread, scipy {scipy.__version__}, "
        f"torch {torch.__version__}; {len(coarse.nodes):,} vertices, data from {len(fine.nodes):,}"
    )
    table = Table("what", "measured", "reference or goal", title=title)
    agreement(table, coarse, case)
    images = {name: case[name] for name in ("image", "other")} | {
        f"discs {options.seed + i}": random_discs(options.seed + i) for i in range(3)
    }
    true_images(table, fine, coarse, {n: torch.from_numpy(i) for n, i in images.items()})
    speed(table, coarse, case, options.repeats)
    threads(table, coarse, case, options.repeats)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
