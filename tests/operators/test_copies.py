"""Copies of used operators, and of what holds them."""

import copy
import pickle

import pytest
import torch
from oracles import draw

from learnedmanifolds import InverseProblem
from learnedmanifolds.operators import Blur, ElectricalImpedance, Radon
from learnedmanifolds.operators.impedance import ImpedanceMesh

IMAGE = 1 + draw(8, 8, low=0, high=1)
OPERATORS = {
    "radon": lambda: Radon([0.0, 0.5, 1.0]),
    "impedance": lambda: ElectricalImpedance(ImpedanceMesh.rectangle(8), (8, 8)),
    "blur": lambda: Blur([[0.2, 0.3], [0.3, 0.2]]),
}
COPIES = (copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value)))


@pytest.mark.parametrize("make", OPERATORS.values(), ids=OPERATORS)
def test_copies_measure_the_same(make):
    operator = make()
    observed = operator(IMAGE)
    problem = InverseProblem(operator, observed)
    slope = problem.gradient(2 * IMAGE)
    for copied in COPIES:
        assert torch.equal(copied(operator)(IMAGE), observed)
        assert torch.equal(copied(problem).gradient(2 * IMAGE), slope)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["radon", "blur"])
def test_half_precision(name, dtype):
    operator, image = OPERATORS[name](), IMAGE.to(dtype)
    values, back = operator(image), operator.vjp(image, operator(image))
    assert values.dtype == back.dtype == dtype
    exact = operator(image.double())
    rounding = torch.finfo(dtype).eps
    assert (values.double() - exact).abs().max() < rounding * exact.abs().max()
    pulled = operator.vjp(image.double(), values.double())
    assert (back.double() - pulled).abs().max() < rounding * pulled.abs().max()
