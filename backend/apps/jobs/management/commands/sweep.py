"""`manage.py sweep`: rescue what dead workers, lost messages and crashes left behind."""

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.jobs import rescue, sweeper


class Command(BaseCommand):
    """Runs once, or for ever with --loop."""

    help = "Take tasks back from dead workers and publish tasks whose message is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--loop and --interval."""
        parser.add_argument("--loop", action="store_true", help="keep sweeping until stopped")
        parser.add_argument(
            "--interval", type=float, default=None, help="seconds between sweeps (INTELLI_SWEEP_SECONDS)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep."""
        if not options["loop"]:
            swept = rescue.sweep()
            self.stdout.write(f"taken from lost workers: {swept.abandoned}, published again: {swept.published}")
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        interval = options["interval"]
        sweeper.run(stop, settings.INTELLI_SWEEP_SECONDS if interval is None else interval)
