"""How all figures look, and how they become files.

Only matplotlib's object interface is used: pyplot keeps every figure in a global list, and worker threads would share
it. Styles are set on the artists, not in rcParams, for the same reason.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from apps.jobs.algorithms.arrays import LEVELS, Pixels, factor, shrink

DPI = 100
HEIGHT_INCHES = 4.2
PICTURE_PIXELS = 480  # a picture is drawn about this wide; more would only make the file bigger
STRETCHED = 20

INK = "#1f2933"
MUTED = "#616e7c"
GRID = "#e4e7eb"
ACCENT = "#2563eb"
WARM = "#dc6803"
CHANNELS = (("Red", "#d92d20"), ("Green", "#12864a"), ("Blue", "#2563eb"))


def figure(title: str, subtitle: str, widths: Sequence[float] = (1.0, 1.15)) -> tuple[Figure, list[Axes]]:
    """Make a figure with one row of panels; `widths` are their shares of the width.

    Returns:
        The figure, not known to any global registry, and its axes from left to right.
    """
    made = Figure(figsize=(4.6 * len(widths), HEIGHT_INCHES), dpi=DPI, layout="constrained", facecolor="white")
    made.get_layout_engine().set(w_pad=0.12, h_pad=0.08, wspace=0.03)  # type: ignore[union-attr,call-arg]  # constrained
    made.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold", color=INK)
    made.supxlabel(subtitle, x=0.012, ha="left", fontsize=8.5, color=MUTED)
    row = made.subplots(1, len(widths), gridspec_kw={"width_ratios": list(widths)}, squeeze=False)[0]
    for axes in row:
        _plain(axes)
    return made, list(row)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8, colors=MUTED, length=3, color=GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.set_axisbelow(True)


def labelled(axes: Axes, title: str, x: str, y: str) -> None:
    """Name a panel and its two axes, and give it a quiet grid."""
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    axes.grid(color=GRID, linewidth=0.7)


def plain_numbers(axes: Axes) -> None:
    """Write the ticks of both axes as plain text: the default of logarithmic axes is typeset mathematics, and slow."""
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(FuncFormatter(lambda _value, _: ""))


def percent(axes: Axes) -> None:
    """Write the ticks of the y axis as percentages of 1."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))


def picture(axes: Axes, pixels: Pixels, title: str) -> None:
    """Show an RGB picture, shrunk to what the panel can show; its ticks count the pixels of the original."""
    small = thumbnail(pixels)
    panel(axes, small, pixels.shape, title)


def thumbnail(pixels: Pixels, longest: int = PICTURE_PIXELS) -> Pixels:
    """Shrink a picture to what a panel can show."""
    return shrink(pixels, factor(pixels, longest))


def panel(axes: Axes, image: NDArray[np.generic], shape: Sequence[int], title: str, **options: object) -> None:
    """Show an image whose ticks count the pixels of a picture of `shape` (height, width, ...).

    `options` go to matplotlib's `imshow`: a colour map and its ends for one number per pixel.
    """
    height, width = shape[:2]
    # A picture of one row would be a line too thin to see: its pixels are stretched, and the title says so.
    stretched = not 1 / STRETCHED <= width / height <= STRETCHED
    few = max(image.shape[:2]) <= PICTURE_PIXELS // 4
    axes.imshow(
        image, extent=(-0.5, width - 0.5, height - 0.5, -0.5), aspect="auto" if stretched else "equal",
        interpolation="nearest" if few else "antialiased", **options,  # type: ignore[arg-type]  # imshow's own names
    )  # fmt: skip
    axes.set_title(f"{title} (not to scale)" if stretched else title, fontsize=10, color=INK, loc="left")
    axes.set_xlabel("column (pixels)", fontsize=9, color=MUTED)
    axes.set_ylabel("row (pixels)", fontsize=9, color=MUTED)
    for axis, size in ((axes.xaxis, width), (axes.yaxis, height)):
        axis.set_major_locator(MaxNLocator(4, integer=True) if size > 1 else FixedLocator([0]))


def levels_axis(axes: Axes) -> None:
    """Make x the levels 0 to 255, with ticks at the quarters."""
    axes.set_xlim(0, LEVELS - 1)
    axes.set_xticks([0, 64, 128, 192, 255])


def png(made: Figure) -> bytes:
    """Render a figure and drop what it holds; the same figure gives the same bytes."""
    canvas = FigureCanvasAgg(made)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib has no types here
    buffer = io.BytesIO()
    # Nothing is transparent: without the fourth channel the file is smaller. No metadata is written.
    rendered = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    Image.fromarray(rendered[..., :3]).save(buffer, format="PNG")
    made.clear()
    return buffer.getvalue()
