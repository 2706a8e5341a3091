"""Two classes of brightness, split where the variance between them is greatest (N. Otsu, 1979)."""

import numpy as np
from numpy.typing import NDArray

from apps.jobs.algorithms import Output, drawing
from apps.jobs.algorithms.arrays import LEVELS, Floats, Pixels, base_data, luma_counts, luma_levels

Counts = NDArray[np.int64]


def between_variance(counts: Counts) -> Floats:
    """Variance between the classes "at most t" and "above t", for t from 0 to 254; 0 where a class is empty."""
    share = counts / counts.sum()
    below = np.cumsum(share)[:-1]
    moment = np.cumsum(share * np.arange(LEVELS))
    mean = moment[-1]
    inside = (np.cumsum(counts)[:-1] > 0) & (np.cumsum(counts[::-1])[::-1][1:] > 0)
    spread = np.where(inside, below * (1 - below), 1.0)
    return np.where(inside, (mean * below - moment[:-1]) ** 2 / spread, 0.0)


def threshold(counts: Counts) -> int:
    """The level t that separates best; pixels above it are foreground. A single level is its own threshold."""
    if np.count_nonzero(counts) == 1:
        return int(np.argmax(counts))
    return int(np.argmax(between_variance(counts)))


def separability(counts: Counts) -> float:
    """Otsu's eta: the part of all variance that the split explains, 0 for one level to 1 for two."""
    share = counts / counts.sum()
    levels = np.arange(LEVELS)
    variance = float(share @ (levels - share @ levels) ** 2)
    return float(between_variance(counts).max() / variance) if variance > 0 else 0.0


def run(pixels: Pixels) -> Output:
    """Find the threshold of the brightness and show what it separates."""
    counts = luma_counts(pixels)
    level = threshold(counts)
    data = base_data(pixels) | {
        "threshold": level,
        "foreground_share": float(counts[level + 1 :].sum() / counts.sum()),
        "separability": min(1.0, separability(counts)),
        "counts": counts.tolist(),
    }
    return Output(_draw(pixels, counts, data), data)


def _draw(pixels: Pixels, counts: Counts, data: dict[str, float]) -> bytes:
    level = data["threshold"]
    subtitle = (
        f"threshold {level}, {data['foreground_share'] * 100:.1f} % brighter, separability {data['separability']:.2f}"
    )
    figure, (left, middle, right) = drawing.figure("Otsu threshold", subtitle, widths=(1, 1, 0.9))
    drawing.picture(left, pixels, "Picture")
    shown = luma_levels(drawing.thumbnail(pixels, 2 * drawing.PICTURE_PIXELS)) > level
    drawing.panel(middle, shown, pixels.shape, "Brighter than the threshold", cmap="gray", vmin=0.0, vmax=1.0)
    share = counts / counts.sum()
    edges = np.arange(LEVELS + 1) - 0.5
    right.stairs(share[: level + 1], edges[: level + 2], fill=True, color=drawing.INK, label="darker")
    if level < LEVELS - 1:
        right.stairs(share[level + 1 :], edges[level + 1 :], fill=True, color="#9fb3c8", label="brighter")
    right.axvline(level + 0.5, color=drawing.WARM, linewidth=1.4, label="threshold")
    drawing.labelled(right, "Luminance", "level", "share of pixels")
    drawing.levels_axis(right)
    drawing.percent(right)
    right.legend(frameon=False, fontsize=8, labelcolor=drawing.INK)
    return drawing.png(figure)
