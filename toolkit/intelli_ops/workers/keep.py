"""Keep a plan's workers running: instances, rolling restarts, scaling, requests from other processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from intelli_checks.fleet import WorkerProfile
from intelli_ops.supervisor.policy import Phase
from intelli_ops.supervisor.state import State
from intelli_ops.supervisor.supervisor import Supervisor
from intelli_ops.supervisor.unit import Unit
from intelli_ops.workers.plan import Plan
from intelli_ops.workers.running import RECORD, REQUESTS


@dataclass
class Keeper:
    """The supervisor of one project's workers and what it has been asked to do."""

    plan: Plan
    state: State
    say: Callable[[str], None]
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        self.profiles = {profile.name: profile for profile in self.plan.fleet.profiles}
        self.kept: dict[str, str] = {}
        """Instance name -> profile name."""
        self.requests = self.state.folder(REQUESTS)
        self._rolling: Iterator[None] = iter(())

    def start(self, supervisor: Supervisor) -> None:
        """One worker per profile, and the scheduler if it was asked for."""
        self.supervisor = supervisor
        supervisor.on_tick, supervisor.on_hangup, supervisor.on_change = self.tick, self.restart, self.changed
        for request in self.requests.iterdir():  # meant for an earlier run
            request.unlink(missing_ok=True)
        for profile in self.profiles.values():
            self._add(profile)
        if self.plan.wishes.beat:
            supervisor.add(self.plan.beat(self.state.root / "beat-schedule"))

    def instances(self, profile: str) -> list[Unit]:
        """The units of a profile that are not on their way out."""
        units = self.supervisor.units
        return [
            units[name]
            for name, of in self.kept.items()
            if of == profile and name in units and not units[name].retiring
        ]

    def changed(self, unit: Unit) -> None:
        """Say and record what became of a worker."""
        if unit.phase is not Phase.STARTING or unit.detail:
            self.say(f"{unit.phase.value:<9} {unit.name:<16} {unit.detail}".rstrip())
        self.record()

    def record(self) -> None:
        """Leave what the other commands need to find and show these workers."""
        units = [
            {**unit.describe(), "profile": self.kept.get(name, "")} for name, unit in self.supervisor.units.items()
        ]
        self.state.write(
            RECORD,
            {
                "supervisor": self.supervisor.identity,
                "ready": self.supervisor.all_ready,
                "app": self.plan.fleet.app,
                "directory": str(self.plan.directory),
                "profiles": sorted(self.profiles),
                "units": units,
            },
        )

    # What can be asked of it.

    def tick(self) -> None:
        """Carry on with a rolling restart, and look for requests."""
        next(self._rolling, None)
        for request in sorted(self.requests.glob("*.json")):
            asked = _read(request)
            request.unlink(missing_ok=True)
            if asked.get("do") == "restart":
                self.restart(asked.get("profiles"))
            elif asked.get("do") == "scale":
                self.scale(str(asked.get("profile")), int(asked.get("count", 1)))
            elif asked.get("do") == "stop":
                self.supervisor.request_stop()

    def restart(self, profiles: object = None) -> None:
        """Replace every worker by a new one, one after the other: no queue is without a consumer meanwhile."""
        chosen = [name for name in self.profiles if not isinstance(profiles, list) or name in profiles]
        self._rolling = self._roll(chosen)

    def scale(self, profile: str, count: int) -> None:
        """Have `count` workers of a profile."""
        if profile not in self.profiles or count < 0:
            return
        running = self.instances(profile)
        for unit in running[count:]:
            self.supervisor.retire(unit)
        for _ in range(count - len(running)):
            self._add(self.profiles[profile])

    def _roll(self, profiles: list[str]) -> Iterator[None]:
        for profile in profiles:
            for old in self.instances(profile):
                new = self._add(self.profiles[profile])
                while new.phase in {Phase.WAITING, Phase.STARTING}:
                    yield
                if new.phase is not Phase.READY:
                    self.say(f"the new {profile} worker does not come up: keeping the old one")
                    self.supervisor.retire(new)
                    return
                self.supervisor.retire(old)
                while old.name in self.supervisor.units:
                    yield

    def _add(self, profile: WorkerProfile) -> Unit:
        """One more worker of a profile, under a node name that no other has: Celery merges two of one name."""
        name, number = profile.name, 1
        while name in self.supervisor.units:
            number += 1
            name = f"{profile.name}-{number}"
        self.kept[name] = profile.name
        return self.supervisor.add(self.plan.service(profile, name))


def _read(path: Any) -> Mapping[str, Any]:
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return asked if isinstance(asked, dict) else {}
