"""The description without a model: what can honestly be said from the numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apps.jobs.ai.model import Description
from apps.jobs.algorithms.arrays import Floats, Pixels, factor, luma, shrink
from apps.jobs.algorithms.dominant_colours import dominant, lab

MODEL = "image-statistics-1"
LONGEST = 512
NAMED = {
    "black": (0, 0, 0), "dark grey": (72, 72, 72), "grey": (128, 128, 128), "light grey": (196, 196, 196),
    "white": (255, 255, 255), "dark red": (120, 20, 25), "red": (215, 40, 40), "pink": (244, 160, 180),
    "orange": (240, 140, 40), "brown": (115, 70, 40), "beige": (222, 200, 165), "yellow": (245, 220, 60),
    "olive": (120, 120, 40), "light green": (150, 220, 140), "green": (40, 160, 70), "dark green": (20, 75, 40),
    "turquoise": (60, 190, 185), "light blue": (150, 195, 235), "blue": (45, 95, 215), "steel blue": (85, 125, 185),
    "navy blue": (20, 30, 85),
    "purple": (120, 50, 150), "violet": (180, 140, 225), "magenta": (215, 50, 150),
}  # fmt: skip
BRIGHTNESS = ((40, "very dark"), (90, "dark"), (165, "of medium brightness"), (215, "bright"), (256, "very bright"))
CONTRAST = ((12, "almost no contrast"), (35, "low contrast"), (65, "moderate contrast"), (256, "high contrast"))
SHARPNESS = ((4, "hardly any fine detail"), (20, "soft detail"), (float("inf"), "crisp detail"))
GREY_CHROMA = 6.0  # CIELAB units; below it people call a colour grey


def describe_locally(image: Path) -> Description:
    """Describe an RGB PNG by its statistics; the same picture always gives the same words."""
    with Image.open(image) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    facts = statistics(pixels)
    return Description(sentence(facts), provider="local", model=MODEL, data=facts)


def statistics(pixels: Pixels) -> dict[str, Any]:
    """Size, light, colour and detail, measured on the picture shrunk to at most 512 pixels a side."""
    by = factor(pixels, LONGEST)
    small = shrink(pixels, by)
    brightness = luma(small)
    height, width = pixels.shape[:2]
    colours, _ = dominant(small[:: factor(small, 128), :: factor(small, 128)], count=4)
    return {
        "width": width,
        "height": height,
        "downscale": by,
        "brightness": float(brightness.mean()),
        "contrast": float(brightness.std()),
        "detail": detail(brightness),
        "chroma": float(np.median(np.hypot(*np.moveaxis(lab(small)[..., 1:], -1, 0)))),
        "colours": [{"name": nearest_name(colour.rgb), **colour.as_data()} for colour in colours],
    }


def detail(brightness: Floats) -> float:
    """Mean absolute Laplacian: how much a pixel differs from its four neighbours, a usual measure of sharpness."""
    padded = np.pad(brightness, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return float(np.abs(around - 4 * brightness).mean())


def nearest_name(rgb: Sequence[int]) -> str:
    """The colour name nearest in CIELAB."""
    names = lab(np.array(list(NAMED.values()), dtype=np.uint8))
    distance = ((names - lab(np.array(rgb, dtype=np.uint8))) ** 2).sum(axis=1)
    return list(NAMED)[int(distance.argmin())]


def sentence(facts: dict[str, Any]) -> str:
    """Say the facts in words."""
    width, height = facts["width"], facts["height"]
    kind = "monochrome" if facts["chroma"] < GREY_CHROMA and _all_grey(facts) else "colour"
    light = f"{_grade(facts['brightness'], BRIGHTNESS)}, with {_grade(facts['contrast'], CONTRAST)}"
    return (
        f"A {_shape(width, height)} {kind} picture of {width} x {height} pixels. "
        f"It is {light} and {_grade(facts['detail'], SHARPNESS)}. {_colours(facts['colours'])}"
    )


def _grade(value: float, scale: Sequence[tuple[float, str]]) -> str:
    return next(word for limit, word in scale if value < limit)


def _shape(width: int, height: int) -> str:
    ratio = width / height
    if ratio > 2:
        return "panoramic"
    if ratio < 0.5:
        return "tall, narrow"
    if 0.95 < ratio < 1.05:
        return "square"
    return "landscape" if ratio > 1 else "portrait"


def _all_grey(facts: dict[str, Any]) -> bool:
    return all(colour["name"].endswith(("grey", "black", "white")) for colour in facts["colours"])


def _colours(colours: Sequence[dict[str, Any]]) -> str:
    shares: dict[str, float] = {}
    for colour in colours:
        shares[colour["name"]] = shares.get(colour["name"], 0.0) + colour["share"]
    named = [f"{name} ({share:.0%})" for name, share in sorted(shares.items(), key=lambda item: -item[1])]
    listed = " and ".join(([", ".join(named[:-1])] if named[1:] else []) + named[-1:])
    return f"Its main colours are {listed}." if named[1:] else f"It is all {next(iter(shares))}."
