"""Probes for orchestrators.

`live` touches nothing, so a broken database never restarts a healthy process. `ready` asks the three services a request
needs, all under one deadline, and says which one is missing but not where it is.
"""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable

from asgiref.sync import async_to_sync
from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse

_SECONDS = 2.0


def live(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"ok": True})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when database, broker and channel layer answer, 503 otherwise."""
    probes = {"database": _database, "broker": _broker, "channel_layer": _layer}
    answers: dict[str, str] = {}
    threads = [
        threading.Thread(target=_ask, args=(answers, name, probe), name=f"ready-{name}", daemon=True)
        for name, probe in probes.items()
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    checks = {name: answers.get(name, "no answer in time") for name in probes}
    ok = all(answer == "ok" for answer in checks.values())
    return JsonResponse({"ok": ok, "checks": checks}, status=200 if ok else 503)


def _ask(answers: dict[str, str], name: str, probe: Callable[[], None]) -> None:
    try:
        probe()
    except Exception as error:  # noqa: BLE001  every way to fail means not ready; the type says enough and holds no address
        answers[name] = type(error).__name__
    else:
        answers[name] = "ok"
    finally:
        connection.close()  # this thread's own


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _broker() -> None:
    from kombu.utils.url import parse_url
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    url = settings.CELERY_BROKER_URL
    if not parse_url(url)["transport"].startswith("redis"):
        return  # another broker: its own monitoring knows better than a guess made here
    client = Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        if client.ping() is not True:
            raise ConnectionError
    finally:
        client.close()


def _layer() -> None:
    """One message there and back: the layer, and not just its Redis, works.

    A layer of its own: the process's is read by the loop of its open WebSockets, and a second loop that reads it too is
    refused, so that one visitor with a socket would make the server unready.
    """

    async def round_trip() -> None:
        layer = channel_layers.make_backend(DEFAULT_CHANNEL_LAYER)
        channel = await layer.new_channel("ready")
        sent = uuid.uuid4().hex
        await layer.send(channel, {"type": "ready.probe", "id": sent})
        message = await layer.receive(channel)
        if message["id"] != sent:
            raise ConnectionError

    async def bounded() -> None:
        await asyncio.wait_for(round_trip(), _SECONDS)

    async_to_sync(bounded)()
