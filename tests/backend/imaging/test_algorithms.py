"""What all algorithms promise, and each one's arithmetic against an independent implementation."""

import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.fft
import scipy.ndimage
import scipy.spatial.distance
import skimage.color
import skimage.exposure
import skimage.filters
import skimage.measure
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from apps.jobs.algorithms import (
    ALGORITHMS,
    arrays,
    dominant_colours,
    fft_spectrum,
    histogram,
    otsu_threshold,
    sobel_edges,
    tone_curve,
)

BACKEND = Path(__file__).parents[3] / "backend"
NAMES = ["histogram", "sobel_edges", "otsu_threshold", "fft_spectrum", "dominant_colours", "tone_curve"]
SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))
pictures = hnp.arrays(np.uint8, SHAPES)
# Few levels make ties, empty classes and repeated colours likely.
plain_pictures = hnp.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 128, 254, 255]))
any_picture = st.one_of(pictures, plain_pictures)
quickly = settings(max_examples=150, deadline=None)


def test_the_registry_costs_neither_numpy_nor_matplotlib():
    program = (
        "import sys; from apps.jobs.algorithms import ALGORITHMS; "
        "print([(a.name, a.title, a.queue) for a in ALGORITHMS.values()]); "
        "assert not {'numpy', 'matplotlib', 'PIL', 'django'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=BACKEND, capture_output=True, text=True, check=True)
    assert [name for name, _title, _queue in eval(done.stdout)] == NAMES
    assert all(title and queue == "charts_cpu" for _name, title, queue in eval(done.stdout))


@pytest.mark.parametrize("name", NAMES)
def test_any_shape_gives_a_png_and_finite_json(name, awkward):
    for kind, pixels in awkward.items():
        before = pixels.copy()
        output = ALGORITHMS[name].run(pixels)
        with Image.open(io.BytesIO(output.figure)) as figure:
            figure.load()
            assert figure.format == "PNG"
            assert 800 <= figure.width <= 1600
        assert len(output.figure) < 500_000, kind
        assert json.loads(json.dumps(output.data, allow_nan=False)) == output.data, "only JSON's own types"
        assert (output.data["width"], output.data["height"]) == (pixels.shape[1], pixels.shape[0])
        assert np.array_equal(pixels, before), "the picture must not be changed"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_gives_the_same_output_also_from_several_threads(name, awkward):
    pixels = awkward["noise"]
    expected = ALGORITHMS[name].run(pixels)
    got = []
    threads = [threading.Thread(target=lambda: got.append(ALGORITHMS[name].run(pixels))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [expected] * 2


def test_figures_leave_nothing_in_pyplot_and_keep_no_memory(awkward):
    import gc
    import weakref

    from apps.jobs.algorithms import drawing

    made, _axes = drawing.figure("t", "s")
    drawing.png(made)
    ghost = weakref.ref(made)
    del made, _axes
    gc.collect()
    assert ghost() is None
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_large_pictures_are_shrunk_and_say_so(photograph):
    large = np.tile(photograph, (3, 5, 1))
    for name in ("sobel_edges", "fft_spectrum", "dominant_colours"):
        assert ALGORITHMS[name].run(large).data["downscale"] > 1
    assert ALGORITHMS["histogram"].run(large).data["downscale"] == 1, "counting needs no shrinking"


@quickly
@given(any_picture, st.integers(1, 5))
def test_shrinking_is_the_rounded_block_mean(pixels, by):
    shrunk = arrays.shrink(pixels, by)
    for row in range(shrunk.shape[0]):
        for column in range(shrunk.shape[1]):
            block = pixels[row * by : (row + 1) * by, column * by : (column + 1) * by].astype(float)
            assert np.abs(shrunk[row, column] - block.mean(axis=(0, 1))).max() <= 0.5


@quickly
@given(any_picture)
def test_histogram_matches_scikit_image(pixels):
    counts = histogram.channel_counts(pixels)
    for channel in range(3):
        reference, levels = skimage.exposure.histogram(pixels[..., channel], source_range="dtype")
        assert np.array_equal(levels, np.arange(256))
        assert np.array_equal(counts[channel], reference)
    about = histogram.summary(counts[0])
    red = pixels[..., 0]
    assert about["mean"] == pytest.approx(red.mean())
    assert about["std"] == pytest.approx(red.std(), abs=1e-9)
    assert about["entropy_bits"] == pytest.approx(skimage.measure.shannon_entropy(red), abs=1e-9)
    assert np.percentile(red, 50, method="inverted_cdf") == about["median"]


def test_histogram_counts_every_pixel_of_a_banded_picture(photograph):
    tall = np.tile(photograph, (14, 1, 1))
    assert sum(1 for _ in arrays.bands(tall)) > 1
    assert histogram.channel_counts(tall).sum() == tall.size
    assert np.array_equal(arrays.luma_counts(tall), 14 * arrays.luma_counts(photograph))


@quickly
@given(any_picture)
def test_luma_matches_scikit_image(pixels):
    # scikit-image uses the older rounding of the same weights (0.2125, 0.7154, 0.0721).
    assert np.abs(arrays.luma(pixels) - 255 * skimage.color.rgb2gray(pixels)).max() < 0.15


@quickly
@given(any_picture)
def test_sobel_matches_scipy(pixels):
    brightness = arrays.luma(pixels)
    right, below = sobel_edges.gradient(brightness)
    assert right == pytest.approx(scipy.ndimage.sobel(brightness, axis=1, mode="nearest"), abs=1e-9)
    assert below == pytest.approx(scipy.ndimage.sobel(brightness, axis=0, mode="nearest"), abs=1e-9)
    shares = sobel_edges.directions(right, below)
    assert shares.sum() == pytest.approx(1.0) or not np.hypot(right, below).any()


@pytest.mark.parametrize(("turn", "degrees"), [(0, 0), (1, 90), (2, 180), (3, 270)])
def test_sobel_names_the_direction_towards_the_light(turn, degrees):
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.float64), (20, 1))
    shares = sobel_edges.directions(*sobel_edges.gradient(np.rot90(ramp, turn)))
    assert shares.argmax() * 360 / sobel_edges.DIRECTIONS == degrees


@quickly
@given(any_picture)
def test_otsu_separates_as_well_as_scikit_image(pixels):
    levels = arrays.luma_levels(pixels)
    counts = arrays.luma_counts(pixels)
    mine = otsu_threshold.threshold(counts)
    reference = int(skimage.filters.threshold_otsu(levels))
    if levels.min() == levels.max():
        assert mine == reference == levels[0, 0]
        return
    # Thresholds inside an empty stretch separate the same; the classes must be the same or equally good.
    variances = otsu_threshold.between_variance(counts)
    assert np.array_equal(levels > mine, levels > reference) or variances[mine] == pytest.approx(variances[reference])
    assert 0 < otsu_threshold.separability(counts) <= 1 + 1e-9


@quickly
@given(any_picture)
def test_spectrum_matches_scipy_and_keeps_the_variance(pixels):
    brightness = arrays.luma(pixels)
    mine = fft_spectrum.power(brightness)
    reference = np.abs(scipy.fft.fftshift(scipy.fft.fft2(brightness - brightness.mean()))) ** 2 / brightness.size**2
    assert mine == pytest.approx(reference, abs=1e-8)
    assert mine.sum() == pytest.approx(brightness.var(), abs=1e-8), "Parseval"
    distance = fft_spectrum.radius(mine.shape)
    width = fft_spectrum.NYQUIST / fft_spectrum.RINGS
    ring = np.minimum((distance / width).astype(int), fft_spectrum.RINGS)
    expected = [mine[ring == index].mean() if (ring == index).any() else 0.0 for index in range(fft_spectrum.RINGS)]
    assert fft_spectrum.rings(mine) == pytest.approx(np.array(expected), abs=1e-9)


def test_spectrum_finds_a_wave_and_the_slope_of_noise():
    wave = np.tile(127 + 100 * np.sin(2 * np.pi * np.arange(128) / 8), (128, 1))
    peak = fft_spectrum.rings(fft_spectrum.power(wave)).argmax()
    assert peak == round(fft_spectrum.RINGS * (1 / 8) / fft_spectrum.NYQUIST)
    noise = np.random.default_rng(3).normal(127, 20, (256, 256))
    assert abs(fft_spectrum.slope(fft_spectrum.rings(fft_spectrum.power(noise)))) < 0.1


def test_photographs_have_the_slope_of_photographs(photograph):
    assert -3.5 < ALGORITHMS["fft_spectrum"].run(photograph).data["slope"] < -1.5


@quickly
@given(any_picture)
def test_lab_matches_scikit_image(pixels):
    assert dominant_colours.lab(pixels) == pytest.approx(skimage.color.rgb2lab(pixels), abs=1e-4)


@quickly
@given(any_picture)
def test_k_means_ends_where_scipy_ends_from_the_same_start(pixels):
    points = dominant_colours.lab(pixels.reshape(-1, 3))
    weights = np.ones(len(points))
    distinct = len(np.unique(pixels.reshape(-1, 3), axis=0))
    start = dominant_colours.seed_centres(points, weights, min(6, distinct), np.random.default_rng(1))
    assert len(np.unique(start, axis=0)) == len(start), "k-means++ never chooses a point twice"
    mine = dominant_colours.refine(points, weights, start)
    assert np.array_equal(mine.labels, scipy.spatial.distance.cdist(points, mine.centres).argmin(axis=1))
    centres, labels = scipy.cluster.vq.kmeans2(points, start, iter=60, minit="matrix", missing="raise")
    reference = float(((points - centres[labels]) ** 2).sum())
    assert mine.inertia == pytest.approx(reference, rel=1e-6, abs=1e-6)


@quickly
@given(plain_pictures)
def test_few_colours_are_found_exactly(pixels):
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    found, clusters = dominant_colours.dominant(pixels, count=1000)
    assert {colour.rgb: colour.share for colour in found} == pytest.approx(
        {tuple(colour): count / counts.sum() for colour, count in zip(colours.tolist(), counts, strict=True)}
    )
    assert clusters.inertia == pytest.approx(0, abs=1e-9)


def test_k_means_is_as_good_as_scipy_on_a_photograph(photograph):
    small = arrays.shrink(photograph, 4)
    _colours, mine = dominant_colours.dominant(small)
    points = dominant_colours.lab(small.reshape(-1, 3))
    best = min(
        ((points - centres[labels]) ** 2).sum()
        for centres, labels in (scipy.cluster.vq.kmeans2(points, 6, minit="++", rng=seed) for seed in range(5))
    )
    assert mine.inertia < 1.1 * best


@quickly
@given(any_picture)
def test_tone_curve_matches_scikit_image(pixels):
    counts = arrays.luma_counts(pixels)
    curve = tone_curve.choose(counts)
    levels = np.arange(256, dtype=np.uint8)
    assert np.all(np.diff(curve.table().astype(int)) >= 0), "never turns light into dark"
    if curve.white <= curve.black:
        assert np.array_equal(curve.table(), levels)
        return
    stretched = skimage.exposure.rescale_intensity(
        levels.astype(float), in_range=(curve.black, curve.white), out_range=(0, 1)
    )
    reference = 255 * skimage.exposure.adjust_gamma(stretched, curve.gamma)
    assert np.abs(curve.table() - reference).max() <= 0.5 + 1e-9
    grey = arrays.luma_levels(pixels)
    for part, point in ((tone_curve.CLIPPED, curve.black), (1 - tone_curve.CLIPPED, curve.white)):
        assert point == np.percentile(grey, 100 * part, method="inverted_cdf")


def test_tone_curve_lights_up_a_dark_photograph(photograph):
    dark = (photograph // 4).astype(np.uint8)
    data = ALGORITHMS["tone_curve"].run(dark).data
    assert data["gamma"] <= 1
    assert data["mean_after"] > 2 * data["mean_before"]
