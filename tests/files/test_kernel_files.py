"""Kernel atlases on disk: the same bits back; files whose tensors do not fit together are refused."""

import copy
import functools
import pickle
import resource

import pytest
import torch
from oracles import draw
from safetensors.torch import save_file

import learnedmanifolds as lm
from learnedmanifolds.charts import featured, kernel
from learnedmanifolds.models.kernel_atlas import KernelAtlas


@functools.cache
def kernel_atlas(n_ambient=2):
    """Of an ellipse in a plane of R^n; more dimensions than 42 are more than a chart spans."""
    angle = torch.linspace(0, 6.25, 150, dtype=torch.float64)
    plane = torch.stack([2 * angle.cos(), angle.sin()], 1)
    frame = torch.linalg.qr(draw(n_ambient, 2, seed=1)).Q
    return KernelAtlas(dim=1, random_state=0).fit(plane @ frame.mT + 3).atlas_


ATLASES = {n: kernel_atlas(n) for n in (2, 60)}


@pytest.fixture(params=ATLASES)
def exact(request):
    return ATLASES[request.param]


def loaded(atlas, folder):
    atlas.save(folder / "a.safetensors")
    return lm.load(folder / "a.safetensors")


def pickled(atlas, folder):
    return pickle.loads(pickle.dumps(atlas))


def copied(atlas, folder):
    return copy.deepcopy(atlas)


@pytest.mark.parametrize("again", [loaded, pickled, copied])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_same_bits_come_back(exact, dtype, again, tmp_path):
    atlas = exact.to(dtype)
    other = again(atlas, tmp_path)
    assert other.dtype is dtype and other.ambient_shape == atlas.ambient_shape
    assert (other.noise_std, other.tolerance) == (atlas.noise_std, atlas.tolerance)
    t = draw(20, 1, low=-1, high=1).to(dtype)
    x = atlas.decode(t, 0) + 0.01
    for k in range(atlas.n_charts):
        assert torch.equal(other.decode(t, k), atlas.decode(t, k))
        assert torch.equal(other.encode(x, k), atlas.encode(x, k))
        assert torch.equal(other.charts.domain.depth(t, k), atlas.charts.domain.depth(t, k))
    assert torch.equal(other.charts.encode(x), atlas.charts.encode(x))
    assert torch.equal(other.sample(50, seed=0), atlas.sample(50, seed=0))
    assert torch.equal(other.responsibilities(x), atlas.responsibilities(x))
    # Single charts do not agree or disagree, NaN.
    assert repr(other.quality(x)) == repr(atlas.quality(x))


def test_an_atlas_of_single_precision_is_the_same_manifold(exact):
    single = exact.to(torch.float32)
    t = draw(50, 1, low=-0.7, high=0.7).float()
    x = single.decode(t, 0)
    assert x.dtype is single.project(x).dtype is torch.float32
    assert torch.allclose(x.double(), exact.decode(t, 0), rtol=3e-7, atol=0)
    depth = single.charts.domain.depth(t, 0)
    assert torch.allclose(depth.double(), exact.charts.domain.depth(t.double(), 0), atol=1e-6)
    clean = exact.sample(100, seed=1)
    gap = single.project(clean).double() - exact.project(clean.float().double())
    assert float(gap.norm(dim=1).max()) < 1e-5 * float(clean.norm(dim=1).max())
    back = single.to(torch.float64)
    assert torch.equal(back.decode(t, 0), exact.decode(t, 0))


def test_devices_without_double_precision_get_single(exact, monkeypatch):
    monkeypatch.setattr(featured, "_SINGLE", {"cpu"})
    single = exact.to(torch.float32)
    assert all(tensor.dtype is torch.float32 for tensor in single.charts.buffers())
    x = exact.sample(50, seed=0)
    assert torch.allclose(single.project(x).double(), x, rtol=0, atol=1e-3)
    assert torch.isfinite(single.sample(20, seed=0)).all()


def save_changed(atlas, path, changes):
    record = atlas.record()
    tensors = dict(record.tensors)
    for name, change in changes.items():
        made = change(tensors.pop(name, None))
        if made is not None:
            tensors[name] = made.contiguous()
    save_file(tensors, path, record.header)


SHAPES = {
    "a tensor is missing": {"charts.border_step": lambda v: None},
    "a tensor too many": {"charts.other": lambda v: torch.zeros(2)},
    "no charts": {f"charts.{n}": lambda v: v[:0] for n in ("anchors", "centers", "width")},
    "scalar": {"charts.anchors": lambda v: v[0, 0, 0]},
    "widths of others": {"charts.width": lambda v: v[:1].repeat(9)},
    "another n": {"charts.center": lambda v: v[:-1]},
    "another F": {"charts.weights": lambda v: v[:, :-1]},
    "another m": {"charts.centers": lambda v: v[:, :-1]},
    "another G": {"charts.border": lambda v: v[:, :3]},
    "another d": {"charts.anchors": lambda v: v.repeat(1, 1, 2)},
    "another A": {"charts.mass": lambda v: v[:, :-1]},
    "no codes": {"charts.anchors": lambda v: v[:, :0]},
    "many codes": {"charts.anchors": lambda v: v[:, :1].repeat(1, 200_000, 1)},
    "transposed": {"charts.weights": lambda v: v.mT},
    "other weights": {"weights": lambda v: torch.ones(9).double() / 9},
}
NUMBERS = {
    "charts.width": (0.0, -1.0, float("nan"), float("inf")),
    "charts.border_step": (0.0, -1.0, float("nan")),
    "charts.anchors": (1.5, -2.0, 1e300, float("nan")),
    "charts.mass": (0.0, -1.0, float("nan")),
    "charts.weights": (1e308, float("inf"), float("nan")),
    "charts.border": (-1.0, float("nan")),
    "charts.center": (float("inf"),),
}


@pytest.mark.parametrize("name", SHAPES)
def test_tensors_that_do_not_fit_together(exact, name, tmp_path):
    path = tmp_path / "a.safetensors"
    save_changed(exact, path, SHAPES[name])
    with pytest.raises(ValueError, match=f"{path} must be a saved atlas: "):
        lm.load(path)


@pytest.mark.parametrize(("name", "value"), [(k, v) for k, vs in NUMBERS.items() for v in vs])
def test_numbers_that_no_chart_has(exact, name, value, tmp_path):
    path = tmp_path / "a.safetensors"
    save_changed(exact, path, {name: lambda v: torch.full_like(v, value)})
    with pytest.raises(ValueError, match=f"{path} must be a saved atlas: "):
        lm.load(path)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int64, torch.complex64], ids=str)
def test_dtypes_that_no_chart_has(exact, dtype, tmp_path):
    path = tmp_path / "a.safetensors"
    save_changed(exact, path, {"charts.center": lambda v: v.to(dtype)})
    with pytest.raises(ValueError, match=f"{path} must be a saved atlas: "):
        lm.load(path)


@pytest.mark.parametrize("shape", ["[3]", "[10000000000]", "[]", "[-2]", "2", '["2"]', "null"])
def test_ambient_shapes_that_no_atlas_has(exact, shape, tmp_path):
    path, record = tmp_path / "a.safetensors", exact.record()
    save_file(record.tensors, path, {**record.header, "config": f'{{"ambient_shape": {shape}}}'})
    with pytest.raises(ValueError, match=f"{path} must be a saved atlas: "):
        lm.load(path)


SIZES = {
    "codes": {"A": 4096, "K": 4},
    "charts": {"K": 150},
    "dimensions": {"d": 400, "n": 400},
    "features": {"n": 300_000},
}


@pytest.mark.parametrize("name", SIZES)
def test_small_files_take_little_memory(name, tmp_path):
    size = {"K": 1, "d": 1, "m": 1, "G": 4, "n": 2, "A": 2, **SIZES[name]}
    size["F"] = 1 + size["d"] + size["m"]
    tensors = {
        f"charts.{key}".replace("codes", "anchors"): 0.1 * torch.ones([size[a] for a in axes])
        for key, axes in kernel._SHAPES.items()
    }
    tensors["weights"] = torch.full((size["K"],), 1 / size["K"])
    header = {**ATLASES[2].record().header, "config": f'{{"ambient_shape": [{size["n"]}]}}'}
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, header)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        lm.load(path)
    except ValueError as error:
        assert str(path) in str(error)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < 60 * path.stat().st_size + 50_000_000
