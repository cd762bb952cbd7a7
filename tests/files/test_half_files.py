"""Files of half precision: a quarter of the room, and all codes still in the domains."""

import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds._half import is_large
from learnedmanifolds.charts import lifted
from learnedmanifolds.charts.network_features import NetworkFeatures
from learnedmanifolds.learning.leverage import leverages

N, H = 200, 64


def ellipse(noise, unit=1.0):
    angle = torch.linspace(0, 6.25, 400, dtype=torch.float64)
    plane = torch.stack([2 * angle.cos(), angle.sin()], 1)
    frame = torch.linalg.qr(draw(N, 2, seed=1)).Q
    return unit * (plane @ frame.mT + noise * draw(400, N))


def kernel(noise=0.01, unit=1.0):
    return lm.KernelAtlas(dim=1, random_state=0).fit(ellipse(noise, unit)).atlas_


def network():
    """Random weights; the code that is least deep is on the very border of its domain."""
    codes = 0.6 * draw(1, 2000, 4, seed=1, low=-1, high=1)
    weights = 0.03 * draw(1, 5 + H, N, seed=2)
    weights[:, 1:5] = draw(1, 4, N, seed=3)
    given = {
        "frequencies": draw(1, 4, H, seed=5),
        "phases": draw(1, H, seed=6),
        "layers": draw(1, 2, H, H, seed=7) / H**0.5,
        "biases": draw(1, 2, H, seed=8),
    }
    root, own, _ = leverages(NetworkFeatures(**given)(codes, None)[0])
    levels = -torch.stack([own.max(), own.median()]).log()
    charts = lm.charts.NetworkCharts(
        center=draw(N, seed=4),
        weights=weights,
        **given,
        root=root[None],
        levels=(levels - torch.tensor([1e-9, 0.0])).unsqueeze(0),
        codes=codes,
        mass=torch.ones(1, 2000, dtype=torch.float64),
        ambient_shape=(N,),
    )
    return lm.Atlas(charts, noise_std=0.01)


def flow():
    charts = lifted.LiftedCharts(network().charts, torch.linalg.qr(draw(1, N, 10)).Q, 16, 2, 0)
    return lm.Atlas(charts, noise_std=0.01)


@pytest.mark.parametrize("made", [kernel, network, flow])
def test_large_tensors_take_a_quarter(made, tmp_path):
    atlas = made()
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    atlas.save(whole)
    atlas.save(half, half=True)
    large = sum(t.nbytes for t in atlas.charts.state_dict().values() if is_large(t))
    assert large > 0.4 * whole.stat().st_size
    assert half.stat().st_size <= whole.stat().st_size - 0.45 * large
    again = lm.load(half)
    assert again.dtype == atlas.dtype and type(again.charts) is type(atlas.charts)
    t = again.charts.domain.inner[0]
    assert float(again.charts.domain.depth(t, 0).min()) >= 0
    size = float(atlas.decode(t, 0).flatten(1).std())
    # Half precision has eleven bits; sums of products lose a few of them.
    torch.testing.assert_close(
        again.decode(t, 0), atlas.decode(t, 0), rtol=0, atol=16 * 2.0**-11 * size
    )
    assert lm.load(whole).dtype == atlas.dtype


def test_the_domain_of_rounded_tensors_would_lose_codes():
    # What `rounded` widens domains for.
    charts = network().charts
    state = {name: t.half().to(t) if is_large(t) else t for name, t in charts.state_dict().items()}
    with pytest.raises(ValueError, match="codes must be in the domains"):
        lm.charts.NetworkCharts.restored(charts.config(), state)


def test_what_is_clean_still_holds_its_data(tmp_path):
    # Far more than the tolerance, which exact points make small, is lost.
    atlas, x = kernel(noise=0.0), ellipse(0.0)
    atlas.save(tmp_path / "a.safetensors", half=True)
    again = lm.load(tmp_path / "a.safetensors")
    gap = (again.project(x) - x).norm(dim=1).max()
    assert atlas.tolerance < gap < again.tolerance < 0.02
    assert again.quality(x).healthy


def test_the_density_and_the_noise_come_too(tmp_path):
    # Noise in as many directions as are written in half precision.
    along = torch.linalg.qr(draw(N, 32, seed=3)).Q
    x = ellipse(0.001) + 0.01 * draw(400, 32, seed=4) @ along.mT
    atlas = lm.KernelAtlas(dim=1, random_state=0).fit(x).atlas_
    assert is_large(atlas.distribution.noise.directions)
    atlas.save(tmp_path / "a.safetensors", half=True)
    again = lm.load(tmp_path / "a.safetensors")
    gap = again.log_likelihood(x[:50]) - atlas.log_likelihood(x[:50])
    assert float(gap.abs().median()) < 0.01 * N
    assert again.distribution.noise.directions.dtype == torch.float64
    torch.testing.assert_close(again.log_prob(x[:50]), atlas.log_prob(x[:50]), rtol=0, atol=0.02)


@pytest.mark.parametrize("factor", [1e6, 1e-7])
def test_numbers_that_half_precision_has_not(factor, tmp_path):
    atlas = network()
    atlas.charts.weights *= factor
    with pytest.raises(ValueError, match="half must be False for weights of numbers as large as"):
        atlas.save(tmp_path / "a.safetensors", half=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("half", ["yes", 1, None])
def test_what_is_no_truth_value(half, tmp_path):
    with pytest.raises(TypeError, match="half must be True or False"):
        kernel().save(tmp_path / "a.safetensors", half=half)
