"""A tone curve: black and white points from the histogram, and the gamma that brings the median to the middle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.jobs.algorithms import Output, drawing
from apps.jobs.algorithms.arrays import LEVELS, Floats, Pixels, base_data, luma_counts

CLIPPED = 0.005  # half a percent at each end: hot pixels and specular lights must not set the white point
STRONGEST_GAMMA = 2.5  # beyond it noise in the shadows becomes the subject


@dataclass(frozen=True, slots=True)
class Curve:
    """Levels up to `black` become 0, from `white` on 255, between them a power with exponent `gamma`."""

    black: int
    white: int
    gamma: float

    def table(self) -> Pixels:
        """The new level of each of the 256 levels; the identity when black and white coincide."""
        levels = np.arange(LEVELS, dtype=np.float64)
        if self.white <= self.black:
            return levels.astype(np.uint8)
        stretched = np.clip((levels - self.black) / (self.white - self.black), 0, 1)
        return np.rint(255 * stretched**self.gamma).astype(np.uint8)


def quantile(counts: NDArray[np.int64], part: float) -> int:
    """The lowest level with at least `part` of the pixels at or below it."""
    return int(np.searchsorted(np.cumsum(counts), part * counts.sum()))


def choose(counts: NDArray[np.int64]) -> Curve:
    """Read the curve off the level counts of the brightness."""
    black, white = quantile(counts, CLIPPED), quantile(counts, 1 - CLIPPED)
    median = quantile(counts, 0.5)
    if not black < median < white:
        return Curve(black, white, 1.0)
    gamma = float(np.log(0.5) / np.log((median - black) / (white - black)))
    return Curve(black, white, float(np.clip(gamma, 1 / STRONGEST_GAMMA, STRONGEST_GAMMA)))


def run(pixels: Pixels) -> Output:
    """Choose a tone curve from all pixels and show what it does."""
    counts = luma_counts(pixels)
    curve = choose(counts)
    table = curve.table()
    data = base_data(pixels) | {
        "black_point": curve.black,
        "white_point": curve.white,
        "gamma": curve.gamma,
        "curve": table.tolist(),
        "mean_before": float(counts @ np.arange(LEVELS) / counts.sum()),
        "mean_after": float(counts @ table.astype(np.float64) / counts.sum()),
    }
    return Output(_draw(pixels, counts / counts.sum(), curve), data)


def _draw(pixels: Pixels, share: Floats, curve: Curve) -> bytes:
    subtitle = f"black point {curve.black}, white point {curve.white}, gamma {curve.gamma:.2f}"
    figure, (left, middle, right) = drawing.figure("Tone curve", subtitle, widths=(1, 0.9, 1))
    table = curve.table()
    drawing.picture(left, pixels, "Before")
    drawing.panel(right, table[drawing.thumbnail(pixels)], pixels.shape, "After")
    levels = np.arange(LEVELS)
    middle.fill_between(levels, 255 * share / share.max(), step="mid", color=drawing.GRID, label="luminance")
    middle.plot(levels, levels, color=drawing.MUTED, linewidth=0.8, linestyle="--", label="unchanged")
    middle.plot(levels, table, color=drawing.ACCENT, linewidth=2, label="curve")
    drawing.labelled(middle, "Curve", "level before", "level after")
    drawing.levels_axis(middle)
    middle.set_ylim(0, 255)
    middle.set_yticks([0, 64, 128, 192, 255])
    middle.legend(frameon=False, fontsize=8, labelcolor=drawing.INK, loc="upper left")
    return drawing.png(figure)
