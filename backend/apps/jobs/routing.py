"""WebSocket paths."""

from django.urls import path, re_path

from apps.jobs.consumers import JobConsumer, UnknownPath

websocket_urlpatterns = [
    path("ws/jobs/<uuid:job_id>/", JobConsumer.as_asgi()),
    re_path(r"", UnknownPath.as_asgi()),
]
