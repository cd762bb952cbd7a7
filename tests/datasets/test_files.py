"""Points from files: every kind, with and without header, and every way to be wrong."""

import numpy as np
import pytest
import torch

from learnedmanifolds.datasets.files import read_points

POINTS = np.array([[1.0, -2.5, 3e-3], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize("kind", ["npy", "npz", "named.npz", "csv", "header.csv", "CSV"])
def test_kinds(tmp_path, kind):
    path = tmp_path / f"points.{kind}"
    if kind == "npy":
        np.save(path, POINTS)
    elif kind == "npz":
        np.savez(path, data=POINTS)
    elif kind == "named.npz":
        np.savez(path, x=POINTS, other=np.ones(3))
    else:
        header = "a,b,c\n" if kind.startswith("header") else ""
        path.write_text(header + "\n".join(",".join(map(repr, map(float, p))) for p in POINTS))
    x = read_points(path)
    assert torch.equal(x, torch.from_numpy(POINTS))
    assert torch.equal(read_points(str(path)), x)


def test_one_point_in_a_csv_is_still_a_row(tmp_path):
    (tmp_path / "one.csv").write_text("1,2,3\n")
    assert read_points(tmp_path / "one.csv").shape == (1, 3)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="a toy's name or a file, there is no file"):
        read_points(tmp_path / "absent.npy")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.txt", lambda p: p.write_text("1 2"), "expected .npy, .npz or .csv, got '.txt'"),
        ("x.npy", lambda p: p.write_bytes(b"\x93NUMPY\x01"), "readable array"),
        ("x.npy", lambda p: np.save(p, np.zeros(4)), r"must have shape"),
        ("x.npy", lambda p: np.save(p, np.zeros((0, 4))), "must not be empty"),
        ("x.npy", lambda p: np.save(p, np.array([[1.0, np.nan]])), "must be finite"),
        ("x.npy", lambda p: np.save(p, np.array([[{}]], dtype=object)), "readable array"),
        ("x.npz", lambda p: np.savez(p, a=POINTS, b=POINTS), "one array or one named 'x'"),
        ("x.npz", lambda p: p.write_bytes(b"PK"), "readable array"),
        ("x.csv", lambda p: p.write_text("1,2\n3\n"), "readable array"),
        ("x.csv", lambda p: p.write_text("a,b\n1,c\n"), "readable array"),
    ],
)
def test_bad_files(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read_points(tmp_path / name)
