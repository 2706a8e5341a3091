"""The picture algorithms by name.

Importing this package costs nothing: numpy and matplotlib are imported by the first `run`, in the process that runs it.
The API validates names and the workers choose queues from the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHARTS = "charts_cpu"


@dataclass(frozen=True, slots=True)
class Output:
    """What an algorithm made of a picture.

    `figure` is a PNG file. `data` holds plain numbers, strings, lists and dicts: every number is finite, so that any
    JSON reader takes it. It always has `width` and `height` (of the picture given) and `downscale`, the whole number
    by which the picture's sides were divided before the arithmetic; 1 means every pixel was counted.
    """

    figure: bytes
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm: the name of the API, the title people read, the queue it runs on.

    `run` takes height x width x 3 bytes of sRGB, both sides at least 1.
    """

    name: str
    title: str
    queue: str
    run: Callable[[NDArray[np.uint8]], Output]


def _algorithm(name: str, title: str, queue: str = CHARTS) -> Algorithm:
    def run(pixels: NDArray[np.uint8]) -> Output:
        return import_module(f"{__name__}.{name}").run(pixels)  # type: ignore[no-any-return]  # found by name

    return Algorithm(name, title, queue, run)


ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        algorithm.name: algorithm
        for algorithm in (
            _algorithm("histogram", "Histogram"),
            _algorithm("sobel_edges", "Sobel edges"),
            _algorithm("otsu_threshold", "Otsu threshold"),
            _algorithm("fft_spectrum", "Fourier spectrum"),
            _algorithm("dominant_colours", "Dominant colours"),
            _algorithm("tone_curve", "Tone curve"),
        )
    }
)
