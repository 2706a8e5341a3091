"""How often each level occurs, per channel and for the brightness."""

import numpy as np
from numpy.typing import NDArray

from apps.jobs.algorithms import Output, drawing
from apps.jobs.algorithms.arrays import LEVELS, Pixels, bands, base_data, level_counts, luma_counts

Counts = NDArray[np.int64]


def channel_counts(pixels: Pixels) -> Counts:
    """3 x 256 counts, every pixel counted once per channel."""
    per_band = [[level_counts(band[..., channel]) for channel in range(3)] for band in bands(pixels)]
    return np.asarray(np.sum(per_band, axis=0), dtype=np.int64)


def summary(counts: Counts) -> dict[str, float]:
    """Mean, standard deviation and median of the levels, and the entropy in bits per pixel."""
    share = counts / counts.sum()
    levels = np.arange(LEVELS)
    mean = float(share @ levels)
    used = share[share > 0]
    return {
        "mean": mean,
        "std": float(np.sqrt(share @ (levels - mean) ** 2)),
        "median": float(np.searchsorted(np.cumsum(counts), (counts.sum() + 1) // 2)),
        "entropy_bits": float(abs(used @ np.log2(used))),
    }


def run(pixels: Pixels) -> Output:
    """Count the levels of red, green, blue and brightness."""
    channels = channel_counts(pixels)
    brightness = luma_counts(pixels)
    names = ("red", "green", "blue", "luminance")
    counts = dict(zip(names, (*channels, brightness), strict=True))
    about = {name: summary(row) for name, row in counts.items()}
    data = base_data(pixels) | {
        "counts": {name: row.tolist() for name, row in counts.items()},
        "summary": about,
        "clipped_shadows": float(brightness[0] / brightness.sum()),
        "clipped_highlights": float(brightness[-1] / brightness.sum()),
    }
    return Output(_draw(pixels, channels, brightness, about["luminance"]), data)


def _draw(pixels: Pixels, channels: Counts, brightness: Counts, about: dict[str, float]) -> bytes:
    subtitle = (
        f"luminance: mean {about['mean']:.1f}, deviation {about['std']:.1f}, entropy {about['entropy_bits']:.2f} bits"
    )
    figure, (left, right) = drawing.figure("Histogram", subtitle)
    drawing.picture(left, pixels, "Picture")
    levels = np.arange(LEVELS)
    total = brightness.sum()
    right.fill_between(levels, brightness / total, step="mid", color=drawing.GRID, label="Luminance")
    for (name, colour), counts in zip(drawing.CHANNELS, channels, strict=True):
        right.step(levels, counts / total, where="mid", color=colour, linewidth=1.1, label=name)
    drawing.labelled(right, "Levels", "level", "share of pixels")
    drawing.levels_axis(right)
    drawing.percent(right)
    right.set_ylim(0, _top(np.vstack([channels, brightness]) / total))
    right.legend(frameon=False, fontsize=8, labelcolor=drawing.INK)
    return drawing.png(figure)


def _top(shares: NDArray[np.float64]) -> float:
    # A single clipped level (a white background) would press everything else flat: it may leave the panel.
    inner = float(shares[:, 1:-1].max())
    return 1.08 * (inner if inner > 0.002 else float(shares.max()))
