"""Edges: the gradient of the brightness by Sobel's operator (I. Sobel and G. Feldman, 1968)."""

import numpy as np

from apps.jobs.algorithms import Output, drawing
from apps.jobs.algorithms.arrays import Floats, Pixels, base_data, factor, luma, shrink

LONGEST = 2048
DIRECTIONS = 36  # bins of 10 degrees
# Largest value each derivative can take is 4 * 255: below a tenth of it a step is texture or noise, above it an edge.
EDGE = 0.1 * 4 * 255


def gradient(brightness: Floats) -> tuple[Floats, Floats]:
    """Derivatives to the right and downwards; the border repeats its last pixel."""
    padded = np.pad(brightness, 1, mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:] - padded[:-2]
    right = across[:-2] + 2 * across[1:-1] + across[2:]
    below = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    return right, below


def directions(right: Floats, below: Floats) -> Floats:
    """Share of the gradient by direction, counter-clockwise from 0 degrees (brighter to the right); 0 when flat."""
    magnitude = np.hypot(right, below)
    angle = np.mod(np.degrees(np.arctan2(-below, right)), 360.0)
    bins = (np.rint(angle * DIRECTIONS / 360).astype(np.intp) % DIRECTIONS).ravel()
    total = magnitude.sum()
    weights = np.bincount(bins, weights=magnitude.ravel(), minlength=DIRECTIONS)
    return np.asarray(weights / total if total > 0 else weights, dtype=np.float64)


def run(pixels: Pixels) -> Output:
    """Measure how strong edges are and where they point."""
    by = factor(pixels, LONGEST)
    right, below = gradient(luma(shrink(pixels, by)))
    magnitude = np.hypot(right, below)
    rose = directions(right, below)
    data = base_data(pixels, by) | {
        "mean_magnitude": float(magnitude.mean()),
        "max_magnitude": float(magnitude.max()),
        "p95_magnitude": float(np.percentile(magnitude, 95)),
        "edge_threshold": EDGE,
        "edge_share": float(np.mean(magnitude > EDGE)),
        "direction_shares": rose.tolist(),
    }
    return Output(_draw(pixels, magnitude, rose, data), data)


def _draw(pixels: Pixels, magnitude: Floats, rose: Floats, data: dict[str, float]) -> bytes:
    subtitle = (
        f"{data['edge_share'] * 100:.1f} % of the pixels lie on an edge, mean gradient {data['mean_magnitude']:.1f}"
    )
    figure, (left, middle, right) = drawing.figure("Sobel edges", subtitle, widths=(1, 1, 0.9))
    drawing.picture(left, pixels, "Picture")
    note = f" (shrunk {data['downscale']}x)" if data["downscale"] > 1 else ""
    # Few pixels reach the maximum; a map that ends at the 99th percentile shows the others.
    high = float(np.percentile(magnitude, 99)) or float(magnitude.max()) or 1.0
    step = factor(magnitude, 2 * drawing.PICTURE_PIXELS)
    shown = magnitude[::step, ::step]
    drawing.panel(middle, shown, pixels.shape, f"Gradient magnitude{note}", cmap="gray_r", vmin=0.0, vmax=high)
    degrees = np.arange(DIRECTIONS) * 360 / DIRECTIONS
    right.bar(degrees, rose, width=360 / DIRECTIONS * 0.85, color=drawing.ACCENT)
    drawing.labelled(right, "Direction of the gradient", "degrees, 0 = brighter to the right, 90 = upwards", "share")
    right.set_xlim(-8, 358)
    right.set_xticks([0, 90, 180, 270])
    right.set_ylim(bottom=0)
    drawing.percent(right)
    return drawing.png(figure)
