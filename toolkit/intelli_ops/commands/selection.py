"""Which checks, and which mutes: names from the command line and the configuration, validated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from intelli_checks import mutes
from intelli_checks.context import Context
from intelli_checks.model import Check, Stage
from intelli_checks.registry import UnknownCheck, registry
from intelli_checks.target import Target
from intelli_ops.usage import UsageError, no_such


def selected(target: Target, names: Iterable[str], stage: Stage) -> list[Check]:
    """The checks these names mean, every one up to `stage` when there are none; raises UsageError for none at all."""
    load(target)
    try:
        checks = registry.select(names, stage=stage)
    except UnknownCheck as error:
        raise no_such("check or family", str(error), known_names()) from None
    if not checks:
        raise UsageError(f"no check of these reaches stage {stage.name.lower()}; nothing checked is not a pass")
    return checks


def something_to_look_at(target: Target) -> None:
    """Raise UsageError for neither project nor URL: in the wrong folder a green verdict would be about this machine."""
    known = (target.places, target.broker, target.results, target.layer, target.web, target.websocket, target.plugins)
    if not any(known):
        raise UsageError(
            f"no project in {target.directory} or above it, and no URL: change to its folder, or name one of "
            "--project DIR, --via COMMAND, --broker URL; an application that pip installed: "
            "--python EXE, with --settings MODULE or --app MODULE"
        )


def mutes_for(target: Target, texts: Iterable[str]) -> list[mutes.Mute]:
    """The configured mutes and then those of the command line; raises UsageError for a check nobody knows."""
    try:
        found = [*mutes.from_config(target.mutes), *(mutes.parse(text) for text in texts)]
    except ValueError as error:
        raise UsageError(str(error)) from error
    known = known_names()
    for mute in found:
        if mute.id not in known:
            raise no_such("check or family to mute", mute.id, known)
    return found


def contexts(
    target: Target, names: Iterable[str], deadline: float, *, whole: bool
) -> Callable[[Target, float], Context]:
    """What makes the contexts of a run. The first asks the project at once, while the checks are still being imported.

    Who asks about Celery only need not wait until the web side is imported, unless the facts are wanted `whole`. Two
    places are always compared as a whole.
    """
    families = {name.partition(".")[0] for name in names}
    narrow = families == {"celery"} and len(target.places) == 1 and not whole
    make = partial(Context, purpose="celery" if narrow else "survey")
    first = [make(target, deadline=deadline)]
    if target.places:
        first[0].ask_project()
    return lambda target, deadline: first.pop() if first else make(target, deadline=deadline)


def recorded(path: Path) -> Callable[[Target, float], Context]:
    """What makes contexts from the recording at `path`; raises UsageError when that is none."""
    from intelli_checks import recording

    try:
        replay = recording.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a recording made by --save: it is no text") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    return lambda _, deadline: replay(deadline)


def load(target: Target) -> None:
    """Declare every check there is: built in, installed as plugins, and configured executables."""
    registry.load()
    if target.plugins:
        from intelli_checks import plugins

        try:
            for check in plugins.checks(target.plugins):
                registry.add(check)
        except ValueError as error:
            raise UsageError(str(error)) from error


def known_names() -> list[str]:
    """Families first, then check ids."""
    ids = [check.id for check in registry]
    return [*dict.fromkeys(check.family for check in registry), *ids]


def complete_checks(incomplete: str) -> list[str]:
    """Families and ids for shell completion."""
    registry.load()
    return [name for name in known_names() if name.startswith(incomplete)]
