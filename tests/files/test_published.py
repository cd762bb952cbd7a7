"""The importer: against the networks written out plainly, and against the published outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from learnedmanifolds.files import import_published, load

PUBLISHED = Path(__file__).parents[1] / ".." / "shared" / "data" / "published"
needs_files = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published files are absent")


class Plain:
    """One published chart, layer by layer, in the words of the published names."""

    def __init__(self, state, chart):
        self.state, self.prefix = state, f"Generator_{chart}"

    def layer(self, name, x):
        weight, bias = (self.state[f"{self.prefix}.{name}.{kind}"] for kind in ("weight", "bias"))
        if weight.dim() == 2:
            return functional.linear(x, weight, bias)
        return functional.conv2d(x, weight, bias, padding=1)

    def subnet(self, name, x, depth):
        for i in range(depth):
            x = self.layer(f"{name}.{2 * i}", x)
            x = x.relu() if i < depth - 1 else x
        raw, shift = x.chunk(2, dim=1)
        return 1.4 * 0.636 * torch.atan(raw), shift

    def network(self, name, x, blocks, depth):
        first = round(x.shape[1] / 2)
        for i in range(blocks):
            x1, x2 = x[:, :first], x[:, first:]
            s, t = self.subnet(f"{name}.module_list.{i}.subnet2", x2, depth)
            x1 = s.exp() * x1 + t
            s, t = self.subnet(f"{name}.module_list.{i}.subnet1", x1, depth)
            x = torch.cat([x1, s.exp() * x2 + t], dim=1)
        return x

    def upsample(self, name, x):
        w = self.state[f"{self.prefix}.{name}.invertible_upsampling.weight"]
        skew, eye = w - w.mT, torch.eye(4)
        kernel = torch.linalg.inv(eye + skew) @ (eye - skew)
        kernel = kernel.reshape(-1, 1, 2, 2)
        return functional.conv_transpose2d(x, kernel, stride=2, groups=len(w))


def subnets(state, prefix, widths, blocks, hidden, generator, kernel=()):
    first = round(widths / 2)
    for i in range(blocks):
        for subnet, outer in ((2, first), (1, widths - first)):
            middle = [hidden] if kernel else [hidden, hidden]
            sizes = [widths - outer, *middle, 2 * outer]
            for j, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
                name = f"{prefix}.module_list.{i}.subnet{subnet}.{2 * j}"
                scale = 0.5 / (fan_in * max(1, int(np.prod(kernel)))) ** 0.5
                shape = (fan_out, fan_in, *kernel)
                state[f"{name}.weight"] = scale * torch.randn(shape, generator=generator)
                state[f"{name}.bias"] = 0.1 * torch.randn(fan_out, generator=generator)


def checkpoint(n_charts, dim, n=None, side=None, generator=None, latent="latent_INN"):
    generator = generator or torch.Generator().manual_seed(0)
    state = {"log_decoder_weights": torch.randn(n_charts, generator=generator)}
    for k in range(n_charts):
        prefix = f"Generator_{k}"
        state[f"{prefix}.sig_hd"] = torch.tensor(0.05)
        state[f"{prefix}.sig_ld_log"] = torch.tensor(-4.6)
        if dim > 1:
            subnets(state, f"{prefix}.{latent}", dim, 3, 7, generator)
        if n:
            subnets(state, f"{prefix}.INN", n, 5, 7, generator)
            continue
        subnets(state, f"{prefix}.dense_INN", (side // 4) ** 2, 3, 7, generator)
        for level, channels in enumerate((16, 4)):
            net = f"{prefix}.conv_INNs{level}"
            subnets(state, net, channels, 3, 9, generator, kernel=(3, 3))
            name = f"{net}.module_list.3.invertible_upsampling.weight"
            state[name] = torch.randn(channels // 4, 4, 4, generator=generator)
    return state


def plain_decode(state, chart, coords, n=None, side=None):
    net = Plain(state, chart)
    dim = coords.shape[1]
    z = net.network("latent_INN", coords, 3, 3) if dim > 1 else coords
    if n:
        return net.network("INN", functional.pad(z, (0, n - dim)), 5, 3)
    coarse = side // 4
    y = net.network("dense_INN", functional.pad(z, (0, coarse**2 - dim)), 3, 3)
    x = y.view(-1, 1, coarse, coarse).repeat(1, 16, 1, 1)
    for level in range(2):
        x = net.network(f"conv_INNs{level}", x, 3, 2)
        x = net.upsample(f"conv_INNs{level}.module_list.3", x)
    return x


@pytest.mark.parametrize(
    ("n_charts", "dim", "size"),
    [
        (4, 1, {"n": 2}),
        (2, 2, {"n": 3}),
        (3, 3, {"n": 7}),
        (1, 1, {"side": 16}),
        (2, 5, {"side": 32}),
    ],
)
def test_vector_and_image_models_of_any_size(tmp_path, n_charts, dim, size):
    state = checkpoint(n_charts, dim, **size)
    torch.save({"model_state_dict": state}, tmp_path / "model.pt")
    atlas = import_published(tmp_path / "model.pt")
    shape = (size["n"],) if "n" in size else (1, size["side"], size["side"])
    assert (atlas.n_charts, atlas.dim, atlas.ambient_shape) == (n_charts, dim, shape)
    torch.testing.assert_close(atlas.weights, state["log_decoder_weights"].softmax(0))
    assert atlas.noise_std == pytest.approx(0.05)
    generator = torch.Generator().manual_seed(5)
    coords = 2 * torch.rand(6, dim, generator=generator) - 1
    for k in range(n_charts):
        x = atlas.decode(coords, k)
        expected = plain_decode(state, k, coords, **size)
        torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(atlas.encode(x, k), coords, atol=1e-3, rtol=0)


def test_imported_atlas_can_be_saved(tmp_path):
    torch.save({"model_state_dict": checkpoint(2, 2, side=16)}, tmp_path / "model.pt")
    atlas = import_published(str(tmp_path / "model.pt"))
    atlas.save(tmp_path / "atlas.safetensors")
    coords = torch.tensor([[0.1, -0.4]])
    again = load(tmp_path / "atlas.safetensors")
    assert torch.equal(again.decode(coords, 1), atlas.decode(coords, 1))


@needs_files
def test_published_bars_give_the_published_outputs():
    atlas = import_published(PUBLISHED / "bar_1_chart.pt")
    values = np.load(PUBLISHED / "bar_1_chart_values.npz")
    decoded = atlas.decode(values["coords"], 0).numpy()
    np.testing.assert_allclose(decoded, values["decoded"], atol=1e-5, rtol=0)
    encoded = atlas.encode(values["images"], 0)
    np.testing.assert_allclose(encoded.numpy(), values["encoded"], atol=1e-5, rtol=0)
    again = atlas.decode(encoded, 0).numpy()
    np.testing.assert_allclose(again, values["reconstructed"], atol=1e-5, rtol=0)


@needs_files
def test_published_balls_reconstruct_balls():
    from learnedmanifolds.datasets import Balls

    atlas = import_published(PUBLISHED / "balls_1_chart.pt")
    assert (atlas.n_charts, atlas.dim, atlas.ambient_shape) == (1, 6, (1, 128, 128))
    images = Balls(128, smooth=False).sample(20, seed=3)
    coords = atlas.encode(images, 0)
    error = (atlas.decode(coords, 0) - images).square().flatten(1).mean(1)
    # The published mean is 34.0 dB, 30.2 to 37.0, on its own drawing of the discs.
    assert float(-10 * error.log10().median()) > 32.5
    assert float((coords.abs() < 1).double().mean()) > 0.9


def broken(state, change):
    state = dict(state)
    change(state)
    return {"model_state_dict": state}


def drop(key):
    return lambda state: state.pop(key)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "dict of tensors"),
        ({"model_state_dict": {"a": 3}}, "dict of tensors"),
        ({"model_state_dict": {"weight": torch.ones(2)}}, "log_decoder_weights"),
        (
            broken(checkpoint(2, 1, n=3), drop("Generator_1.INN.module_list.2.subnet1.2.weight")),
            "published charts",
        ),
        (
            broken(
                checkpoint(1, 1, n=3),
                lambda s: s.update({"Generator_0.INN.module_list.0.subnet1.2.bias": torch.ones(5)}),
            ),
            "published charts",
        ),
        (broken(checkpoint(3, 1, n=3), lambda s: s.update(log_decoder_weights=torch.ones(2))), "2"),
    ],
)
def test_foreign_content(tmp_path, content, message):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=message):
        import_published(tmp_path / "model.pt")


def test_foreign_truncated_and_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        import_published(tmp_path / "none.pt")
    torch.save({"model_state_dict": checkpoint(1, 1, n=2)}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 30):
        (tmp_path / "part.pt").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"part\.pt"):
            import_published(tmp_path / "part.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"text\.pt"):
        import_published(tmp_path / "text.pt")


@pytest.mark.parametrize("path", [3, None, b"model.pt"])
def test_what_is_no_path(path):
    name = type(path).__name__
    with pytest.raises(TypeError, match=f"path must be a str or Path, got {name}"):
        import_published(path)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_file_cannot_run_code(tmp_path, capsys):
    torch.save({"model_state_dict": {"a": Evil()}}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"evil\.pt"):
        import_published(tmp_path / "evil.pt")
    assert "executed" not in capsys.readouterr().out
