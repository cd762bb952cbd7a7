"""The checks of arguments: what passes unchanged, and what each refusal says."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from learnedmanifolds._check import (
    as_tensor,
    floating_dtype,
    generator,
    integer,
    non_negative,
    one_of,
    positive,
    widths,
)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64])
def test_tensor_is_passed_through_without_a_copy(dtype):
    x = torch.arange(6).reshape(2, 3).to(dtype)
    assert as_tensor(x, "x", shape=(None, 3)).data_ptr() == x.data_ptr()
    assert as_tensor(x, "x").dtype == dtype


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        np.array([[1.0, 2.0], [3.0, 4.0]], dtype=">f4"),
        np.array([[3, 4], [1, 2]])[::-1],
        np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
        np.broadcast_to(np.float64(1), (2, 2)) * np.array([[1, 2], [3, 4]]),
        [[1, 2], [3, 4]],
        [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])],
        ([1.0, 2.0], np.array([3.0, 4.0])),
    ],
)
def test_every_kind_of_array_gives_the_same_tensor(value):
    expected = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    assert torch.equal(as_tensor(value, "x", dtype=torch.float64, shape=(2, 2)), expected)


def test_dtype_of_numpy_arrays_and_lists_is_kept():
    assert as_tensor(np.zeros(2, np.float32), "x").dtype == torch.float32
    assert as_tensor([0.1], "x").dtype == torch.float64
    assert as_tensor([0.1], "x").item() == 0.1
    assert as_tensor([1], "x").dtype == torch.int64


def test_scalar_has_no_dimensions():
    assert as_tensor(2.5, "x", shape=()).shape == ()
    assert as_tensor(np.float32(2.5), "x").shape == ()


def test_read_only_memory_is_copied():
    array = np.ones(3)
    array.flags.writeable = False
    as_tensor(array, "x").zero_()
    assert array.sum() == 3


def test_gradient_passes_through_the_check():
    x = torch.ones(2, requires_grad=True)
    as_tensor(x, "x", dtype=torch.float64).square().sum().backward()
    assert torch.equal(x.grad, torch.tensor([2.0, 2.0]))


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((4, 3), (None, 3)),
        ((3,), (..., 3)),
        ((5, 4, 3), (..., 3)),
        ((5, 4, 3), (..., None, 3)),
        ((), ()),
        ((2, 2), (...,)),
        ((0, 3), (None, 3)),
    ],
)
def test_shapes_that_fit(sizes, shape):
    assert as_tensor(torch.zeros(sizes), "x", shape=shape).shape == sizes


@pytest.mark.parametrize(
    ("sizes", "shape", "message"),
    [
        ((4, 2), (None, 3), r"x must have shape \(any, 3\), got \(4, 2\)"),
        ((3,), (None, 3), r"x must have shape \(any, 3\), got \(3,\)"),
        ((), (..., 3), r"x must have shape \(..., 3\), got \(\)"),
        ((2, 3, 4), (2, 3), r"x must have shape \(2, 3\), got \(2, 3, 4\)"),
        ((3,), (..., None, 3), r"x must have shape \(..., any, 3\), got \(3,\)"),
    ],
)
def test_shapes_that_do_not_fit(sizes, shape, message):
    with pytest.raises(ValueError, match=message):
        as_tensor(torch.zeros(sizes), "x", shape=shape)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "x must be an array of numbers, got str of dtype <U4"),
        (None, "x must be an array of numbers, got NoneType of dtype object"),
        ([None, 1.0], "x must be an array of numbers, got list of dtype object"),
        (torch.tensor([True]), "x must be an array of numbers, got dtype torch.bool"),
        (torch.tensor([1j]), "x must be an array of real numbers, got dtype torch.complex64"),
        pytest.param(
            np.zeros(2, np.longdouble),
            "x must have a dtype that torch knows, got float128",
            marks=pytest.mark.skipif(np.longdouble(0).nbytes == 8, reason="long double is double"),
        ),
        (torch.eye(2).to_sparse(), "x must be a dense array, got torch.sparse_coo"),
    ],
)
def test_wrong_types(value, message):
    with pytest.raises(TypeError, match=message):
        as_tensor(value, "x")


@pytest.mark.parametrize("value", [[[1.0], [1.0, 2.0]], [torch.zeros(1), torch.zeros(2)]])
def test_ragged_rows(value):
    with pytest.raises(ValueError, match="x must be a rectangular array"):
        as_tensor(value, "x")


def test_conversion_that_loses_the_kind_is_refused():
    with pytest.raises(TypeError, match="labels must have dtype torch.int64 or convert"):
        as_tensor([0.5], "labels", dtype=torch.int64)
    with pytest.raises(TypeError, match="x must have dtype torch.float32"):
        as_tensor([1j], "x", dtype=torch.float32)
    assert as_tensor([True], "mask", dtype=torch.bool).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_counted_and_located(bad):
    x = torch.zeros(3, 2)
    x[1, 1] = x[2, 0] = bad
    with pytest.raises(ValueError, match=r"x must be finite, got 2 .* of 6 .* index \(1, 1\)"):
        as_tensor(x, "x")


def test_number_too_large_for_the_dtype_is_refused():
    with pytest.raises(ValueError, match="x must be finite"):
        as_tensor([1e300], "x", dtype=torch.float32)


def test_empty_array_is_refused_on_request():
    assert as_tensor([], "x").numel() == 0
    with pytest.raises(ValueError, match=r"x must not be empty, got shape \(0, 3\)"):
        as_tensor(np.zeros((0, 3)), "x", allow_empty=False)


@pytest.mark.parametrize("value", [1e-300, 2, np.float32(0.5), np.int64(3)])
def test_numbers_that_are_positive(value):
    assert positive(value, "step") == non_negative(value, "step") == float(value)


@pytest.mark.parametrize("check", [positive, non_negative])
def test_numbers_of_the_wrong_sign_or_type(check):
    for value in (-1e-300, math.nan, math.inf, -3):
        with pytest.raises(ValueError, match=f"step must be a .* finite number, got {value}"):
            check(value, "step")
    for value in ("1", None, True, 1j, [1.0]):
        with pytest.raises(TypeError, match=f"step must be .*, got {type(value).__name__}"):
            check(value, "step")


def test_zero_is_non_negative_and_not_positive():
    assert non_negative(0, "step") == 0
    with pytest.raises(ValueError, match="step must be a positive finite number, got 0"):
        positive(0, "step")


def test_integers():
    assert integer(np.int32(4), "n", minimum=4) == 4
    assert type(integer(np.int32(4), "n")) is int
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got 0"):
        integer(0, "n", minimum=1)
    for value in (3.0, True, "3", None):
        with pytest.raises(TypeError, match=f"n must be an integer, got {type(value).__name__}"):
            integer(value, "n")


def test_one_of_lists_the_choices():
    assert one_of("a", "kind", iter(["a", "b"])) == "a"
    with pytest.raises(ValueError, match="kind must be one of 'a', 'b', got 'c'"):
        one_of("c", "kind", ["a", "b"])
    with pytest.raises(TypeError, match="kind must be one of 'a', 'b', got int"):
        one_of(3, "kind", ["a", "b"])


def test_floating_dtype():
    assert floating_dtype(torch.float64) is torch.float64
    with pytest.raises(ValueError, match="dtype must be a floating point dtype .* torch.int64"):
        floating_dtype(torch.int64)
    with pytest.raises(TypeError, match="dtype must be a torch.dtype, got str"):
        floating_dtype("float64")


def test_generator_repeats_by_seed_and_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    draws = [torch.rand(8, generator=generator(seed)) for seed in (3, np.int64(3), 4, None, None)]
    assert torch.equal(draws[0], draws[1])
    assert len({tuple(draw.tolist()) for draw in draws}) == 4
    assert torch.equal(torch.get_rng_state(), before)


def test_generator_refuses_other_seeds():
    with pytest.raises(ValueError, match="random_state must be an integer of at least 0, got -1"):
        generator(-1, "random_state")
    with pytest.raises(ValueError, match=r"seed must be at most 2\*\*63 - 1"):
        generator(2**63)
    with pytest.raises(TypeError, match="seed must be an integer, got float"):
        generator(1.5)


def test_widths():
    assert widths([3, np.int64(4)], "hidden") == (3, 4)
    assert widths((), "hidden", allow_empty=True) == ()
    for value, error, message in (
        ((), ValueError, "hidden must hold at least one width"),
        ((3, 0), ValueError, "hidden must be an integer of at least 1"),
        ((3.0,), TypeError, "hidden must be an integer"),
        (3, TypeError, "hidden must be a sequence of widths, got 3"),
        ("33", TypeError, "hidden must be a sequence"),
    ):
        with pytest.raises(error, match=message):
            widths(value, "hidden")


@pytest.mark.parametrize("wrap", [torch.tensor, np.array, np.float64])
def test_arrays_of_no_dimensions_are_numbers(wrap):
    assert positive(wrap(0.5), "x") == non_negative(wrap(0.5), "x") == 0.5
    assert type(positive(wrap(0.5), "x")) is float
    with pytest.raises(ValueError, match="x must be a positive finite number"):
        positive(wrap(-0.5), "x")
    with pytest.raises(TypeError, match="x must be an integer"):
        integer(wrap(3.0), "x")


@pytest.mark.parametrize("wrap", [torch.tensor, np.array, np.int8])
def test_integers_in_arrays_of_no_dimensions(wrap):
    assert integer(wrap(3), "x", minimum=3) == 3
    assert type(integer(wrap(3), "x")) is int
    draws = (torch.rand(3, generator=generator(seed)) for seed in (wrap(3), 3))
    assert torch.equal(*draws)


@pytest.mark.parametrize("value", [torch.tensor(True), np.bool_(True), torch.ones(1), np.ones(1)])
def test_truth_values_and_lists_are_no_numbers(value):
    for check in (positive, integer):
        with pytest.raises(TypeError, match="x must be"):
            check(value, "x")


FRAME = pd.DataFrame({"a": [1, 2], "b": [0.5, 3.0]})


def test_nullable_columns_are_numbers():
    assert as_tensor(FRAME.convert_dtypes(), "x").tolist() == [[1, 0.5], [2, 3]]
    whole = as_tensor(FRAME[["a"]].convert_dtypes(), "x")
    assert whole.dtype == torch.int64 and whole.tolist() == [[1], [2]]
    assert as_tensor(FRAME["a"].astype("Int8"), "x").tolist() == [1, 2]


def test_missing_values_are_not_finite():
    for frame in (FRAME.astype("Float64"), FRAME[["a"]].astype("Int64")):
        with pytest.raises(ValueError, match="x must be finite, got 1 NaN"):
            as_tensor(frame.mask(FRAME["a"] == 2).iloc[:, :1], "x")


@pytest.mark.parametrize("column", [["p", "q"], pd.array([True, False], dtype="boolean")])
def test_columns_of_no_numbers(column):
    expected = "x must be an array of numbers, got DataFrame with column 'c' of dtype"
    with pytest.raises(TypeError, match=expected):
        as_tensor(FRAME.assign(c=column), "x")
    with pytest.raises(TypeError, match=f"{expected} .* and 1 more"):
        as_tensor(FRAME.assign(c=column, d=column), "x")
