"""The main colours, by k-means in CIELAB, where distance is close to the difference people see.

Seeding is k-means++ (D. Arthur and S. Vassilvitskii, 2007) from a fixed seed: the same picture gives the same answer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.jobs.algorithms import Output, drawing
from apps.jobs.algorithms.arrays import Floats, Pixels, base_data, factor, shrink

LONGEST = 160
CLUSTERS = 6
MAX_ROUNDS = 60
SEED = 20_111
# sRGB (IEC 61966-2-1) to CIE XYZ, divided by the D65 white point of the 2 degree observer.
WHITE = np.array([0.95047, 1.0, 1.08883])
TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
)


@dataclass(frozen=True, slots=True)
class Clusters:
    """A finished k-means: centres, the centre of each point, and the weighted sum of squared distances."""

    centres: Floats
    labels: NDArray[np.intp]
    inertia: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Colour:
    """A main colour: sRGB bytes, and its share of the pixels, 0 to 1."""

    rgb: tuple[int, int, int]
    share: float

    @property
    def hex(self) -> str:
        """As `#rrggbb`."""
        return "#{:02x}{:02x}{:02x}".format(*self.rgb)

    def as_data(self) -> dict[str, object]:
        """For JSON."""
        return {"rgb": list(self.rgb), "hex": self.hex, "share": self.share}


def lab(colours: Pixels) -> Floats:
    """CIELAB (L 0 to 100, a, b) of sRGB bytes along the last axis."""
    encoded = colours / 255.0
    linear = np.where(encoded > 0.04045, ((encoded + 0.055) / 1.055) ** 2.4, encoded / 12.92)
    xyz = linear @ TO_XYZ.T / WHITE
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def squared_distances(points: Floats, centres: Floats) -> Floats:
    """Points x centres squared distances, by differences: the usual expansion loses the small ones to rounding."""
    return np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)


def seed_centres(points: Floats, weights: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Choose `count` distinct points, each with a chance in proportion to its squared distance from the rest."""
    chosen = [int(rng.choice(len(points), p=weights / weights.sum()))]
    nearest = squared_distances(points, points[chosen])[:, 0]
    while len(chosen) < count:
        chance = weights * nearest
        chosen.append(int(rng.choice(len(points), p=chance / chance.sum())))
        nearest = np.minimum(nearest, squared_distances(points, points[chosen[-1:]])[:, 0])
    return points[chosen]


def refine(points: Floats, weights: Floats, centres: Floats) -> Clusters:
    """Lloyd's rounds until no point changes its centre. A centre that loses all its points stays where it is."""
    labels = np.full(len(points), -1)
    rounds = 0
    while rounds < MAX_ROUNDS:
        rounds += 1
        found = squared_distances(points, centres).argmin(axis=1)
        if np.array_equal(found, labels):
            break
        labels = found
        mass = np.bincount(labels, weights=weights, minlength=len(centres))
        sums = np.stack(
            [np.bincount(labels, weights=weights * axis, minlength=len(centres)) for axis in points.T], axis=1
        )
        centres = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1e-300)[:, None], centres)
    distances = squared_distances(points, centres)
    labels = distances.argmin(axis=1)
    return Clusters(centres, labels, float(weights @ distances.min(axis=1)), rounds)


def dominant(pixels: Pixels, count: int = CLUSTERS) -> tuple[list[Colour], Clusters]:
    """The main colours, most frequent first.

    Equal pixels are counted, not repeated, so a drawing of few colours is exact and quick.
    """
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    weights = counts.astype(np.float64)
    points = lab(colours)
    start = seed_centres(points, weights, min(count, len(colours)), np.random.default_rng(SEED))
    clusters = refine(points, weights, start)
    return _palette(colours, weights, clusters.labels), clusters


def _palette(colours: Pixels, weights: Floats, labels: NDArray[np.intp]) -> list[Colour]:
    mass = np.bincount(labels, weights=weights)
    order = [int(label) for label in np.argsort(-mass, kind="stable") if mass[label] > 0]
    entries = []
    for label in order:
        mine = labels == label
        red, green, blue = np.rint(np.average(colours[mine], axis=0, weights=weights[mine])).astype(int).tolist()
        entries.append(Colour((red, green, blue), float(mass[label] / mass.sum())))
    return entries


def run(pixels: Pixels) -> Output:
    """Find up to six colours that stand for the picture."""
    by = factor(pixels, LONGEST)
    small = shrink(pixels, by)
    colours, clusters = dominant(small)
    data = base_data(pixels, by) | {
        "colours": [colour.as_data() for colour in colours],
        "rounds": clusters.rounds,
        "rms_distance": float(np.sqrt(clusters.inertia / (small.shape[0] * small.shape[1]))),
    }
    return Output(_draw(pixels, colours, data), data)


def _draw(pixels: Pixels, colours: list[Colour], data: dict[str, object]) -> bytes:
    distance = f"{data['rms_distance']:.1f} CIELAB units"
    subtitle = f"main colours: {len(colours)}; pixels are {distance} away from theirs (root mean square)"
    figure, (left, right) = drawing.figure("Dominant colours", subtitle)
    drawing.picture(left, pixels, "Picture")
    places = np.arange(len(colours))
    shares = [colour.share for colour in colours]
    right.barh(places, shares, color=[colour.hex for colour in colours], edgecolor=drawing.MUTED, linewidth=0.5)
    for place, share in enumerate(shares):
        right.text(
            share + 0.01 * max(shares), place, f"{share * 100:.1f} %", va="center", fontsize=8, color=drawing.INK
        )
    drawing.labelled(right, "Share of the pixels", "share", "colour (sRGB)")
    right.set_yticks(places, [colour.hex for colour in colours], family="monospace")
    right.invert_yaxis()
    right.set_xlim(0, 1.16 * max(shares))
    right.xaxis.set_major_formatter(lambda value, _: f"{value * 100:g} %")
    right.grid(visible=False, axis="y")
    return drawing.png(figure)
