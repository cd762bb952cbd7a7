"""Tables of signal-to-noise ratios against numbers worked out by hand."""

import io
import math

import numpy as np
import pytest
import torch
from rich.console import Console

from learnedmanifolds.plot import psnr_table

VALUES = {"one chart": [10.0, 20.0, 40.0, 30.0], "two charts": torch.tensor([21.0, 25.0, 50.0])}


def text(table):
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return console.file.getvalue()


def test_a_row_for_each_method():
    frame = psnr_table(VALUES).to_frame()
    assert list(frame.index) == ["one chart", "two charts"]
    assert list(frame.columns) == ["count", "mean", "median", "min", "max", "share_under"]
    np.testing.assert_allclose(frame.loc["one chart"], [4, 25, 25, 10, 40, 0.25])
    np.testing.assert_allclose(frame.loc["two charts"], [3, 32, 25, 21, 50, 0])


def test_the_threshold_counts_what_is_strictly_below_it():
    for threshold, share in ((10, 0.0), (10.1, 0.25), (30, 0.5), (41, 1.0)):
        frame = psnr_table(VALUES, threshold).to_frame()
        assert frame.loc["one chart", "share_under"] == share


def test_printed_as_a_table(capsys):
    table = psnr_table(VALUES, 22.5)
    lines = text(table).splitlines()
    (one,) = [line.split() for line in lines if "one chart" in line]
    assert one[2:] == ["4", "25.0", "25.0", "10.0", "40.0", "50", "%"]
    assert any("under 22.5" in line for line in lines)
    assert max(map(len, lines)) <= 80
    table.print()
    assert "two charts" in capsys.readouterr().out


def test_exact_images_have_no_finite_mean():
    frame = psnr_table({"exact": [math.inf, 30.0, math.inf]}).to_frame()
    assert frame.loc["exact", ["mean", "median", "max"]].tolist() == [math.inf] * 3
    assert frame.loc["exact", "min"] == 30.0
    assert "inf" in text(psnr_table({"exact": [math.inf]}))


def test_a_table_keeps_its_numbers():
    ratios = np.array([25.0, 26.0])
    table = psnr_table({"a": ratios})
    ratios[:] = 0
    assert table.to_frame().loc["a", "min"] == 25.0
    with pytest.raises(ValueError, match="read-only"):
        table.values["a"][0] = 0


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "values must map names to arrays, got list"),
        ({}, ValueError, "at least one method"),
        ({"a": []}, ValueError, r"values\['a'\] must not be empty"),
        ({"a": [[1.0]]}, ValueError, r"values\['a'\] must have shape"),
        ({"a": [math.nan]}, ValueError, r"values\['a'\] must be finite"),
        ({"a": [-math.inf]}, ValueError, r"values\['a'\] must be finite"),
        ({"a": ["x"]}, TypeError, r"values\['a'\] must be an array"),
    ],
)
def test_bad_values(values, error, message):
    with pytest.raises(error, match=message):
        psnr_table(values)


def test_bad_threshold():
    with pytest.raises(ValueError, match="threshold must be finite"):
        psnr_table(VALUES, math.nan)
    with pytest.raises(TypeError, match="threshold must be an array"):
        psnr_table(VALUES, "20")
