"""What every deployment of the workers has in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from intelli_checks.fleet import Fleet, WorkerProfile

GRACE_MARGIN = 15
"""Seconds beyond the longest task until a stopping worker is killed: time to acknowledge and to close connections."""
DEFAULT_LIMIT = 300
"""Seconds granted to the longest task of a profile that declares no time limit."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A fleet and where it is to run."""

    fleet: Fleet
    name: str
    """Prefix of unit, service and object names; a DNS label."""
    directory: PurePosixPath
    """The project on the target machine or in the image."""
    celery: tuple[str, ...] = ("celery",)
    user: str = "celery"
    image: str = "registry.invalid/project:tag"
    environment_file: str = ".env"
    """Where the target keeps its variables; secrets are never written into rendered files."""
    secret: str = ""
    """Kubernetes Secret that holds CELERY_BROKER_URL; by default `<name>-environment`."""

    def command(self, profile: WorkerProfile) -> tuple[str, ...]:
        return self.fleet.argv(profile, celery=self.celery)

    def title(self, profile: WorkerProfile) -> str:
        """A DNS label, which is also a good unit and service name."""
        return f"{self.name}-{profile.name}".replace("_", "-").lower()

    @property
    def secret_name(self) -> str:
        return self.secret or f"{self.name}-environment"


def grace_seconds(profile: WorkerProfile) -> int:
    """How long a warm stop may take: a running task must be able to end within its own limit."""
    return int(profile.time_limit or DEFAULT_LIMIT) + GRACE_MARGIN
