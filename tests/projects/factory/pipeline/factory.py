"""An app factory: nothing is configured until somebody calls it, and then lazily."""

from celery import Celery
from kombu import Exchange, Queue


def create_app(name="pipeline"):
    app = Celery(name, set_as_current=False, autofinalize=True)
    media = Exchange("media-events", type="topic")
    app.add_defaults(
        lambda: {
            "broker_url": "redis://127.0.0.1:6379/5",
            "task_default_queue": "intake",
            "task_default_exchange": "intake-exchange",
            "task_default_routing_key": "intake.default",
            "task_queues": [
                Queue("intake", Exchange("intake-exchange"), routing_key="intake.default"),
                Queue("thumbs", media, routing_key="media.thumb.#"),
            ],
            "task_routes": (route,),
            "task_ignore_result": True,
            "broker_transport_options": {"global_keyprefix": "pipeline:", "visibility_timeout": 7200},
        }
    )
    app.conf.imports = ("pipeline.jobs",)
    return app


def route(name, args, kwargs, options, task=None, **kw):
    if name.startswith("thumbs."):
        return {"exchange": "media-events", "routing_key": "media.thumb.small", "queue": "thumbs"}
    return None
