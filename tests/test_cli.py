"""The command line: what it writes, what it refuses, and with which exit code."""

import json
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import random_flow
from typer.testing import CliRunner

import learnedmanifolds as lm
from learnedmanifolds import Atlas, cli
from learnedmanifolds.models import Schedule


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "atlas.safetensors"
    Atlas(random_flow(2, 3), noise_std=0.05).save(file)
    return str(file)


def invoke(monkeypatch, capsys, *arguments):
    """Run as the console script does: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["learnedmanifolds", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


@pytest.mark.parametrize("command", ["demo", "learn", "solve", "compare", "info"])
def test_help_explains(command):
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.output and "Usage" in result.output


def test_info(path, tmp_path, monkeypatch, capsys):
    report = tmp_path / "info.json"
    code, out, _ = invoke(monkeypatch, capsys, "info", path, "--json", report)
    facts = json.loads(report.read_text())
    assert code == 0 and "dimension" in out
    assert (facts["charts"], facts["dimension"], facts["ambient shape"]) == (3, 2, [3])
    assert facts["weights"] == pytest.approx([1 / 3] * 3)


def test_solve_finds_what_the_library_finds(path, tmp_path, monkeypatch, capsys):
    report, figure = tmp_path / "s.json", tmp_path / "s.png"
    point = lm.load(path).sample(1, seed=5)[0]
    target = ",".join(map(str, point.tolist()))
    code, out, _ = invoke(
        monkeypatch, capsys, "solve", path, f"--target={target}", "--starts=4", "--json", report,
        "--figure", figure,
    )  # fmt: skip
    found = json.loads(report.read_text())
    problem = lm.InverseProblem(lm.operators.Identity(), point)
    solution = lm.solve(problem, lm.load(path), n_starts=4, seed=0)
    assert found["point"] == pytest.approx(solution.point.tolist())
    assert found["status"] == solution.status.name and len(found["runs"]) == 4
    assert code == (0 if solution.converged else 1)
    assert "gradient norm" in out
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_compare(path, tmp_path, monkeypatch, capsys):
    report = tmp_path / "c.json"
    code, out, _ = invoke(
        monkeypatch, capsys, "compare", path, "--target=0,0,0", "--starts=2",
        "--optimizers=trust-regions,steepest-descent", "--json", report,
    )  # fmt: skip
    rows = json.loads(report.read_text())["comparison"]
    assert code == 0 and "trust-regions" in out
    assert [row["optimizer"] for row in rows] == ["trust-regions", "steepest-descent"]
    assert all(row["starts"] == 2 for row in rows)


def test_learn_needs_no_options(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "x.npy", lm.datasets.Circle().sample(1000, noise=0.02, seed=0))
    output, report, figure = (tmp_path / name for name in ("a.safetensors", "t.json", "a.png"))
    code, out, _ = invoke(
        monkeypatch, capsys, "learn", tmp_path / "x.npy", "-o", output, "--json", report,
        "--figure", figure,
    )  # fmt: skip
    facts = json.loads(report.read_text())
    atlas = lm.load(output)
    assert code == 0 and str(output.name) in out.replace("\n", "")
    assert (atlas.dim, atlas.dtype) == (1, torch.float64)
    assert (facts["dimension"], facts["charts"]) == (1, atlas.n_charts)
    assert facts["quality"]["coverage"] >= 0.98
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_learn_takes_what_is_known(tmp_path, monkeypatch, capsys):
    output = tmp_path / "a.safetensors"
    code, _, _ = invoke(
        monkeypatch, capsys, "learn", "two_circles", "-o", output, "--charts=6", "--dim=1",
        "--noise-std=0.02",
    )  # fmt: skip
    atlas = lm.load(output)
    assert code == 0 and (atlas.n_charts, atlas.noise_std) == (6, pytest.approx(0.02))


def test_learn_a_mixture_of_own_data(tmp_path, monkeypatch, capsys):
    angle = np.random.default_rng(0).uniform(0, 2 * math.pi, 600)
    np.save(tmp_path / "x.npy", np.stack([np.cos(angle), np.sin(angle)], 1))
    short = Schedule(regression_steps=15, mixture_steps=10, overlap_steps=15, batch_size=64)
    monkeypatch.setattr(Schedule, "suited", classmethod(lambda cls, n_charts, dim: short))
    output, report = tmp_path / "a.safetensors", tmp_path / "t.json"
    with warnings.catch_warnings():
        # So short a training may warn that it failed.
        warnings.simplefilter("ignore", UserWarning)
        code, out, _ = invoke(
            monkeypatch, capsys, "learn", tmp_path / "x.npy", "--model=mixture", "-o", output,
            "--charts=3", "--dim=1", "--noise-std=0.02", "--json", report,
        )  # fmt: skip
    quality = json.loads(report.read_text())["quality"]
    assert lm.load(output).n_charts == 3 and str(output.name) in out.replace("\n", "")
    assert code == (0 if quality["coverage"] >= 0.98 and not quality["dead_charts"] else 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "absent"], "no file absent"),
        (["learn", "absent.npy"], "data must be a toy's name or a file"),
        (["learn", "{csv}"], "x must have"),
        (["learn", "{csv}", "--dim=5"], "dim must be at most 12 and the number of features"),
        (["learn", "{csv}", "--model=vae"], "--model must be kernel or mixture, got vae"),
        (["learn", "bars-32", "--model=mixture"], "--model must be kernel for the recipe bars-32"),
        (["learn", "{csv}", "--checkpoints=runs"], "--checkpoints must be left out"),
        (["learn", "{csv}", "--model=mixture"], "x must have"),
        (["train", "{csv}", "--model=mixture", "--charts=2", "--dim=1"], "x must have a part"),
        (["solve", "{atlas}", "--target=1,2"], "--target must have 3 numbers, got 2"),
        (["solve", "{atlas}", "--target=a,b,c"], "--target must be comma-separated numbers"),
        (["solve", "{atlas}", "--target=1,2,nan"], "observation must be finite"),
        (["solve", "{atlas}", "--target=1,2,3", "--optimizer=newton"], "optimizer must be one of"),
        (["compare", "{atlas}", "--target=1,2,3", "--optimizers=newton"], "must be one of"),
        (["solve", "{csv}", "--target=1,2,3"], "whole safetensors file"),
        (
            ["solve", "{atlas}", "--target=1,2,3", "--prior-weight=-1"],
            "prior_weight must be",
        ),
    ],
)
def test_wrong_input_is_a_message_and_exit_code_2(
    path, tmp_path, monkeypatch, capsys, arguments, message
):
    csv = tmp_path / "x.csv"
    csv.write_text("1,2\n3,4\n")
    filled = [a.format(csv=csv, atlas=path) for a in arguments]
    code, _, err = invoke(monkeypatch, capsys, *filled)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["solve", "{atlas}", "--target=0,0,0"], "--figure"),
        (["compare", "{atlas}", "--target=0,0,0"], "--figure"),
        (["solve", "{atlas}", "--target=0,0,0"], "--json"),
        (["compare", "{atlas}", "--target=0,0,0"], "--json"),
        (["learn", "two_circles"], "--output"),
        (["learn", "two_circles"], "--figure"),
        (["learn", "two_circles"], "--json"),
        (["demo"], "--json"),
    ],
)
def test_files_that_cannot_be_written_are_refused_first(
    path, tmp_path, monkeypatch, capsys, command, option
):
    def computed(*args, **kwargs):
        raise AssertionError("computed before the check")

    for name in ("solve", "compare"):
        monkeypatch.setattr(f"learnedmanifolds.inverse.{name}", computed)
    monkeypatch.setattr("learnedmanifolds.models.KernelAtlas.fit", computed)
    monkeypatch.setattr("learnedmanifolds.models.MixtureVAE.fit", computed)
    monkeypatch.setattr("learnedmanifolds.demo.circles_demo", computed)
    monkeypatch.chdir(tmp_path)
    bad = [(tmp_path / "no" / "x.png", "folder that exists"), (tmp_path, "must be a file")]
    if option == "--figure":
        bad += [(tmp_path / "x.zzz", "must end in one of"), (tmp_path / "x.json", ".png")]
    filled = [a.format(atlas=Path(path).resolve()) for a in command]
    for file, message in bad:
        code, _, err = invoke(monkeypatch, capsys, *filled, option, file)
        text = " ".join(err.split())
        assert code == 2 and f"{option} must" in text and message in text
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize(
    "arguments", [["solve"], ["learn", "sphere", "--seed=-1"], ["unknown"], ["demo", "--starts=1"]]
)
def test_wrong_usage_is_exit_code_2(arguments):
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2


def test_json_is_written_beside_and_renamed(tmp_path, monkeypatch):
    file = tmp_path / "r.json"
    file.write_text("old")
    cli._write_json(file, {"a": np.float64(1.5), "b": float(torch.tensor(2.0))})
    assert json.loads(file.read_text()) == {"a": 1.5, "b": 2.0}
    with pytest.raises(TypeError):
        cli._write_json(file, {"a": object()})
    assert json.loads(file.read_text()) == {"a": 1.5, "b": 2.0}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
