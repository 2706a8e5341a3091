"""Who was there at the last look, so that the next one can tell who came, went, restarted or stood still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from intelli_checks.probes.workers import WorkerFleet

KEPT = 8
"""Starts remembered of each worker."""
FORGOTTEN = 7 * 86400.0
"""Seconds after which a worker that does not come back is no longer missed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One worker, by name; no secret and nothing of its settings."""

    last: float
    """When it answered last, on Redis's clock."""
    starts: tuple[float, ...] = ()
    """When its main processes began, the latest last."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """Tasks by name since then."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What it runs, where it has told; that does not change before its next start."""


@dataclass(frozen=True, slots=True)
class Roll:
    """The workers of one target at one moment."""

    taken: float = 0.0
    """Redis's clock; 0 when nobody has looked yet."""
    workers: Mapping[str, Seen] = field(default_factory=dict)

    def after(self, fleet: WorkerFleet, versions: Mapping[str, Mapping[str, str]] | None = None) -> Roll:
        """What to remember after a look at `fleet`, and at what versions it runs."""
        if not fleet.taken:
            return self
        kept = {name: seen for name, seen in self.workers.items() if fleet.taken - seen.last < FORGOTTEN}
        for node in fleet.nodes:
            before = kept.get(node.name, Seen(fleet.taken))
            starts = before.starts if node.uptime is None else _with(before.starts, fleet.taken - node.uptime)
            told = (versions or {}).get(node.name) or (before.versions if starts == before.starts else {})
            kept[node.name] = Seen(fleet.taken, starts, dict(node.total), dict(told))
        return Roll(fleet.taken, kept)

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)

    @classmethod
    def of(cls, told: Any) -> Self:
        """From `as_dict`; what was edited by hand or comes from another version counts as nothing."""
        try:
            workers = {
                str(name): Seen(
                    float(one["last"]), tuple(map(float, one["starts"])), dict(one["totals"]), dict(one["versions"])
                )
                for name, one in told["workers"].items()
            }
            return cls(float(told["taken"]), workers)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()


def _with(starts: tuple[float, ...], started: float) -> tuple[float, ...]:
    """One more start, unless it is the last one again: uptime comes in whole seconds."""
    same = starts and abs(starts[-1] - started) < 3.0
    return starts if same else (*starts, started)[-KEPT:]
