"""Image charts: exact left inverse, exact jets, orthogonal up-sampling, flat seeds, every size."""

import pytest
import torch

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts import ImageCharts
from learnedmanifolds.charts.convolution import ConvolutionStack, OrthogonalUpsampling
from learnedmanifolds.charts.jet import functional_jet, jet_rule
from learnedmanifolds.files.io import load


def perturbed(module: torch.nn.Module, size: float = 0.1) -> torch.nn.Module:
    """The module with random weights in the place of the identity that it starts as."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter += size * noise
    return module.double()


def make(n_charts=2, dim=2, shape=(1, 16, 16), **sizes) -> ImageCharts:
    options = {"hidden": 12, "conv_hidden": 6, "n_blocks": 2, "n_conv_blocks": 2, **sizes}
    charts = perturbed(ImageCharts(n_charts, dim, shape, **options))
    generator = torch.Generator().manual_seed(1)
    n = charts.n_ambient
    charts.place(
        torch.randn(n_charts, n, generator=generator),
        torch.randn(n_charts, n, dim, generator=generator),
        1 + torch.rand(n_charts, generator=generator),
    )
    return charts.requires_grad_(False)


def box(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1


CASES = {
    "grey": make(),
    "one chart": make(n_charts=1, dim=3),
    "curve": make(dim=1),
    "colour, oblong, two levels": make(dim=3, shape=(3, 16, 24), levels=2),
    "published": make(published=True),
}


@pytest.mark.parametrize("name", CASES)
def test_no_images_have_no_coordinates(name):
    charts = CASES[name]
    k, d, n = charts.n_charts, charts.dim, charts.n_ambient
    none = torch.zeros(0, n, dtype=torch.float64)
    assert charts.encode(none).shape == (k, 0, d)
    assert charts.encode(none, 0).shape == (0, d)
    assert charts.decode(torch.zeros(k, 0, d).double()).shape == (k, 0, n)
    assert Atlas(charts, tolerance=1.0).project(none.view(0, *charts.ambient_shape)).numel() == 0


@pytest.mark.parametrize("name", CASES)
def test_encoder_is_a_left_inverse_of_every_chart(name):
    charts = CASES[name]
    coords = box(charts.n_charts, 20, charts.dim)
    x = charts.decode(coords)
    assert x.shape == (charts.n_charts, 20, charts.n_ambient)
    torch.testing.assert_close(charts.encode(x), coords, atol=1e-10, rtol=0)
    for k in range(charts.n_charts):
        torch.testing.assert_close(charts.decode(coords[k], k), x[k], atol=1e-11, rtol=1e-11)
        torch.testing.assert_close(charts.encode(x[k], k), coords[k], atol=1e-10, rtol=0)
    everywhere = charts.encode(x[0])
    torch.testing.assert_close(everywhere[0], coords[0], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_jets_are_those_of_nested_forward_mode(name):
    charts = CASES[name]
    coords = box(charts.n_charts, 4, charts.dim)
    tangents = box(charts.n_charts, 2, 4, charts.dim)
    pairs = ((0, 0), (0, 1), (1, 1))
    jets = charts.jet(coords, None, tangents, pairs)
    for k in range(charts.n_charts):
        expected = functional_jet(lambda z, k=k: charts.decode(z, k), coords[k], tangents[k], pairs)
        alone = charts.jet(coords[k], k, tangents[k], pairs)
        for all_charts, one, reference in zip(jets, alone, expected, strict=True):
            torch.testing.assert_close(one, reference, atol=1e-8, rtol=1e-8)
            torch.testing.assert_close(all_charts[k], reference, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_every_power_of_two_has_its_default(size):
    charts = ImageCharts(
        2, 2, (1, size, size), hidden=4, n_blocks=1, conv_hidden=2, n_conv_blocks=1
    )
    coords = box(2, 3, 2).float()
    x = charts.decode(coords)
    assert x.shape == (2, 3, size * size)
    torch.testing.assert_close(charts.encode(x), coords, atol=1e-5, rtol=0)
    assert charts.levels == {16: 1, 32: 1, 64: 2, 128: 2, 256: 3}[size]
    # The dense network stays small.
    assert 64 <= charts.n_coarse <= 1024


def test_gradients_reach_every_parameter():
    charts = make().requires_grad_(True)
    x = charts.decode(box(2, 5, 2))
    loss = x.square().sum() + charts.encode(x.detach() + 0.1).square().sum()
    loss.backward()
    for name, parameter in charts.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_networks_with_and_without_gradients_agree():
    # Two ways of convolving: torch's own while weights are trained, one product a tap otherwise.
    charts = make(dim=2)
    coords = box(2, 3, 2)
    frozen = charts.decode(coords)
    charts.requires_grad_(True)
    torch.testing.assert_close(charts.decode(coords).detach(), frozen, atol=1e-11, rtol=1e-11)
    for k in range(2):
        torch.testing.assert_close(
            charts.decode(coords[k], k).detach(), frozen[k], atol=1e-11, rtol=1e-11
        )


def test_up_sampling_is_orthogonal_and_starts_as_the_pixel_shuffle():
    up = OrthogonalUpsampling(2, 3).double().requires_grad_(False)
    x = box(2, 5, 12, 4, 6)
    torch.testing.assert_close(up(x), torch.nn.functional.pixel_shuffle(x, 2))
    perturbed(up, 1.0)
    y = up(x)
    assert (y - torch.nn.functional.pixel_shuffle(x, 2)).abs().max() > 0.1
    torch.testing.assert_close(y.flatten(2).norm(dim=-1), x.flatten(2).norm(dim=-1))
    torch.testing.assert_close(up.inverse(y), x)
    torch.testing.assert_close(up(x[1], 1), y[1])
    # A patch mixes the four channels of its pixel only.
    single = torch.zeros(1, 12, 4, 6, dtype=torch.float64)
    single[0, 5, 2, 3] = 1
    lit = up(single, 0)[0].nonzero()
    assert set(lit[:, 0].tolist()) == {1}
    assert set(lit[:, 1].tolist()) <= {4, 5} and set(lit[:, 2].tolist()) <= {6, 7}


def test_up_sampling_gradient_agrees_with_differences():
    up = perturbed(OrthogonalUpsampling(1, 1), 0.5)
    x = box(1, 2, 4, 2, 2)
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(up, {"weight": w}, (x,)), up.weight
    )


def test_convolution_stack_inverts_and_is_local():
    stack = perturbed(ConvolutionStack(2, 6, 1, 5)).requires_grad_(False)
    x = box(2, 3, 6, 8, 8)
    y = stack(x)
    torch.testing.assert_close(stack.inverse(y), x, atol=1e-11, rtol=0)
    moved = x.clone()
    moved[..., 0, 0] += 1
    changed = (stack(moved) - y).abs().amax((0, 1, 2)) > 1e-12
    # Two subnets of two 3 x 3 convolutions each reach 4 pixels far.
    assert not changed[5:].any() and not changed[:, 5:].any() and changed[:3, :3].all()


def test_convolution_stack_pushes_a_constant_as_its_value():
    stack = perturbed(ConvolutionStack(1, 4, 2, 5)).requires_grad_(False)
    rule = jet_rule(0, ())
    x = box(1, 3, 4, 4, 4)
    torch.testing.assert_close(stack.push(x.unsqueeze(1), rule)[:, 0], stack(x))


def test_untrained_charts_are_flat_patches_of_the_seed():
    charts = ImageCharts(2, 2, (1, 16, 16)).double()
    generator = torch.Generator().manual_seed(0)
    # Directions that are constant on coarse pixels, which the coarse image keeps wholly.
    coarse = torch.randn(2, 2, 1, 8, 8, generator=generator, dtype=torch.float64)
    fine = coarse.repeat_interleave(2, -1).repeat_interleave(2, -2).flatten(2)
    directions = torch.linalg.qr(fine.mT).Q
    centers = torch.randn(2, 256, generator=generator, dtype=torch.float64)
    radius = torch.tensor([0.5, 3.0], dtype=torch.float64)
    charts.place(centers, directions, radius)
    z = box(2, 6, 2)
    expected = centers.unsqueeze(1) + radius.view(-1, 1, 1) * (z @ directions.mT)
    torch.testing.assert_close(charts.decode_base(z).detach(), expected)
    # Of any image the encoder keeps the coordinates of its projection on the patch.
    x = torch.randn(2, 4, 256, generator=generator, dtype=torch.float64)
    projected = (x - centers.unsqueeze(1)) @ directions / radius.view(-1, 1, 1)
    torch.testing.assert_close(charts.encode_base(x).detach(), projected)


def test_saved_atlas_comes_back_bit_by_bit(tmp_path):
    atlas = Atlas(make().float(), noise_std=0.1)
    atlas.save(tmp_path / "images.safetensors")
    again = load(tmp_path / "images.safetensors")
    assert again.ambient_shape == (1, 16, 16)
    coords = box(5, 2).float()
    for k in range(2):
        assert torch.equal(again.decode(coords, k), atlas.decode(coords, k))
    assert atlas.decode(coords, 0).shape == (5, 1, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 2, (1, 15, 16)), "multiples of 2"),
        ((1, 2, (1, 16, 16), 5), "multiples of 32"),
        ((1, 2, (1, 16, 16), 0), "levels=0"),
        ((1, 40, (1, 16, 16)), "dim must be at most 32"),
        ((1, 2, (16, 16)), r"ambient_shape must be \(C, H, W\)"),
        ((0, 2, (1, 16, 16)), "n_charts must be an integer of at least 1"),
        ((1, 0, (1, 16, 16)), "dim must be an integer of at least 1"),
    ],
)
def test_sizes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageCharts(*arguments)


def test_sizes_that_are_no_integers():
    with pytest.raises(TypeError, match="n_charts must be an integer"):
        ImageCharts(2.0, 2, (1, 16, 16))
    with pytest.raises(TypeError, match="ambient_shape must be an integer"):
        ImageCharts(2, 2, (1, 16.0, 16))
