"""Files that were changed by hand or by accident: a usable atlas, or ValueError."""

import json
import pickle
import random
import struct

import pytest
import torch
from oracles import random_flow
from test_kernel_files import kernel_atlas
from test_published import checkpoint

import learnedmanifolds as lm
from learnedmanifolds.charts import ImageCharts
from learnedmanifolds.files import import_published

ATLASES = {
    "flow": lambda: lm.Atlas(random_flow(2, 3), [0.2, 0.5, 0.3], 0.013, 0.07),
    "kernel": kernel_atlas,
    "image": lambda: lm.Atlas(
        ImageCharts(
            n_charts=2, dim=2, ambient_shape=(1, 8, 8), levels=1, hidden=4, conv_hidden=2, seed=0
        )
    ),
}
NUMBERS = [-2, 0, 1, 3, 7, 10**9, 10**30, 1.5, float("nan"), None, "x", [], [1], [10**6] * 2, {}]
TEXTS = ["", "nan", "inf", "-1", "0", "1e400", "[]", "null", "{}", "x", "[" * 10_000]


@pytest.fixture(params=ATLASES)
def saved(request, tmp_path):
    path = tmp_path / "a.safetensors"
    ATLASES[request.param]().save(path)
    return path


def parts(raw):
    """Header as dict, its length, and the data of a safetensors file."""
    size = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + size]), size, raw[8 + size :]


def joined(header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def flipped(raw, low, high, draws):
    changed = bytearray(raw)
    for _ in range(draws.choice([1, 1, 4, 16])):
        changed[draws.randrange(low, high)] = draws.randrange(256)
    return bytes(changed)


def mutated(raw, draws):
    """A file with bytes, config values, keys or shapes changed."""
    header, size, data = parts(raw)
    about, kind = header["__metadata__"], draws.randrange(7)
    config = json.loads(about["config"])
    name = draws.choice(list(config))
    tensor = draws.choice([key for key in header if key != "__metadata__"])
    if kind == 0:
        return flipped(raw, 0, 8 + size, draws)
    if kind == 1:
        return flipped(raw, 8 + size, len(raw), draws)
    if kind == 2:
        config[name] = draws.choice(NUMBERS)
    elif kind == 3:
        del config[name]
    elif kind == 4:
        about[draws.choice(list(about))] = draws.choice(TEXTS)
        return joined(header, data)
    elif kind == 5:
        del about[draws.choice(list(about))]
        return joined(header, data)
    elif draws.random() < 0.5:
        header[tensor + "x"] = header.pop(tensor)
    else:
        header[tensor]["shape"] = [*header[tensor]["shape"][::-1], 1]
    about["config"] = json.dumps(config)
    return joined(header, data)


def require_usable(atlas):
    x = atlas.sample(5, seed=0)
    assert x.isfinite().all() and atlas.locate(x).coords.isfinite().all()
    assert atlas.responsibilities(x).isfinite().all()


def test_mutated_files(saved):
    raw, refused = saved.read_bytes(), 0
    for seed in range(100):
        saved.write_bytes(mutated(raw, random.Random(seed)))
        try:
            atlas = lm.load(saved)
        except ValueError:
            refused += 1
        else:
            require_usable(atlas)
    assert 50 < refused < 100


def config(**changes):
    def change(header):
        about = header["__metadata__"]
        about["config"] = json.dumps({**json.loads(about["config"]), **changes})

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["__metadata__"].pop("config"),
        lambda header: header["__metadata__"].update(config="[" * 10_000),
        lambda header: header["__metadata__"].update(charts="OtherCharts"),
        lambda header: header.update(other=header.pop("weights")),
        config(dim=-2),
        config(hidden=0),
        config(n_blocks=10**9),
        config(n_charts=10**9),
    ],
)
def test_headers_that_no_atlas_has(saved, change):
    header, _, data = parts(saved.read_bytes())
    change(header)
    saved.write_bytes(joined(header, data))
    with pytest.raises(ValueError, match="must be a saved atlas"):
        lm.load(saved)


@pytest.mark.parametrize(
    ("name", "value"),
    [("weights", float("nan")), ("weights", -0.5), ("weights", 2.0), ("charts", float("nan"))],
)
def test_numbers_that_no_atlas_has(saved, name, value):
    raw = bytearray(saved.read_bytes())
    header, size, _ = parts(raw)
    key = next(key for key in header if key.startswith(name))
    place = 8 + size + header[key]["data_offsets"][0]
    code = "<d" if header[key]["dtype"] == "F64" else "<f"
    struct.pack_into(code, raw, place, value)
    saved.write_bytes(raw)
    with pytest.raises(ValueError, match="must be a saved atlas"):
        lm.load(saved)


def test_charts_that_overflow(tmp_path):
    path = tmp_path / "a.safetensors"
    charts = random_flow(2, 3)
    charts.radius.fill_(1e308)
    lm.Atlas(charts).save(path)
    with pytest.raises(ValueError, match="must decode finite points"):
        lm.load(path)


def changed_state(state, draws):
    """A published state with a tensor or a name changed."""
    state, key, kind = dict(state), draws.choice(list(state)), draws.randrange(6)
    value = state.pop(key)
    if kind == 0:
        return state
    changes = [
        (key, value.flatten()[: draws.randrange(1 + value.numel())]),
        (key, value.to(torch.int64)),
        (key, value.unsqueeze(0)),
        (key.replace("0", "999999999"), value),
        (key, value * draws.choice([float("nan"), float("inf"), 1e30])),
    ]
    name, new = changes[kind - 1]
    state[name] = new
    return state


@pytest.mark.parametrize("size", [{"n": 3}, {"side": 16}], ids=str)
def test_mutated_published_files(tmp_path, size):
    path = tmp_path / "model.pt"
    state, refused = checkpoint(2, 2, **size), 0
    torch.save({"model_state_dict": state}, path)
    raw = path.read_bytes()
    for seed in range(60):
        draws = random.Random(seed)
        if seed % 2:
            path.write_bytes(flipped(raw, 0, len(raw), draws))
        else:
            torch.save({"model_state_dict": changed_state(state, draws)}, path)
        try:
            atlas = import_published(path)
        except ValueError:
            refused += 1
        else:
            require_usable(atlas)
    assert refused > 30


def test_published_files_of_other_things(tmp_path):
    path = tmp_path / "model.pt"
    for content in ({"model_state_dict": {1: torch.ones(2)}}, [torch.ones(2)], {}, 3):
        torch.save(content, path)
        with pytest.raises(ValueError):
            import_published(path)
    path.write_bytes(pickle.dumps(random.Random(0)))
    with pytest.raises(ValueError):
        import_published(path)
