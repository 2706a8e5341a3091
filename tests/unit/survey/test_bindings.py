"""Where kombu would put a message, for every kind of exchange."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue, binding

from intelli_checks.probes.inside.bindings import Unbound, queue_of

MEDIA, NEWS = Exchange("media", "topic"), Exchange("news", "fanout")
QUEUES = [
    Queue("default", Exchange("default"), routing_key="default"),
    Queue("videos", MEDIA, routing_key="media.video.#"),
    Queue("images", MEDIA, routing_key="media.image.*"),
    Queue("all", NEWS),
    Queue("both", [binding(MEDIA, routing_key="media.audio.*")]),
]
LANDS: list[tuple[Any, str]] = [
    ({}, "default"),
    ({"queue": "videos"}, "videos"),
    ({"exchange": "media", "routing_key": "media.video.encode.fast"}, "videos"),
    ({"exchange": "media", "routing_key": "media.image.crop"}, "images"),
    ({"exchange": "media", "routing_key": "media.audio.crop"}, "both"),
    ({"exchange": "news", "exchange_type": "fanout"}, "all"),
    ({"exchange": "default", "routing_key": "default"}, "default"),
    ({"queue": "videos", "routing_key": "media.image.crop"}, "images"),
]


@pytest.fixture
def app() -> Celery:
    app = Celery("x", set_as_current=False)
    app.conf.update(task_queues=QUEUES, task_default_queue="default")
    return app


@pytest.mark.parametrize(("route", "queue"), LANDS)
def test_it_lands_where_kombu_puts_it(app: Celery, route: dict[str, Any], queue: str) -> None:
    options = app.amqp.router.expand_destination(route) if route else {}
    assert queue_of(app, options) == queue


@pytest.mark.parametrize("key", ["media.pictures.crop", "media.image.crop.fast"])
def test_a_key_nobody_is_bound_with_loses_the_message(app: Celery, key: str) -> None:
    with pytest.raises(Unbound, match=f"'media' with routing key '{key}'"):
        queue_of(app, {"exchange": "media", "routing_key": key})
