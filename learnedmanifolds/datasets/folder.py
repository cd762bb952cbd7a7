"""The user's own pictures from a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from learnedmanifolds._check import as_path, integer
from learnedmanifolds.datasets._pixels import symmetric_values, unit_values
from learnedmanifolds.datasets.image_set import ImageSet

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
# Pillow's modes of at most 8 bits a channel; it would cut others off at 255 without a word.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def image_folder(
    path: str | Path,
    size: int | Sequence[int] | None = None,
    *,
    grey: bool = True,
    scaled: bool = False,
) -> ImageSet:
    """Read all pictures of a folder, in the natural order of their names (``2.png``, ``10.png``).

    Parameters
    ----------
    path : str or Path
        A folder with .png, .jpg, .bmp, .gif (the first frame), .tif, .webp, .pgm or .ppm files of 8
        bits a channel; other files and folders in it are passed over.
    size : int or (int, int), optional
        Side, or height and width, in pixels to which every picture is resampled (with averaging
        where it shrinks, and stretched where its proportions differ). By default the pictures must
        have one size.
    grey : bool
        Whether colours become grey values (Rec. 601 luma); otherwise there are three channels.
        Transparency is dropped.
    scaled : bool
        Whether values are in [-1, 1] rather than in [0, 1].

    Returns
    -------
    ImageSet
        Images (N, 1, H, W) or (N, 3, H, W), without labels.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no picture in it.
    TypeError, ValueError
        If an argument is wrong, a file is no such picture, or the pictures differ in size.
    """
    folder = as_path(path)
    shape = None if size is None else _shape(size)
    if not folder.is_dir():
        raise FileNotFoundError(f"path must be a folder of pictures, there is no folder {folder}")
    files = [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()]
    # Names with a dot in front belong to the file system.
    files = sorted((f for f in files if not f.name.startswith(".")), key=_natural)
    if not files:
        raise FileNotFoundError(
            f"path must be a folder with pictures ({', '.join(SUFFIXES)}), {folder} has none"
        )
    pictures = [_read(file, shape, grey) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise ValueError(
                f"size must be given where pictures differ in size: {files[0].name} has "
                f"{pictures[0].shape[:2]} pixels, {file.name} {picture.shape[:2]}"
            )
    images = unit_values(np.stack(pictures), "pictures").permute(0, 3, 1, 2).contiguous()
    return ImageSet(symmetric_values(images, scaled))


def _shape(size: int | Sequence[int]) -> tuple[int, int]:
    if not isinstance(size, Sequence) or isinstance(size, str):
        side = integer(size, "size", minimum=1)
        return side, side
    if len(size) != 2:
        raise ValueError(f"size must be a side or (height, width), got {len(size)} numbers")
    return integer(size[0], "size", minimum=1), integer(size[1], "size", minimum=1)


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    """Sort key under which a number in a name counts as a number."""
    parts = re.split("([0-9]+)", file.name)
    return [(True, int(p), p) if k % 2 else (False, 0, p) for k, p in enumerate(parts)]


def _read(file: Path, shape: tuple[int, int] | None, grey: bool) -> np.ndarray:
    """Read one picture as bytes (H, W, channels)."""
    # Comes with matplotlib; the rest of the package does not need it.
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=FORMATS) as opened:
            mode = opened.mode
            if mode in MODES:
                picture = ImageOps.exif_transpose(opened).convert("L" if grey else "RGB")
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise ValueError(f"path must hold readable pictures, {file} is not: {error}") from error
    if mode not in MODES:
        raise ValueError(f"{file} must have 8 bits a channel, got a picture of mode {mode!r}")
    if shape is not None:
        picture = picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[..., np.newaxis] if grey else pixels
