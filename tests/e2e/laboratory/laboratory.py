"""A plugin as somebody else would install it, whose checks end in every way a check can end."""

import os
import sys
import threading
from pathlib import Path

from intelli_checks import Check, Skip, Stage, Unavailable, check, fail, info, warn
from intelli_checks.registry import registry

PASSWORD = "correct-horse-battery"


@check("lab.root")
def root(ctx):
    """The laboratory's root answers.

    Cause: this check always fails.

    Fix: do not select it.
    """
    yield info("looked at the root", attempts=1)
    raise Unavailable(
        f"nothing answers at redis://user:{PASSWORD}@127.0.0.1:1/0 (refused)",
        hint="redis-server --port 6379",
        port=6379,
    )


@check("lab.queues")
def queues(ctx):
    """Every laboratory queue is consumed.

    Two of them never are.
    """
    for name in ("ai", "charts"):
        yield fail("has no consumer", subject=f"queue {name}", hint="celery -A lab worker -Q ai,charts", depth=7)


@check("lab.follows", needs=["lab.root"])
def follows(ctx):
    """What follows from the root.

    Never runs.
    """
    yield info("ran")


@check("lab.follows_too", needs=["lab.follows"])
def follows_too(ctx):
    """What follows from what follows.

    Never runs.
    """
    yield info("ran")


@check("lab.warns")
def warns(ctx):
    """The laboratory has headroom.

    It has not.
    """
    subjects = os.environ.get("LAB_SUBJECTS", "disk").split(",")
    for subject in subjects:
        yield warn("almost full", subject=subject, hint="df -h", free="3%")


@check("lab.breaks")
def breaks(ctx):
    """The laboratory's check itself is sound.

    It is not.
    """
    yield info("before")
    raise RuntimeError(f"boom with {PASSWORD}")


@check("lab.passes")
def passes(ctx):
    """The laboratory is open.

    Always.
    """
    yield info("open since this morning", hours=3)


@check("lab.other")
def other(ctx):
    """The laboratory's other room is open.

    Always.
    """
    yield info("open too")


@check("lab.skips")
def skips(ctx):
    """The laboratory has a garden.

    It has none.
    """
    raise Skip("no garden here")
    yield


@check("lab.hangs", timeout=60, needs=["lab.passes"])
def hangs(ctx):
    """The laboratory answers in time.

    It never does.
    """
    if signal := os.environ.get("LAB_SIGNAL"):
        Path(signal).touch()
    threading.Event().wait()
    yield


@check("lab.leaves")
def leaves(ctx):
    """The laboratory's check does not end the process.

    It tries.
    """
    sys.exit(7)
    yield


@check("lab.hostile")
def hostile(ctx):
    """Text from outside is shown, not obeyed.

    Escape sequences, markup and line breaks arrive in a task name.
    """
    name = "\x1b[2Jwiped\x07 [red]markup[/red] \u202egnp.exe </testcase>&<![CDATA[ ::error::x | y"
    yield fail(f"task {name} is unknown", subject=name, hint=f"forget {name}", name=name)


class Bent(float):
    """A time limit that the tool itself stumbles over."""

    def __radd__(self, other):
        raise RuntimeError("bent by redis://u:planted-password@h/0")


registry.add(Check("lab.bent", passes, Stage.DEEP, Bent(1.0)))
