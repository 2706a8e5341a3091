"""Does an event reach a connected socket?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks import Finding, Skip, Stage, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.families.declared import close_to
from intelli_checks.families.websocket_words import LOOK, closed, code
from intelli_checks.probes.websocket_events import Emission, Joined
from intelli_checks.probes.websocket_server import declared


@check("websocket.group", timeout=14.0, needs=["websocket.handshake", "channels.round_trip"])
def group(ctx: Context) -> Iterator[Finding]:
    """An open socket joins its group in the layer the workers send to.

    Opens one socket and looks which group memberships appear in the layer's Redis, in every database and under every
    prefix. Cause of a difference: the web server was started with other settings than the workers, or before they
    changed. Shows as: sends succeed, the browser stays silent, or one in two where only one of several web servers is
    wrong: those that run in the project's folder are all asked. Fix: one CHANNEL_LAYERS, and restart the web server.
    """
    found = ctx.emission
    for address, joined in found.replicas.items():
        if not found.at_home(joined):
            where = f"joins {joined[0].group} elsewhere" if joined else "joins no group in the layer's Redis"
            yield fail(
                f"a socket at {address}, another web server of this project, {where}: no event reaches it there",
                hint=f"{_RESTART} (that one was started with other settings)",
                subject=address,
            )
    if found.home:
        yield info(f"joined {', '.join(sorted({one.group for one in found.home}))}", group=found.home[0].group)
    elif found.joined:
        yield fail(_elsewhere(found, found.joined[0]), hint=_RESTART, groups=[one.group for one in found.joined])
    elif found.close_code in {1006, 1011}:
        yield fail(
            f"the socket was opened and closed again with {code(found.close_code)}: its consumer raised an exception",
            hint=LOOK,
        )
    elif found.readers == 0 and _reads_layer(ctx):
        yield fail(
            f"the web server holds our socket and reads nothing from database {found.database}: it uses another layer "
            "(in memory, or another Redis)",
            hint=_RESTART,
        )
    else:
        yield info("the socket joined no group when it was opened: its consumer may join later, or never")


_RESTART = "start web server and workers with the same CHANNEL_LAYERS, then restart both"


def _elsewhere(found: Emission, joined: Joined) -> str:
    if joined.database != found.database:
        return (
            f"the web server's layer is database {joined.database}, the project's is {found.database}: "
            f"{joined.group} is never reached"
        )
    return f"the web server's groups have the prefix {joined.prefix!r}, the project sends to {found.prefix!r}"


def _reads_layer(ctx: Context) -> bool:
    """Whether the consumer is declared to use the layer: then Channels reads from it while a socket is open."""
    survey = declared(ctx)
    aliases = {layer.alias for layer in survey.layers} if survey else set()
    pattern = ctx.handshakes.route.pattern
    routes = survey.websocket_routes if survey else ()
    return any(route["path"] == pattern and route.get("layer") in aliases for route in routes)


@check("websocket.delivery", timeout=14.0, needs=["websocket.group", "channels.idle", "channels.handlers"])
def delivery(ctx: Context) -> Iterator[Finding]:
    """A message sent into the layer is read by the process that holds the socket.

    Sent from where the workers run, through the project's own layer, to our own socket alone: the event of
    `[flow] event` where the configuration gives one, else a message no consumer ever sees. Cause of silence: a web
    process that hangs; of 1011: no handler for the event's type, or a handler that raises. Fix: as the message says.
    """
    found = ctx.emission
    if found.error:
        yield fail(f"the project could not send: {found.error}", hint="intelli-ops check channels")
    elif found.read is None:
        raise Skip("the socket joined no group: there is nobody to send to")
    elif not found.read and found.close_code is not None:
        raise Skip(f"the socket was closed with {code(found.close_code)} before the message was read: websocket.idle")
    elif not found.read:
        yield fail(
            "the message still waits in the queue of the web process: it does not read its layer",
            hint="a consumer blocks the event loop (synchronous code in async def), or the process hangs: restart it",
        )
    elif not found.own and found.close_code in {1006, 1011}:
        yield fail(
            f"the web process took the message and closed our socket with {code(found.close_code)}: it cannot decode "
            "what the project sends, as with other symmetric_encryption_keys; or another event of the group came just "
            "then, which its consumer cannot handle",
            hint=f"{_RESTART}; {LOOK}",
        )
    elif found.own and found.close_code is not None:
        yield _died(ctx, found)
    elif found.own and not found.frames:
        yield warn(
            f"the consumer took an event of type {found.sent} and sent nothing to the browser",
            hint="does its handler call self.send? is this the event workers send ([flow] event)?",
        )
    else:
        yield info("read by the web process" + (f"; {found.frames} frames reached the socket" if found.own else ""))


def _died(ctx: Context, found: Emission) -> Finding:
    handler = found.sent.replace(".", "_")
    route = ctx.handshakes.route
    if route.handlers and handler not in route.handlers:
        return fail(
            f"{route.consumer} has no method {handler} for events of type {found.sent}"
            f"{close_to(handler, route.handlers)}: the socket was closed with {code(found.close_code)}",
            hint=f"def {handler}(self, event), or correct the type where it is sent",
        )
    return fail(
        f"{route.consumer or 'the consumer'} raised on an event of type {found.sent}: the socket was closed with "
        f"{code(found.close_code)}",
        hint=LOOK,
    )


@check("websocket.idle", stage=Stage.DEEP, timeout=14.0, needs=["websocket.handshake", "channels.idle"])
def idle(ctx: Context) -> Iterator[Finding]:
    """A silent socket stays open for nine seconds.

    Cause: redis-py 8 with channels_redis up to 4.3.0 (1011 after five to six seconds), a proxy whose read timeout is
    shorter than the server's ping interval (no close frame, always after the same time). Shows as: sockets that work
    and are gone a moment later. Fix: socket_timeout of the layer's hosts; proxy_read_timeout of nginx.
    """
    found = ctx.idle_socket
    if not found.accepted:
        raise Skip("the socket did not open again")
    if found.close_code is None:
        yield info(f"open for {found.lived:.0f} s without a word")
    elif found.close_code == 1011:
        yield fail(
            f"closed after {found.lived:.1f} s of silence with {closed(found)}: the layer's read timeout, most likely",
            hint='CHANNEL_LAYERS: "hosts": [{"address": "redis://...", "socket_timeout": None}], then restart',
        )
    elif found.close_code == 1006:
        yield fail(
            f"cut after {found.lived:.1f} s of silence without a close frame: a proxy's idle timeout",
            hint="nginx: proxy_read_timeout 75s; or daphne --ping-interval below the proxy's timeout",
        )
    else:
        yield info(f"closed by the application after {found.lived:.1f} s: {closed(found)}")
