"""What several algorithms need of a picture: shrinking, brightness, level counts."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
# ITU-R BT.709, the primaries of sRGB. They sum to 1, so grey keeps its value.
LUMA_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])
# Rows are taken in bands of about this many pixels: a 40-megapixel picture as float64 would need almost a gigabyte.
BAND_PIXELS = 2_000_000

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


def bands(pixels: Pixels) -> Iterator[Pixels]:
    """Cut a picture into bands of whole rows, small enough for wide temporary numbers."""
    rows = max(1, BAND_PIXELS // pixels.shape[1])
    for start in range(0, pixels.shape[0], rows):
        yield pixels[start : start + rows]


def factor(pixels: NDArray[np.generic], longest: int) -> int:
    """Return the smallest whole divisor that brings the longer side to at most `longest`."""
    height, width = pixels.shape[:2]
    return int(max(1, -(-max(height, width) // longest)))


def shrink(pixels: Pixels, by: int) -> Pixels:
    """Average blocks of `by` x `by` pixels; blocks at the right and lower border may be smaller."""
    if by == 1:
        return pixels
    rows = np.arange(0, pixels.shape[0], by)
    columns = np.arange(0, pixels.shape[1], by)
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0, dtype=np.uint32), columns, axis=1)
    heights = np.diff(rows, append=pixels.shape[0])
    widths = np.diff(columns, append=pixels.shape[1])
    counts = (heights[:, None] * widths[None, :])[:, :, None]
    means: Pixels = ((sums + counts // 2) // counts).astype(np.uint8)
    return means


def luma(pixels: Pixels) -> Floats:
    """Brightness of each pixel, 0 to 255, as the weighted sum of the encoded channels."""
    brightness: Floats = pixels @ LUMA_WEIGHTS
    return brightness


def luma_levels(pixels: Pixels) -> Pixels:
    """Brightness rounded to the nearest whole level."""
    return np.rint(luma(pixels)).astype(np.uint8)


def level_counts(levels: Pixels) -> NDArray[np.int64]:
    """How many pixels have each of the 256 levels."""
    return np.bincount(levels.ravel(), minlength=LEVELS).astype(np.int64)


def luma_counts(pixels: Pixels) -> NDArray[np.int64]:
    """Level counts of the brightness, every pixel counted."""
    per_band = [level_counts(luma_levels(band)) for band in bands(pixels)]
    return np.asarray(np.sum(per_band, axis=0), dtype=np.int64)


def base_data(pixels: Pixels, downscale: int = 1) -> dict[str, int]:
    """The part of `Output.data` that all algorithms share."""
    height, width = pixels.shape[:2]
    return {"width": width, "height": height, "downscale": downscale}
