"""Block means."""

import pytest
import torch
from oracles import draw

from learnedmanifolds.operators import Downsample


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("shape", [(6, 12), (3, 12, 6)])
def test_means_of_blocks(factor, shape):
    image = draw(*shape)
    expected = torch.nn.functional.avg_pool2d(image[None], factor)[0]
    torch.testing.assert_close(Downsample(factor)(image), expected)


def test_brightness_is_kept_and_steps_compose():
    image = draw(12, 12, seed=1)
    torch.testing.assert_close(Downsample(6)(image).mean(), image.mean())
    torch.testing.assert_close(Downsample(3)(Downsample(2)(image)), Downsample(6)(image))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Downsample(0), ValueError, "factor must be an integer of at least 1"),
        (lambda: Downsample(2.0), TypeError, "factor must be an integer"),
        (lambda: Downsample(4)(torch.zeros(8, 6)), ValueError, r"factor 4 for \(8, 6\)"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
