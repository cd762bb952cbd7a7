"""The digits: all of them, split without overlap, reproducibly."""

import pytest
import torch
from sklearn.datasets import load_digits

from learnedmanifolds.datasets import digits


def rows(*parts):
    return sorted(map(tuple, torch.cat(parts).tolist()))


def test_the_split_is_a_partition_of_all_digits():
    data = digits(seed=1, n_test=300, dtype=torch.float64)
    assert data.train.shape == (1497, 64) and data.test.shape == (300, 64)
    pixels, labels = load_digits(return_X_y=True)
    assert rows(data.train, data.test) == rows(torch.from_numpy(pixels) / 16)
    both = torch.cat([data.train_labels, data.test_labels])
    assert torch.equal(both.bincount(), torch.from_numpy(labels).bincount())
    # A label stays with its image.
    known = {tuple(p / 16): int(label) for p, label in zip(pixels, labels, strict=True)}
    for image, label in zip(data.test, data.test_labels, strict=True):
        assert known[tuple(image.tolist())] == int(label)


def test_seed_and_dtype():
    assert torch.equal(digits(seed=2).test, digits(seed=2).test)
    assert not torch.equal(digits(seed=2).test, digits(seed=3).test)
    assert digits(seed=2).test.dtype == torch.float32
    assert 0 == float(digits().train.min()) and float(digits().train.max()) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_test": 0}, ValueError, "n_test must be"),
        ({"n_test": 1797}, ValueError, "n_test must be less than the 1797"),
        ({"n_test": 1.5}, TypeError, "n_test must be"),
        ({"dtype": torch.int32}, (TypeError, ValueError), "dtype"),
        ({"seed": -1.5}, TypeError, "seed"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        digits(**arguments)
