"""Daphne's app without its server."""

from django.apps import AppConfig


class RunserverConfig(AppConfig):
    """The `runserver` that speaks WebSocket. Daphne's own configuration loads Twisted into every worker and command."""

    name = "daphne"
    verbose_name = "Daphne"
