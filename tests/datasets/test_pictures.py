"""Frey faces, COIL-20 and MNIST: small files of their formats, and the real ones where they are."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.io import savemat

from learnedmanifolds.datasets import ImageSet, coil20, frey_faces, mnist

DATA = Path(__file__).parents[3] / "shared" / "data"
real = pytest.mark.skipif(not DATA.exists(), reason="shared data are absent")


def pictures(n, height, width, seed=0):
    """Random pictures (n, height, width) of bytes that reach both 0 and 255."""
    values = np.random.default_rng(seed).integers(0, 256, (n, height, width), dtype=np.uint8)
    values[0, 0, :2] = 0, 255
    return values


def frey_file(path, values):
    savemat(path, {"ff": np.stack([v.ravel() for v in values], axis=1)})


def coil_file(path, values, labels=None, **more):
    """A picture a row, column by column, as MATLAB stores a matrix."""
    labels = np.repeat(np.arange(1, len(values) // 72 + 1), 72) if labels is None else labels
    columns = np.stack([v.ravel(order="F") for v in values]) / 255
    savemat(path, {"X": columns, "Y": labels[:, None].astype(float)} | more, do_compression=True)


def mnist_file(path, train, test, **changes):
    arrays = {
        "x_train": train,
        "y_train": np.arange(len(train), dtype=np.uint8) % 10,
        "x_test": test,
        "y_test": np.full(len(test), 7, dtype=np.uint8),
    }
    np.savez_compressed(path, **(arrays | changes))


@pytest.fixture
def files(tmp_path):
    """A path and the true pictures for each reader."""
    faces, objects = pictures(7, 28, 20), pictures(144, 32, 32)
    train, test = pictures(12, 28, 28), pictures(3, 28, 28, seed=1)
    frey_file(tmp_path / "frey.mat", faces)
    coil_file(tmp_path / "coil.mat", objects)
    mnist_file(tmp_path / "mnist.npz", train, test)
    return {
        frey_faces: (tmp_path / "frey.mat", faces),
        coil20: (tmp_path / "coil.mat", objects),
        mnist: (tmp_path / "mnist.npz", train),
    }


READERS = [frey_faces, coil20, mnist]


@pytest.mark.parametrize("read", READERS)
def test_every_pixel_comes_to_its_place(files, read):
    path, truth = files[read]
    images = read(path).images
    assert images.dtype == torch.float32 and images.is_contiguous()
    assert images.shape == (len(truth), 1, *truth.shape[1:])
    assert float(images.min()) == 0 and float(images.max()) == 1
    np.testing.assert_array_equal((255 * images[:, 0].double()).round().numpy(), truth)
    scaled = read(str(path), scaled=True).images
    assert float(scaled.min()) == -1 and float(scaled.max()) == 1
    torch.testing.assert_close(scaled - scaled[:1], 2 * (images - images[:1]))


def test_labels_and_angles(files):
    assert frey_faces(files[frey_faces][0]).labels is None
    objects = coil20(files[coil20][0])
    assert objects.labels.tolist() == 72 * [0] + 72 * [1] and objects.labels.dtype == torch.int64
    degrees = objects.angles.double().rad2deg().view(2, 72)
    expected = torch.arange(0, 360, 5).double()
    torch.testing.assert_close(degrees, expected.expand(2, 72), atol=1e-4, rtol=0)
    digits = mnist(files[mnist][0])
    assert digits.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert digits.labels.dtype == torch.int64 and digits.angles is None


def test_split_of_mnist(files):
    test = mnist(files[mnist][0], "test")
    assert test.images.shape == (3, 1, 28, 28) and test.labels.tolist() == [7, 7, 7]
    with pytest.raises(ValueError, match="split must be one of 'train', 'test', got 'valid'"):
        mnist(files[mnist][0], "valid")


@pytest.mark.parametrize(
    ("read", "address", "format"),
    [
        (frey_faces, "https://cs.nyu.edu/~roweis/data", r"ff \(560, any\)"),
        (coil20, "https://jundongl.github.io/scikit-feature", r"X \(any, 1024\), Y \(any, 1\)"),
        (mnist, "https://storage.googleapis.com", r"x_train \(any, 28, 28\), y_train \(any,\)"),
    ],
)
def test_an_absent_file_says_where_it_can_be_had(tmp_path, read, address, format):
    with pytest.raises(FileNotFoundError, match=f"no file .*absent.*{address}.*{format}"):
        read(tmp_path / "absent.mat")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read(tmp_path)
    with pytest.raises(TypeError, match="path must be a str or Path, got int"):
        read(1)


@pytest.mark.parametrize("read", READERS)
def test_truncated_and_foreign_files(files, tmp_path, read):
    path, _ = files[read]
    content = path.read_bytes()
    for broken in (
        b"",
        b"no such format",
        content[: len(content) // 2],
        content[:130],
        b"PK\x03\x04",
    ):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(ValueError, match="path must"):
            read(tmp_path / "broken")


def test_foreign_arrays_are_named(tmp_path):
    path = tmp_path / "x.mat"
    savemat(path, {"fea": np.ones((3, 1024)), "gnd": np.ones((3, 1))})
    with pytest.raises(ValueError, match=r"fea \(3, 1024\) float64, gnd \(3, 1\) float64"):
        coil20(path)
    savemat(path, {"ff": np.ones((1965, 560))})
    with pytest.raises(ValueError, match=r"ff \(560, any\), .* holds ff \(1965, 560\) float64"):
        frey_faces(path)
    savemat(path, {"ff": sparse.csc_array(np.ones((560, 2)))})
    with pytest.raises(ValueError, match=r"holds ff \(560, 2\) float64"):
        frey_faces(path)
    savemat(path, {"ff": np.full((560, 2), "a")})
    with pytest.raises(ValueError, match="numbers, for the Frey faces"):
        frey_faces(path)
    np.savez(tmp_path / "m.npz", x_train=np.ones((2, 784)), y_train=np.ones(2))
    with pytest.raises(ValueError, match=r"x_train \(2, 784\) float64"):
        mnist(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz", x_train=np.array([{}]), y_train=np.ones(2))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        mnist(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz")
    with pytest.raises(ValueError, match="holds nothing"):
        mnist(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((560, 2), 1.5), r"ff must hold numbers in \[0, 1\], got values from 1.5 to 1.5"),
        (np.full((560, 2), -1), "ff must hold integers 0 to 255, got values from -1 to -1"),
        (np.full((560, 2), 256), "ff must hold integers 0 to 255"),
        (np.full((560, 2), np.nan), "ff in .* must be finite"),
    ],
)
def test_grey_values_out_of_range(tmp_path, values, message):
    savemat(tmp_path / "x.mat", {"ff": values})
    with pytest.raises(ValueError, match=message):
        frey_faces(tmp_path / "x.mat")


@pytest.mark.parametrize(
    ("n", "labels"),
    [
        (71, np.ones(71)),
        (144, np.ones(144)),
        (144, np.tile([1, 2], 72)),
        (144, np.repeat([0, 1], 72)),
        (72, np.full(72, 1.5)),
        (144, np.ones(72)),
    ],
)
def test_objects_that_are_not_in_order(tmp_path, n, labels):
    coil_file(tmp_path / "x.mat", pictures(n, 32, 32), labels)
    with pytest.raises(ValueError, match="Y must be the object of each row"):
        coil20(tmp_path / "x.mat")


@pytest.mark.parametrize("labels", [np.full(12, 10), np.full(12, -1), np.ones(12), np.full(11, 1)])
def test_labels_that_are_no_digits(tmp_path, labels):
    mnist_file(tmp_path / "x.npz", pictures(12, 28, 28), pictures(1, 28, 28), y_train=labels)
    with pytest.raises(ValueError, match="y_train must be a digit 0 to 9 for each of the 12 rows"):
        mnist(tmp_path / "x.npz")


def test_plot_shows_the_chosen_pictures_upright_with_frames():
    images = torch.zeros(23, 1, 4, 6)
    images[:, 0, 0, 1] = torch.linspace(0.1, 0.9, 23)
    figure = ImageSet(images).plot(12)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert shown.shape == (2 * 6, 10 * 8)
    blocks = shown.reshape(2, 6, 10, 8).transpose(0, 2, 1, 3).reshape(20, 6, 8)
    # A bright pixel above, left of the middle; evenly chosen, in order; white where none is left.
    values = blocks[:12, 1, 2]
    assert values[0] == pytest.approx(0.1) and (np.diff(values) > 0).all() and values[-1] > 0.85
    assert (blocks[:12, 2:5, 1:7] == 0).all() and (blocks[12:] == 1).all()
    assert (blocks[:, [0, -1]] == 1).all() and (blocks[:, :, [0, -1]] == 1).all()
    symmetric = ImageSet(2 * images - 1).plot(12)
    np.testing.assert_allclose(
        np.asarray(symmetric.axes[0].images[0].get_array()), shown, atol=1e-6
    )
    colour = ImageSet(torch.rand(3, 3, 4, 5)).plot()
    assert np.asarray(colour.axes[0].images[0].get_array()).shape == (6, 3 * 7, 3)
    with pytest.raises(ValueError, match="n must be"):
        ImageSet(images).plot(0)


def test_repr_is_short(files):
    assert (
        repr(coil20(files[coil20][0])) == "ImageSet(144 grey images of 32 x 32, 2 labels, angles)"
    )
    assert repr(ImageSet(torch.zeros(2, 3, 4, 5))) == "ImageSet(2 colour images of 4 x 5)"


def roughness(images):
    """Mean square difference of vertical neighbours over the variance."""
    return float((images[:, :, 1:] - images[:, :, :-1]).square().mean() / images.var())


@real
def test_the_frey_faces():
    images = frey_faces(DATA / "frey_rawface.mat").images
    assert images.shape == (1965, 1, 28, 20)
    assert roughness(images) < 0.5 < roughness(images.reshape(-1, 1, 20, 28))
    # A film: the next frame is nearer than another one.
    flat = images.flatten(1)
    step = (flat[1:] - flat[:-1]).norm(dim=1).median()
    other = (flat - flat[torch.randperm(1965, generator=torch.Generator().manual_seed(0))]).norm(
        dim=1
    )
    assert float(step) < 0.5 * float(other.median())


@real
def test_coil20():
    data = coil20(DATA / "COIL20.mat")
    assert data.images.shape == (1440, 1, 32, 32)
    views = data.images.view(20, 72, 32, 32)
    # The axis of the turntable is vertical: a shift to the side brings a view nearer to the next one
    # than a shift up or down does.
    following = views.roll(-1, 1)
    side, up = (
        torch.stack([(views.roll(k, d) - following).square().sum((2, 3)) for k in (1, -1)]).amin(0)
        for d in (3, 2)
    )
    assert float((side < up).double().mean()) > 0.7
    # Angles in order, and closed: the last view is as near to the first as others to their next.
    flat = views.flatten(2)
    steps = (flat.roll(-1, 1) - flat).norm(dim=2)
    assert bool((steps[:, -1] <= 1.05 * steps[:, :-1].amax(1)).all())
    opposite = (flat.roll(-18, 1) - flat).norm(dim=2)
    assert bool((steps.median(1).values < opposite.median(1).values).all())
    assert math.degrees(float(data.angles[1])) == pytest.approx(5)


@real
def test_mnist():
    train, test = mnist(DATA / "mnist.npz"), mnist(DATA / "mnist.npz", "test")
    assert train.images.shape == (60_000, 1, 28, 28) and test.images.shape == (10_000, 1, 28, 28)
    assert int((train.labels == 1).sum()) == 6742 and int((test.labels == 1).sum()) == 1135
    # Labels belong to their pictures: the nearest of 3000 tells at least nine of ten digits.
    nearest = torch.cdist(test.images[:500].flatten(1), train.images[:3000].flatten(1)).argmin(1)
    assert float((train.labels[nearest] == test.labels[:500]).double().mean()) > 0.85
