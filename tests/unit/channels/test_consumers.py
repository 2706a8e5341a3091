"""What the code of consumers and senders tells before anything runs."""

from __future__ import annotations

import ast

import pytest

from intelli_checks.probes.inside.consumers import slips
from intelli_checks.probes.inside.usage import uses

ASYNC = "class Board(AsyncJsonWebsocketConsumer):\n    {}"
SYNC = "class Board(JsonWebsocketConsumer):\n    {}"


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        ("def task():\n    get_channel_layer().group_send('board', {})", ["unawaited"]),
        ("def task():\n    where = get_channel_layer()\n    where.group_send('board', {})", ["unawaited"]),
        ("async def view(r):\n    channel_layer.send('board', {})", ["unawaited"]),
        (ASYNC.format("async def connect(self): self.accept()"), ["unawaited"]),
        (ASYNC.format("async def connect(self): super().accept()"), ["unawaited"]),
        ("class Base(AsyncWebsocketConsumer): pass\n" + ASYNC.replace("AsyncJsonWebsocketConsumer", "Base").format(
            "async def connect(self): self.close()"), ["unawaited"]),
        (ASYNC.format("async def connect(self): async_to_sync(self.accept)()"), ["sync_in_loop"]),
        (ASYNC.format("async def connect(self): time.sleep(3)"), ["blocks"]),
        (ASYNC.format("async def connect(self): Room.objects.filter(a=1).first()"), ["query_in_loop"]),
        (ASYNC.format("def connect(self): self.ready = True"), ["sync_method"]),
        (SYNC.format("async def connect(self): self.accept()"), ["async_method"]),
    ],
)  # fmt: skip
def test_a_call_that_does_nothing_or_raises_is_found(code, kinds):
    assert [found["kind"] for found in slips(ast.parse(code))] == kinds


@pytest.mark.parametrize(
    "code",
    [
        "async def view(r):\n    await get_channel_layer().group_send('board', {})",
        "def task():\n    async_to_sync(get_channel_layer().group_send)('board', {})",
        "def task():\n    return layer.group_send('board', {})",
        "def task():\n    coroutine = layer.group_send('board', {})",
        "def run():\n    player.send('ball')\n    producer.send('orders', {})\n    self.player.send('ball')",
        ASYNC.format("async def connect(self): await self.accept()"),
        ASYNC.format("async def connect(self): await Room.objects.filter(a=1).afirst()"),
        ASYNC.format("async def connect(self): ...\n    @in_a_thread\n    def room(self): Room.objects.get(pk=1)"),
        ASYNC.format("async def tell(self):\n        def inner(): time.sleep(1)\n        await sync_to_async(inner)()"),
        ASYNC.format("def connect(self): return self.accept()"),
        SYNC.format("def connect(self): self.accept()"),
        SYNC.format("def connect(self): async_to_sync(self.channel_layer.group_add)('a', 'b')"),
    ],
)  # fmt: skip
def test_what_works_is_not_found(code):
    assert list(slips(ast.parse(code))) == []


def kinds_of(code: str, *wanted: str) -> list[str]:
    return [use["kind"] for use in uses(code) if use["kind"] in wanted]


def test_a_message_queue_with_a_method_of_the_same_name_is_no_channel_layer():
    message = "('orders', {'type': 'order.made'})"
    assert kinds_of(f"producer.send{message}", "event") == []
    assert kinds_of(f"async_to_sync(channel_layer.send){message}", "event") == ["event"]


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        ("{'text': 1}", ["untyped"]),
        ("{'type': kind}", []),
        ("{**event}", []),
        ("{key: 1}", []),
        ("message", []),
    ],
)
def test_an_event_that_surely_has_no_type_is_found(message, kinds):
    assert kinds_of(f"layer.group_send('board', {message})", "untyped") == kinds


def test_an_event_inside_a_transaction_is_found_and_one_after_it_is_not():
    send = "async_to_sync(layer.group_send)('board', {'type': 'board.line'})"
    assert kinds_of(f"with transaction.atomic():\n    {send}", "event_in_transaction") == ["event_in_transaction"]
    inside = f"with transaction.atomic():\n    transaction.on_commit(lambda: {send})"
    assert kinds_of(inside, "event_in_transaction") == []
    assert kinds_of(send, "event_in_transaction") == []


def test_code_that_reads_from_the_layer_itself_is_found():
    assert kinds_of("await channel_layer.receive(name)", "receives") == ["receives"]
    assert kinds_of("await channel_layer.group_add('board', name)\nqueue.receive(1)", "receives") == []


def test_whoever_waits_for_a_result_is_named_with_its_function():
    inner = "    def inner():\n        r = add.delay(1)\n        r.get()\n"
    code = f"def outer():\n{inner}    add.delay(2).get()\nadd.delay(3).get()\n"
    waits = [(use["line"], use["function"]) for use in uses(code) if use["kind"] == "get"]
    assert waits == [(4, "inner"), (5, "outer"), (6, "")]
