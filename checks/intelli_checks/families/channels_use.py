"""Is everything declared that consumers use of the channel layer?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks import Finding, Stage, check, fail, warn
from intelli_checks.families.declared import listed, of_channels, place_of, usage
from intelli_checks.probes.inside.consumers import CALLED
from intelli_checks.probes.survey import Survey


@check("channels.alias", stage=Stage.STATIC, needs=["channels.layer"])
@of_channels
def alias(survey: Survey) -> Iterator[Finding]:
    """Consumers use channel layers that are declared.

    `self.channel_layer` is None where CHANNEL_LAYERS lacks the consumer's `channel_layer_alias` ("default" where the
    consumer names none). Shows as: 500 at the handshake, 'NoneType' object has no attribute 'group_add'.
    Fix: declare the layer under that name, or correct the alias. Example: CHANNEL_LAYERS = {"chat": ...} alone.
    """
    declared = {one.alias for one in survey.layers}
    users: dict[str, list[str]] = {}
    for route in survey.websocket_routes:
        name = str(route.get("layer") or "default")
        if route.get("uses_layer") and name not in declared:
            users.setdefault(name, []).append(str(route["consumer"]))
    for name, consumers in users.items():
        yield fail(
            f"{listed(consumers)} uses channel layer {name}, which CHANNEL_LAYERS does not declare "
            f"({listed(sorted(declared)) or 'none'}): it is None there, and every call of it raises",
            hint=f'CHANNEL_LAYERS = {{"{name}": {{"BACKEND": "channels_redis.core.RedisChannelLayer", ...}}}}',
            subject=name,
        )


@check("channels.awaited", stage=Stage.STATIC, needs=["celery.app"], after=["channels.asgi"])
@of_channels
def awaited(survey: Survey) -> Iterator[Finding]:
    """Calls of Channels are awaited, and made where they can work.

    `group_send`, and `accept` or `send` of an asynchronous consumer, only make a coroutine: without `await`, in a task
    without `async_to_sync`, nothing is sent and nothing raised ("coroutine was never awaited" goes to stderr). The
    other way round `async_to_sync` raises RuntimeError inside an event loop, and a query SynchronousOnlyOperation.
    Shows as: handshakes that are never answered, events that never come. Read from the code, so it names the line.
    """
    for use in usage(survey, "unawaited"):
        at = place_of(survey, use)
        yield fail(
            f"{use['call']}() is called and never awaited: nothing happens",
            hint=f"await {use['call']}(...){_in_a_task(str(use['call']))}, at {at}",
            subject=at,
        )
    for use in usage(survey, "sync_in_loop"):
        at = place_of(survey, use)
        yield fail(
            f"async_to_sync is called in async def {use['function']}: RuntimeError",
            hint=f"await the function itself at {at}",
            subject=at,
        )
    events = {str(use["type"]).replace(".", "_") for use in usage(survey, "event")}
    for use in (*usage(survey, "async_method"), *usage(survey, "sync_method")):
        if use["name"] in {*CALLED, *events}:
            yield _of_wrong_kind(survey, use)
    yield from _holds_up(survey)


def _in_a_task(call: str) -> str:
    """Only a consumer has what it calls of itself."""
    return "" if call.startswith(("self.", "super()")) else f", or async_to_sync({call})(...) in a task"


def _of_wrong_kind(survey: Survey, use: Mapping[str, Any]) -> Finding:
    method, at = f"{use['consumer']}.{use['name']}", place_of(survey, use)
    if use["kind"] == "async_method":
        said, hint = "is async def in a consumer that is not: it never runs", f"def {use['name']}"
    else:
        said, hint = "is no async def, and its consumer awaits it: TypeError", f"async def {use['name']}"
    return fail(f"{method} {said}", hint=f"{hint}(...) at {at}", subject=at)


def _holds_up(survey: Survey) -> Iterator[Finding]:
    for use in usage(survey, "query_in_loop"):
        at = place_of(survey, use)
        yield warn(
            f"{use['call']}() in async def {use['function']}: SynchronousOnlyOperation",
            hint=f"await {use['call'].rpartition('.')[0]}.a{use['call'].rpartition('.')[2]}(...) at {at}, or "
            "database_sync_to_async around a function of its own",
            subject=at,
        )
    for use in usage(survey, "blocks"):
        at = place_of(survey, use)
        yield warn(
            f"{use['call']} in async def {use['function']} holds up every socket of its process",
            hint=f"await asyncio.sleep(...) at {at}",
            subject=at,
        )


@check("channels.transactions", stage=Stage.STATIC, needs=["celery.app"])
@of_channels
def transactions(survey: Survey) -> Iterator[Finding]:
    """Events are sent after their transaction has committed.

    An event that leaves inside `transaction.atomic` is at the browser before the row is visible: the page asks for it
    and gets the old one, or 404; after a rollback it told what never happened. Shows as: pages that are one step
    behind, now and then. Fix: `transaction.on_commit(lambda: async_to_sync(layer.group_send)(...))`.
    """
    for use in usage(survey, "event_in_transaction"):
        at = place_of(survey, use)
        yield warn(
            "an event is sent before its transaction commits",
            hint=f"transaction.on_commit(lambda: async_to_sync(layer.group_send)(...)) at {at}",
            subject=at,
        )
