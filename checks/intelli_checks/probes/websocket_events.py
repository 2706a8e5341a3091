"""From the channel layer to an open socket: which group it joined, and whether its process reads what is sent to it.

Nobody else's socket sees anything: a message goes to the channel of our own socket, and only when the configuration
gives an event to send. Otherwise it goes to a channel nobody has, in the same queue of the same web process: that the
queue is emptied proves that the process reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import channels_state, transcript, websocket, websocket_server
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.survey import LayerDecl
from intelli_checks.text import safe

if TYPE_CHECKING:
    from intelli_checks.context import Context

JOINS, READS = 1.5, 3.0
"""Seconds a consumer has to join its group, and a process to read a message."""
TICK = 0.05
CLOSES = 0.5
"""Seconds until a consumer that raised has closed its socket."""
NOBODY = "intelliops"
_HELLO = "intelli.ops.hello"


@dataclass(frozen=True, slots=True)
class Joined:
    """A membership that appeared when our socket was opened."""

    prefix: str
    database: int
    group: str
    channel: str

    @property
    def queue(self) -> str:
        """The Redis key of the queue of the process that holds the socket."""
        return f"{self.prefix}{self.channel.partition('!')[0]}!"


@dataclass(frozen=True, slots=True)
class Emission:
    """What one open socket of ours did to the layer, and what came through."""

    database: int
    """Where the project says its layer is."""
    prefix: str
    alias: str = "default"
    joined: tuple[Joined, ...] = ()
    readers: int | None = None
    """Connections that read from the declared layer while the socket was open."""
    sent: str = ""
    """Type of the message that was sent; empty when none was."""
    own: bool = False
    """It was sent to our socket, not to a channel nobody has."""
    read: bool | None = None
    """Whether the queue was emptied; None when nothing was sent."""
    frames: int = 0
    """Frames that came after the message was sent."""
    close_code: int | None = None
    error: str = ""
    """Why the message could not be sent."""
    replicas: Mapping[str, tuple[Joined, ...]] = field(default_factory=dict)
    """Address of another web server of the project -> what a socket opened there joined."""

    @property
    def home(self) -> tuple[Joined, ...]:
        """Memberships where the project's own processes send to."""
        return self.at_home(self.joined)

    def at_home(self, joined: tuple[Joined, ...]) -> tuple[Joined, ...]:
        """Those of `joined` that the project's own processes reach."""
        return tuple(one for one in joined if (one.database, one.prefix) == (self.database, self.prefix))


@dataclass
class _Watched:
    """Our socket while it is watched."""

    socket: Any
    frames: int = 0
    close_code: int | None = None

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass, counting frames; at once back when the socket is closed."""
        from websockets.exceptions import ConnectionClosed

        if self.close_code is not None:
            return
        try:
            self.socket.recv(timeout=seconds)
            self.frames += 1
        except TimeoutError:
            pass
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else 1006


def gather(ctx: Context, timeout: float) -> Emission:
    """Open a socket, see what it joins, send one message; raises Skip where there is no layer on Redis or no socket."""
    deadline = time.monotonic() + timeout
    survey = websocket_server.declared(ctx)
    shaken = ctx.handshakes
    layer = layer_of(shaken.route.layer, survey.layers) if survey else None
    if layer is None or not shaken.own.accepted:
        raise Skip("only with a project that tells its layer, and a socket that opens")
    endpoint = next((one for one in ctx.channels_endpoints if one.dsn in layer.hosts), ctx.channels_endpoints[0])
    if "pubsub" in layer.backend.lower():
        raise Skip("the publish/subscribe layer keeps no groups in Redis to look at")
    numbers = channels_state.databases(endpoint, 1.0)
    before = _members(endpoint, numbers)
    emission = Emission(endpoint.dsn.database, layer.prefix, layer.alias)
    try:
        opened = websocket.connect(
            websocket_server.url(ctx.target, shaken.route.path),
            shaken.own.origin,
            max(0.5, min(3.0, deadline - time.monotonic())),
            websocket_server.headers(ctx.target),
        )
    except Exception as error:
        raise Skip(f"the socket did not open a second time: {safe(error)}") from error
    with opened as socket:
        watched = _Watched(socket)
        emission = _joining(emission, watched, endpoint, before)
        if emission.home and not ctx.target.layer:
            emission = _sending(ctx, emission, watched, endpoint, deadline)
        emission = replace(emission, close_code=watched.close_code)
    if not emission.home:
        return emission
    return replace(emission, replicas=dict(_elsewhere(ctx, emission, endpoint, deadline)))


def _elsewhere(
    ctx: Context, emission: Emission, endpoint: Endpoint, deadline: float
) -> Iterator[tuple[str, tuple[Joined, ...]]]:
    """The same socket at each further web server that opens it, while there is time."""
    shaken = ctx.handshakes
    for base in websocket_server.replicas(ctx.target):
        if time.monotonic() + 3 * JOINS > deadline:
            return
        before = _members(endpoint, channels_state.databases(endpoint, 1.0))
        url, headers = base.replace("http", "ws", 1) + shaken.route.path, websocket_server.headers(ctx.target)
        with suppress(Exception), websocket.connect(url, shaken.own.origin, JOINS, headers) as socket:
            watched, joined = _Watched(socket), set[Joined]()
            for _ in range(2):  # what appeared first may be the socket of somebody else
                joined |= set(_joining(emission, watched, endpoint, before | joined).joined)
                if emission.at_home(tuple(joined)):
                    break
            if watched.close_code is None:
                yield base, tuple(sorted(joined, key=str))


def layer_of(alias: str, layers: tuple[LayerDecl, ...]) -> LayerDecl | None:
    """The layer the consumer uses; where that is not known, the first one."""
    return next((one for one in layers if one.alias == alias), layers[0] if layers else None)


def _members(endpoint: Endpoint, numbers: tuple[int, ...]) -> set[Joined]:
    states = channels_state.gather(endpoint, 1.5, numbers)
    return {
        Joined(group.prefix, group.database, group.name, channel)
        for state in states
        for group in state.groups
        for channel in group.channels
    }


def _joining(emission: Emission, watched: _Watched, endpoint: Endpoint, before: set[Joined]) -> Emission:
    until = time.monotonic() + JOINS
    new: set[Joined] = set()
    while not new and watched.close_code is None and time.monotonic() < until:
        watched.wait(TICK)
        new = _members(endpoint, channels_state.databases(endpoint, 1.0)) - before
    state = channels_state.gather(endpoint, 1.5)[0]
    return replace(emission, joined=tuple(sorted(new, key=str)), readers=state.readers)


def _sending(ctx: Context, emission: Emission, watched: _Watched, endpoint: Endpoint, deadline: float) -> Emission:
    joined, event = emission.home[0], ctx.target.flow.get("event")
    own = isinstance(event, Mapping) and len(emission.home) == 1
    message = dict(event) if isinstance(event, Mapping) and own else {"type": _HELLO}
    channel = joined.channel if own else f"{joined.channel.partition('!')[0]}!{NOBODY}"
    watched.frames = 0
    told = {"alias": emission.alias, "channel": channel, "message": message}
    target = replace(ctx.target, places=ctx.target.places[-1:])
    try:
        answers = list(transcript.ask_all(target, "publish", max(0.5, deadline - time.monotonic() - READS), **told))
    except Unavailable as slow:  # the survey imported this very project, so slowness here proves nothing about it
        raise Skip(f"the project did not come to send in time: {safe(slow)}") from slow
    for _, answer in answers:
        if answer.errors and answer.errors[-1]["type"] == "Timeout":
            raise Skip(f"the project did not come to send in time: {safe(answer.errors[-1]['message'])}")
        if answer.errors:
            return replace(emission, error=safe(answer.errors[-1]["message"]))
    read = _emptied(watched, endpoint, joined, own=own)
    return replace(emission, sent=str(message.get("type")), own=own, read=read, frames=watched.frames)


def _emptied(watched: _Watched, endpoint: Endpoint, joined: Joined, *, own: bool) -> bool:
    """Wait until the queue is empty and, for an event, until a frame came or the socket was closed."""
    until, read = time.monotonic() + READS, False
    while time.monotonic() < until:
        read = not any(one.key == joined.queue for one in channels_state.gather(endpoint, 1.5)[0].backlogs)
        if read and (not own or watched.frames or watched.close_code is not None):
            break
        watched.wait(TICK)
    if read and not own:  # a process that cannot decode the message closes the socket that was reading
        watched.wait(CLOSES)
    return read
