"""The Fourier spectrum of the brightness: how much detail there is of each size."""

import numpy as np

from apps.jobs.algorithms import Output, drawing
from apps.jobs.algorithms.arrays import Floats, Pixels, base_data, factor, luma, shrink

LONGEST = 1024
RINGS = 64
LOW = 0.1  # cycles per pixel: detail of ten pixels and more
NYQUIST = 0.5


def power(brightness: Floats) -> Floats:
    """Power of each frequency, zero frequency in the middle; the mean is taken off first, so the middle is 0.

    Divided by the square of the pixel count: the sum over all frequencies is the variance (Parseval).
    """
    spectrum = np.fft.fftshift(np.fft.fft2(brightness - brightness.mean()))
    scaled: Floats = np.abs(spectrum) ** 2 / brightness.size**2
    return scaled


def radius(shape: tuple[int, ...]) -> Floats:
    """Distance of each frequency from zero, in cycles per pixel."""
    rows = np.fft.fftshift(np.fft.fftfreq(shape[0]))
    columns = np.fft.fftshift(np.fft.fftfreq(shape[1]))
    return np.hypot(rows[:, None], columns[None, :])


def rings(spectrum: Floats) -> Floats:
    """Mean power per ring of equal width between 0 and 0.5 cycles per pixel; 0 for a ring without frequencies."""
    distance = radius(spectrum.shape)
    ring = np.minimum((distance / NYQUIST * RINGS).astype(np.intp), RINGS)  # corners beyond 0.5 go to one bin, cut off
    counts = np.bincount(ring.ravel(), minlength=RINGS + 1)[:RINGS]
    sums = np.bincount(ring.ravel(), weights=spectrum.ravel(), minlength=RINGS + 1)[:RINGS]
    return sums / np.maximum(counts, 1)


def slope(profile: Floats) -> float:
    """Exponent of the power law through the rings; photographs are near -2, noise is near 0. 0 with too few rings."""
    centres = (np.arange(RINGS) + 0.5) / RINGS * NYQUIST
    # What is only rounding must not be fitted: a single colour has no slope.
    used = profile > max(1e-12, 1e-9 * float(profile.max()))
    if np.count_nonzero(used) < 3:
        return 0.0
    x, y = np.log(centres[used]), np.log(profile[used])
    x = x - x.mean()
    return float(x @ y / (x @ x))


def run(pixels: Pixels) -> Output:
    """Measure the power of the frequencies."""
    by = factor(pixels, LONGEST)
    spectrum = power(luma(shrink(pixels, by)))
    profile = rings(spectrum)
    total = float(spectrum.sum())
    low = float(spectrum[radius(spectrum.shape) <= LOW].sum())
    data = base_data(pixels, by) | {
        "variance": total,
        "low_frequency_share": min(1.0, low / total) if total > 1e-12 else 0.0,
        "slope": slope(profile),
        "rings": profile.tolist(),
        "ring_width_cycles_per_pixel": NYQUIST / RINGS,
    }
    return Output(_draw(pixels, spectrum, profile, data), data)


def _draw(pixels: Pixels, spectrum: Floats, profile: Floats, data: dict[str, float]) -> bytes:
    share = f"{data['low_frequency_share'] * 100:.1f} % of the power is in detail of ten pixels and more"
    figure, (left, middle, right) = drawing.figure(
        "Fourier spectrum", f"{share}, slope {data['slope']:.2f}", (1, 0.9, 1)
    )
    drawing.picture(left, pixels, "Picture")
    decibels = 10 * np.log10(np.maximum(spectrum, 1e-12))
    top = max(-40.0, float(decibels.max()))  # a single colour stays dark
    middle.imshow(
        decibels, extent=(-0.5, 0.5, 0.5, -0.5), aspect="equal", cmap="magma", vmin=top - 80, vmax=top,
        interpolation="antialiased",
    )  # fmt: skip
    drawing.labelled(middle, "Power (80 dB shown)", "cycles per pixel, across", "cycles per pixel, down")
    middle.grid(visible=False)
    centres = (np.arange(RINGS) + 0.5) / RINGS * NYQUIST
    used = profile > max(1e-12, 1e-9 * float(profile.max()))
    drawing.labelled(right, "Mean power by frequency", "cycles per pixel", "power")
    if used.any():
        right.loglog(centres[used], profile[used], color=drawing.ACCENT, linewidth=1.6, marker=".", markersize=3)
        drawing.plain_numbers(right)
        right.set_xticks([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    else:
        right.text(0.5, 0.5, "one colour: no detail", transform=right.transAxes, ha="center", color=drawing.MUTED)
    return drawing.png(figure)
