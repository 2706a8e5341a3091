"""Where the system under care lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from intelli_checks.dsn import Dsn


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere the project's code can be asked about itself: an argv prefix that ends in a Python interpreter."""

    name: str
    """How reports call it: `here`, `web`, `worker`."""
    argv: tuple[str, ...]
    """For example `(".venv/bin/python",)` or `("docker", "compose", "exec", "-T", "web", "python")`."""
    directory: Path | None = None
    """Working directory; None where the prefix decides (a container)."""
    remote: bool = False
    """True when the prefix leaves this machine or enters a container, so local paths and pids mean nothing there."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is being diagnosed. Built once, from flags, environment, configuration and detection, in this order."""

    directory: Path
    places: tuple[Place, ...] = ()
    """Where to survey the project; empty when there is no project (only URLs are known)."""
    settings: str | None = None
    """DJANGO_SETTINGS_MODULE."""
    app: str | None = None
    """Celery app as `-A` takes it: `module` or `module:attribute`."""
    broker: Dsn | None = None
    """Overrides what the project declares."""
    results: Dsn | None = None
    layer: Dsn | None = None
    web: str | None = None
    """Base URL of the web server, for example `http://127.0.0.1:8000`."""
    websocket: str | None = None
    """WebSocket path or URL to try."""
    origin: str | None = None
    """Origin header a browser of this system would send."""
    workers: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: MappingProxyType({}))
    """`[workers.*]` of the configuration."""
    flow: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """`[flow]` of the configuration."""
    mutes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """`[mute]` of the configuration: check id -> reason, or a table of reason, until, severity, subjects."""
    plugins: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """`[plugins]` of the configuration: name -> command line of an executable with the Nagios contract, or a table."""
    timeout: float = 30.0
    """Seconds the whole run may take."""
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where each value came from, for `config show --origin`."""

    def describe(self) -> dict[str, object]:
        """The target for reports; a Dsn prints itself redacted."""
        return {
            "directory": str(self.directory),
            "places": [place.name for place in self.places],
            "settings": self.settings,
            "app": self.app,
            "broker": str(self.broker) if self.broker else None,
            "web": self.web,
        }
