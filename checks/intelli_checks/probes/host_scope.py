"""What of this machine belongs to the system: which folders, which ports, and whether it runs here at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from intelli_checks.dsn import LOOPBACK
from intelli_checks.model import Skip, Unavailable

if TYPE_CHECKING:
    from intelli_checks.context import Context

_WEB_PORTS = {"http": 80, "https": 443}


def require_local(ctx: Context) -> None:
    """Raise Skip where nothing of the system runs on this machine: its disks would say nothing."""
    places, broker = ctx.target.places, ctx.target.broker
    if any(not place.remote for place in places):
        return
    if places or (broker and not broker.unix_path and broker.host not in LOOPBACK):
        raise Skip("the system runs on another machine")


def paths(ctx: Context) -> dict[str, Path]:
    """Folders the system writes to, by what for."""
    found = {"project": ctx.target.directory.absolute()}
    if media := _media(ctx):
        found["media"] = Path(media)
    if folder := _redis_folder(ctx):
        found["redis"] = Path(folder)
    return found


def ports(ctx: Context) -> set[int]:
    """Ports the system's servers should listen on here."""
    found: set[int] = set()
    if ctx.target.web:
        url = urlsplit(ctx.target.web)
        if (url.hostname or "") in LOOPBACK:
            found.add(url.port or _WEB_PORTS.get(url.scheme, 80))
    try:
        endpoint = ctx.broker_endpoint
    except (Skip, Unavailable):
        return found
    here = endpoint.via is None and endpoint.dsn.host in LOOPBACK and not endpoint.dsn.unix_path
    return found | {endpoint.dsn.port} if here else found


def _media(ctx: Context) -> str | None:
    try:
        return str(ctx.survey.django.get("media") or "") or None
    except (Skip, Unavailable):
        return None


def _redis_folder(ctx: Context) -> str | None:
    try:
        facts, via = ctx.redis_broker, ctx.broker_endpoint.via
    except (Skip, Unavailable):
        return None
    return facts.config.get("dir") if via is None and (facts.is_loopback or facts.is_unix) else None
