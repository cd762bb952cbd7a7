"""The command line: demo, learn, solve, compare, info.

Exit codes: 0 done; 1 the learning or the optimization did not reach its goal; 2 wrong input.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Learn a data manifold as an atlas of charts, and optimize on it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

JsonPath = Annotated[
    Path | None, typer.Option("--json", help="Also write everything printed to this file, as JSON.")
]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.", min=0)]
AtlasPath = Annotated[
    Path, typer.Argument(help="A saved atlas (learn writes one), or the name of a shipped one.")
]
Target = Annotated[
    str, typer.Option(help="Observation: the point to come near, as comma-separated numbers.")
]
Starts = Annotated[int, typer.Option(help="Number of random starts.", min=1)]


def main() -> None:
    """Run the command line; wrong input is a message and exit code 2, not a traceback."""
    try:
        app()
    except (ValueError, TypeError, OSError) as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False)
        raise SystemExit(2) from error


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("demo_output"),
    seed: Seed = 0,
    json_path: JsonPath = None,
) -> None:
    """Learn two circles and a turning digit, and solve inverse problems on both."""
    from learnedmanifolds.demo import circles_demo, digit_demo

    _check_file(json_path, "--json")
    output.mkdir(parents=True, exist_ok=True)
    console.rule("Two disconnected circles")
    circles = circles_demo(output, seed)
    console.print(f"dimension {circles.atlas.dim}, {circles.atlas.n_charts} charts")
    _print_quality(circles.quality, circles.seconds)
    console.print(circles.comparison)
    console.rule("A handwritten digit that turns, half the pixels hidden")
    digit = digit_demo(output, seed)
    console.print(f"dimension {digit.atlas.dim}, {digit.atlas.n_charts} charts")
    _print_quality(digit.quality, digit.seconds)
    table = Table("restored", "error on hidden pixels (RMS, grey values in [0, 1])")
    for name, error in sorted(digit.errors.items(), key=lambda item: item[1]):
        table.add_row(name, f"{error:.4f}")
    console.print(table)
    best = min(digit.errors, key=lambda name: digit.errors[name])
    console.print(f"{digit.n_images} new pictures; least error: {best}")
    figures = [str(path) for path in sorted(output.glob("*.png"))]
    console.print("figures: " + ", ".join(figures))
    _write_json(
        json_path,
        {
            "circles": {
                "quality": circles.quality,
                "seconds": circles.seconds,
                "comparison": _records(circles.comparison),
            },
            "digit": {name: value for name, value in vars(digit).items() if name != "atlas"},
            "figures": figures,
        },
    )


@app.command()
def learn(
    data: Annotated[
        str,
        typer.Argument(
            help="A toy (two_circles, ring, ...), a recipe (bars-32, balls-64, ...) or a .npy, .npz "
            "or .csv file."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The atlas file to write.")] = Path(
        "atlas.safetensors"
    ),
    model: Annotated[
        str | None,
        typer.Option(
            help="kernel (seconds up to dimension 3, beyond network charts in minutes; the default) or "
            "mixture (of variational autoencoders)."
        ),
    ] = None,
    charts: Annotated[
        int | None,
        typer.Option(help="Number of charts K; by default as few as will do.", min=1),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(help="Dimension d of the manifold; by default what the data show.", min=1),
    ] = None,
    noise_std: Annotated[
        float | None, typer.Option(help="Noise around the manifold, in the data's units.")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="Of --model mixture: folder of checkpoints; a run found there is resumed."
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half", help="Write large tensors in half precision, in a quarter of the room."
        ),
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Write a figure of the atlas here.")] = None,
    seed: Seed = 0,
    json_path: JsonPath = None,
) -> None:
    """Learn an atlas from your own points (rows), a toy manifold, or by a recipe."""
    from learnedmanifolds.datasets import TOYS
    from learnedmanifolds.datasets.files import read_points
    from learnedmanifolds.models import RECIPES, KernelAtlas, MixtureVAE

    _check_file(output, "--output")
    _check_figure(figure)
    _check_file(json_path, "--json")
    if model not in (None, "kernel", "mixture"):
        raise ValueError(f"--model must be kernel or mixture, got {model}.")
    if data in RECIPES and model == "mixture":
        raise ValueError(f"--model must be kernel for the recipe {data}, got mixture.")
    mixture = model == "mixture"
    if checkpoints is not None and not mixture:
        raise ValueError(
            f"--checkpoints must be left out without --model mixture, got {checkpoints}."
        )
    learned: KernelAtlas | MixtureVAE
    if data in RECIPES:
        given = {"n_charts": charts, "noise_std": noise_std}
        changes = {name: value for name, value in given.items() if value is not None}
        if dim not in (None, RECIPES[data].manifold.dim):
            raise ValueError(f"--dim must be left out for the recipe {data}, got {dim}.")
        learned = RECIPES[data].with_seed(seed).fit(**changes)
    else:
        if data in TOYS:
            settings = TOYS[data].settings
            points = TOYS[data].sample(settings.n, settings.noise, seed)
        else:
            points = read_points(data)
        if mixture:
            learned = MixtureVAE(
                charts or "auto",
                dim or "auto",
                noise_std,
                random_state=seed,
                checkpoint_dir=checkpoints,
                verbose=console.is_terminal,
            )
        else:
            learned = KernelAtlas(charts or "auto", dim or "auto", noise_std, seed)
        learned.fit(points)
    learned.atlas_.save(output, half=half)
    console.print(f"dimension {learned.atlas_.dim}, {learned.atlas_.n_charts} charts")
    _print_quality(learned.quality_.to_dict(), {})
    for note in learned.quality_.notes:
        console.print(note)
    if figure is not None:
        learned.atlas_.plot().savefig(figure, dpi=200)
    console.print(f"wrote {output}")
    _write_json(
        json_path,
        {
            "dimension": learned.atlas_.dim,
            "charts": learned.atlas_.n_charts,
            "quality": learned.quality_.to_dict(),
            "atlas": str(output),
        },
    )
    if not learned.quality_.healthy:
        raise typer.Exit(1)


app.command("train", hidden=True)(learn)  # its name before `KernelAtlas`


@app.command()
def solve(
    atlas: AtlasPath,
    target: Target,
    optimizer: Annotated[
        str,
        typer.Option(
            help="levenberg-marquardt, trust-regions, lbfgs, conjugate-gradient, steepest-descent, "
            "fixed-step, particle-swarm or nelder-mead."
        ),
    ] = "trust-regions",
    starts: Starts = 5,
    prior_weight: Annotated[float, typer.Option(help="Weight of the latent density.")] = 0.0,
    figure: Annotated[Path | None, typer.Option(help="Write the convergence figure here.")] = None,
    seed: Seed = 0,
    json_path: JsonPath = None,
) -> None:
    """Find the point of a saved atlas nearest to a target, by Riemannian optimization."""
    from learnedmanifolds.inverse import solve as run_solve

    _check_figure(figure)
    _check_file(json_path, "--json")
    manifold = _load(atlas)
    problem = _problem(target, manifold, prior_weight)
    solution = run_solve(problem, manifold, optimizer=optimizer, n_starts=starts, seed=seed)
    table = Table("start", "cost", "gradient norm", "iterations", "chart", "status")
    for i, run in enumerate(solution.runs):
        table.add_row(
            f"{i}{' *' if i == solution.start else ''}",
            f"{run.cost:.6g}",
            f"{run.gradient_norm:.2e}",
            str(len(run.history.cost)),
            str(run.chart),
            run.status.value,
        )
    console.print(table)
    console.print(f"point: {solution.point.tolist()}")
    if figure is not None:
        solution.plot().savefig(figure, dpi=200)
    _write_json(
        json_path,
        {
            "point": solution.point.tolist(),
            "chart": solution.chart,
            "coordinates": solution.coordinates.tolist(),
            "cost": solution.cost,
            "status": solution.status.name,
            "runs": [
                {"cost": r.cost, "gradient_norm": r.gradient_norm, "status": r.status.name}
                for r in solution.runs
            ],
        },
    )
    if not solution.converged:
        raise typer.Exit(1)


@app.command()
def compare(
    atlas: AtlasPath,
    target: Target,
    optimizers: Annotated[str, typer.Option(help="Comma-separated names.")] = (
        "steepest-descent,conjugate-gradient,trust-regions"
    ),
    starts: Starts = 10,
    figure: Annotated[Path | None, typer.Option(help="Write the convergence figure here.")] = None,
    seed: Seed = 0,
    json_path: JsonPath = None,
) -> None:
    """Compare optimizers from the same starts on a saved atlas."""
    from learnedmanifolds.inverse import compare as run_compare

    _check_figure(figure)
    _check_file(json_path, "--json")
    manifold = _load(atlas)
    problem = _problem(target, manifold, 0.0)
    names = tuple(name.strip() for name in optimizers.split(","))
    comparison = run_compare(problem, manifold, names, n_starts=starts, seed=seed)
    console.print(comparison)
    if figure is not None:
        comparison.plot().savefig(figure, dpi=200)
    _write_json(json_path, {"comparison": _records(comparison)})


@app.command()
def info(atlas: AtlasPath, json_path: JsonPath = None) -> None:
    """Describe a saved atlas."""
    manifold = _load(atlas)
    facts = {
        "charts": manifold.n_charts,
        "dimension": manifold.dim,
        "ambient shape": list(manifold.ambient_shape),
        "dtype": str(manifold.dtype),
        "noise (sigma_x)": manifold.noise_std,
        "tolerance": manifold.tolerance,
        "weights": manifold.weights.tolist(),
        "density": manifold.has_density,
    }
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, str(value))
    console.print(table)
    _write_json(json_path, facts)


def _check_file(path: Path | None, option: str) -> None:
    """`ValueError` where a file could not be written, before anything is computed."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{option} must be a file, got the folder {path}.")
    if not path.parent.is_dir():
        raise ValueError(f"{option} must be in a folder that exists, got {path}.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{option} must be in a folder that can be written, got {path}.")


def _check_figure(path: Path | None) -> None:
    from matplotlib.backend_bases import FigureCanvasBase

    _check_file(path, "--figure")
    known = FigureCanvasBase.get_supported_filetypes()
    # matplotlib appends .png to a name without a suffix.
    if path is not None and path.suffix and path.suffix[1:].lower() not in known:
        raise ValueError(
            f"--figure must end in one of .{', .'.join(sorted(known))}, got {path.name}."
        )


def _load(path: Path) -> Any:
    from learnedmanifolds.files.io import load
    from learnedmanifolds.models import pretrained, pretrained_names

    return pretrained(str(path)) if str(path) in pretrained_names() else load(path)


def _problem(target: str, atlas: Any, prior_weight: float) -> Any:
    import torch

    from learnedmanifolds.inverse import InverseProblem, operators

    try:
        values = [float(part) for part in target.split(",")]
    except ValueError as error:
        raise ValueError(f"--target must be comma-separated numbers, got {target!r}.") from error
    expected = math.prod(atlas.ambient_shape)
    if len(values) != expected:
        raise ValueError(f"--target must have {expected} numbers, got {len(values)}.")
    observation = torch.tensor(values, dtype=torch.float64).view(atlas.ambient_shape)
    return InverseProblem(operators.Identity(), observation, prior_weight=prior_weight)


def _print_quality(quality: dict[str, Any], seconds: dict[str, float]) -> None:
    table = Table("quality", "value")
    for name, value in quality.items():
        if isinstance(value, tuple):
            text = ", ".join(f"{v:.3g}" for v in value) or "none"
        else:
            text = f"{value:.4g}"
        table.add_row(name.replace("_", " "), text)
    for name, value in seconds.items():
        table.add_row(f"seconds to {name}", f"{value:.1f}")
    console.print(table)


def _records(comparison: Any) -> list[dict[str, Any]]:
    return json.loads(comparison.to_frame().reset_index().to_json(orient="records"))


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        text = json.dumps(content, indent=2, default=float)
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(text + "\n")
        beside.replace(path)
