"""Images a real system meets: photographs, odd sizes, every colour mode, one stored on its side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_PHOTOGRAPHS = ("grace_hopper.jpg",)
_ORIENTATION = 0x0112  # EXIF tag: how the camera was held
_ROTATED = 6


def photographs() -> tuple[Path, ...]:
    """The pictures that matplotlib ships in its sample data; fewer where a distribution left them out."""
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "sample_data"
    return tuple(folder / name for name in _PHOTOGRAPHS if (folder / name).is_file())


def make(folder: Path) -> tuple[Path, ...]:
    """Write the generated images to `folder`."""
    return tuple(_save(folder / name, image, options) for name, image, options in _images())


def _images() -> Iterator[tuple[str, Picture, dict[str, Any]]]:
    from PIL import Image

    exif = Image.Exif()
    exif[_ORIENTATION] = _ROTATED
    yield "on-its-side.jpg", _scene(320, 213), {"exif": exif, "quality": 90}
    yield "narrow.png", _scene(3, 401), {}
    yield "palette.gif", _scene(127, 89).quantize(16), {}
    yield "transparent.png", _with_alpha(_scene(199, 101)), {}
    yield "print.jpg", _scene(211, 97).convert("CMYK"), {"quality": 85}


def _scene(width: int, height: int) -> Picture:
    """A landscape of sky, sun and waves: gradients, an edge and a texture, so that every algorithm finds something."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    sun = np.hypot(x - 0.7, y - 0.2) < 0.12
    sea = y > 0.45 * height / max(width, height)
    waves = 0.5 + 0.5 * np.sin(60 * y + 9 * np.sin(14 * x))
    layers = [
        np.where(sea, water * waves, np.where(sun, 250, sky)) for sky, water in ((120, 40), (170, 110), (230, 160))
    ]
    pixels = np.stack(layers, axis=-1)
    return Image.fromarray(pixels.astype("uint8"), "RGB")


def _with_alpha(image: Picture) -> Picture:
    from PIL import Image

    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def _save(path: Path, image: Picture, options: dict[str, Any]) -> Path:
    image.save(path, **options)
    return path
