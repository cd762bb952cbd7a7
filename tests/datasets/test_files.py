"""Points and arrays from the user's files: every kind, and every way to be wrong."""

import numpy as np
import pandas as pd
import pytest
import torch

from learnedmanifolds.datasets import numpy_file
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


def truncated(path):
    np.savez_compressed(path, x=np.arange(4000.0).reshape(-1, 4))
    path.write_bytes(path.read_bytes()[:-200])


def corrupted(path):
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(50, 4)))
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)


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
        ("x.npz", truncated, "readable array"),
        ("x.npz", corrupted, "readable array"),
        ("x.csv", lambda p: p.write_text("1,2\n3\n"), "readable array"),
        ("x.csv", lambda p: p.write_text("a,b\n1,c\n"), "readable array"),
    ],
)
def test_bad_files(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read_points(tmp_path / name)


def test_pictures_keep_their_shape(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 4, 5)))
    assert read_points(tmp_path / "x.npy").shape == (3, 4, 5)


def test_numpy_file_returns_any_shape_in_float32(tmp_path):
    images = np.random.default_rng(0).integers(0, 200, (5, 1, 4, 3), dtype=np.uint16)
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "two.npz", a=POINTS, images=images)
    np.savez(tmp_path / "named.npz", a=POINTS, x=images)
    for x in (
        numpy_file(tmp_path / "images.npy"),
        numpy_file(str(tmp_path / "two.npz"), "images"),
        numpy_file(tmp_path / "named.npz"),
    ):
        assert x.dtype == torch.float32 and x.tolist() == images.tolist()
    assert torch.equal(numpy_file(tmp_path / "two.npz", key="a"), torch.tensor(POINTS).float())
    scaled = numpy_file(tmp_path / "two.npz", key="a", scaled=True)
    torch.testing.assert_close(scaled[1] - scaled[0], torch.tensor([0.8, 2.0, 1.5992]))


def test_the_kind_of_a_renamed_file_is_seen(tmp_path):
    np.save(tmp_path / "x.npy", POINTS)
    (tmp_path / "x.npy").rename(tmp_path / "a.npz")
    np.savez(tmp_path / "x.npz", POINTS)
    (tmp_path / "x.npz").rename(tmp_path / "b.npy")
    for name in ("a.npz", "b.npy"):
        assert torch.equal(numpy_file(tmp_path / name).double(), torch.tensor(POINTS).float())
        assert torch.equal(read_points(tmp_path / name), torch.tensor(POINTS))


@pytest.mark.parametrize(
    ("name", "write", "key", "message"),
    [
        ("x.npz", lambda p: np.savez(p, a=POINTS, b=POINTS), None, r"got \['a', 'b'\]"),
        ("x.npz", lambda p: np.savez(p, a=POINTS), "c", r"key must be one of \['a'\], got 'c'"),
        ("x.npy", lambda p: np.save(p, POINTS), "x", r"key must be one of \[\], got 'x'"),
        ("x.npy", lambda p: np.save(p, np.ones(4)), None, r"float64 of shape \(4,\)"),
        ("x.npy", lambda p: np.save(p, np.ones((4, 2), complex)), None, "holds complex128"),
        ("x.npy", lambda p: np.save(p, np.array([["a"]])), None, "holds <U1"),
        ("x.npy", lambda p: np.save(p, np.array([[{}]], dtype=object)), None, "allow_pickle"),
        ("x.npy", lambda p: np.save(p, np.array([[np.inf, 1.0]])), None, "must be finite"),
        ("x.npy", lambda p: np.save(p, np.ones((0, 3))), None, "must not be empty"),
        ("x.npz", truncated, None, "readable array"),
        ("x.npz", corrupted, None, "readable array"),
        ("x.csv", lambda p: p.write_text("1,2"), None, ".npy or .npz file, got"),
    ],
)
def test_bad_numpy_files(tmp_path, name, write, key, message):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        numpy_file(tmp_path / name, key)


def test_bad_arguments_of_numpy_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file .*absent.npy"):
        numpy_file(tmp_path / "absent.npy")
    with pytest.raises(TypeError, match="path must be a str or Path, got int"):
        numpy_file(3)
    np.save(tmp_path / "x.npy", POINTS)
    with pytest.raises(TypeError, match="key must be the name"):
        numpy_file(tmp_path / "x.npy", 0)
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with pytest.raises(ValueError, match="3 times the same one"):
        numpy_file(tmp_path / "x.npy", scaled=True)


FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])


@pytest.mark.parametrize("header", [True, False])
def test_a_byte_order_mark_is_no_point(tmp_path, header):
    file = tmp_path / "points.csv"
    FRAME.to_csv(file, index=False, header=header, encoding="utf-8-sig")
    assert file.read_bytes()[:3] == b"\xef\xbb\xbf"
    np.testing.assert_allclose(read_points(file).numpy(), FRAME.to_numpy())


@pytest.mark.parametrize("index", [None, list("pq" * 15), range(100, 130)])
@pytest.mark.parametrize("columns", [["a", "b"], [0, 1]])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_index_of_pandas_is_no_coordinate(tmp_path, index, columns, encoding):
    file = tmp_path / "points.csv"
    FRAME.set_axis(columns, axis=1).set_axis(index or FRAME.index).to_csv(file, encoding=encoding)
    np.testing.assert_allclose(read_points(file).numpy(), FRAME.to_numpy())


def test_an_empty_name_of_a_later_column_is_a_coordinate(tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("a,\n1,2\n3,4\n")
    assert read_points(file).tolist() == [[1, 2], [3, 4]]
