"""Facts for the commands that show them: within the deadline, with a sign of life, or with one clear refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from intelli_checks.context import Context
from intelli_checks.model import Skip, Unavailable
from intelli_checks.target import Target
from intelli_ops.commands.selection import something_to_look_at
from intelli_ops.flow_options import with_running
from intelli_ops.progress import Waiting
from intelli_ops.usage import CouldNotTell
from intelli_ops.watchdog import Watchdog


@contextmanager
def asking(target: Target, what: str) -> Iterator[Context]:
    """A context whose facts may be read in the block; raises UsageError without a target, CouldNotTell for silence."""
    something_to_look_at(target)
    ctx = Context(with_running(target))
    with Watchdog(ctx.deadline), Waiting(what):
        try:
            yield ctx
        except Unavailable as error:
            about = f"{error.subject}: " if error.subject and not str(error).startswith(error.subject) else ""
            raise CouldNotTell(f"{about}{error}", error.hint) from error
        except Skip as reason:
            cause = f"intelli-ops check {reason.because}" if reason.because else ""
            raise CouldNotTell(str(reason), cause) from reason
