"""`intelli-ops eager`: tasks inside the request, for debugging, and back again without a trace."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from intelli_checks.target import Target
from intelli_ops import exits
from intelli_ops.commands.grouped import Group
from intelli_ops.commands.options import targeted
from intelli_ops.progress import Waiting
from intelli_ops.say import complain, say
from intelli_ops.usage import UsageError

app = typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_File = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Settings file [the file of the settings module].")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the change as a diff and write nothing.")]
_Force = Annotated[
    str | None, typer.Option("--force", metavar="MODULE", help="Edit a production file; type its module's name.")
]


@app.callback()
def eager() -> None:
    """Switch EAGER mode (tasks run inside the request), reversibly."""


@app.command()
@targeted
def status(target: Target, *, file: _File = None) -> int:
    """Say what the settings file declares, what is in force, and who still runs with another value."""
    from intelli_ops.eager.syntax import Refusal
    from intelli_ops.eager.toggle import is_on

    path = _path(target, file)
    try:
        declared = "on" if is_on(path.read_bytes()) else "off"
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except Refusal as refusal:
        declared = f"cannot be told from the text ({refusal})"
    say(f"{path}: EAGER {declared}")
    say(_in_force(target)[1])
    _stale(target, path)
    return exits.HEALTHY


@app.command()
@targeted
def on(target: Target, *, file: _File = None, dry_run: _DryRun = False, force: _Force = None) -> int:
    """Uncomment, or add, the two EAGER settings."""
    code = _switch(target, file, on=True, dry_run=dry_run, force=force)
    if code == exits.HEALTHY and not dry_run:
        from intelli_ops.eager.effects import SKIPPED_BY_EAGER

        say("while EAGER is on, these are not exercised:")
        for part in SKIPPED_BY_EAGER:
            say(f"  - {part}")
    return code


@app.command()
@targeted
def off(target: Target, *, file: _File = None, dry_run: _DryRun = False) -> int:
    """Comment the EAGER settings out again, or restore whatever stood there."""
    return _switch(target, file, on=False, dry_run=dry_run, force=None)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: intelli-ops eager run -- python manage.py test",
)
@targeted
def run(
    target: Target, *, command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What to run.")]
) -> int:
    """Run one command with EAGER on and touch no file.

    Exits with the command's code; 128 and the signal's number when a signal ended it, as a shell has it.
    """
    if not target.settings:
        raise UsageError("eager run needs a Django settings module: name it with --settings")
    from intelli_ops.eager.overlay import overlay

    with overlay(target.settings, os.environ) as environment:
        try:
            code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - the user's command
        except OSError as error:
            raise UsageError(f"{shlex.join(command)}: {error.strerror or error}") from error
    return code if code >= 0 else 128 - code


def _switch(target: Target, file: Path | None, *, on: bool, dry_run: bool, force: str | None) -> int:
    from intelli_ops.eager.replace import Busy, Unsuitable, editable, rewrite
    from intelli_ops.eager.syntax import Refusal
    from intelli_ops.eager.toggle import switch

    path, root = _path(target, file), _root(target)
    try:
        real = editable(path, root)
        names = real.stat().st_nlink
        if on:
            _refuse_production(real, target, force)
        if dry_run:
            return _diff(path, real.read_bytes(), switch(real.read_bytes(), on=on))
        changed = rewrite(path, lambda data: switch(data, on=on), root=root)
    except Unsuitable as error:
        raise UsageError(str(error)) from error
    except Busy as error:
        complain(error)
        return exits.COULD_NOT_TELL
    except Refusal as refusal:
        return _refused(path, refusal.reasons, on=on)
    say(f"{path}: EAGER {'is' if changed else 'was already'} {'on' if on else 'off'}")
    if changed and names > 1:
        say(f"{path} had {names} names (hard links); the others still lead to the old content")
    value, words = _in_force(target)
    say(words)
    _stale(target, path)
    if value in {None, on}:
        return exits.HEALTHY
    complain(f"the file says {'on' if on else 'off'}, and something else has the last word: see above")
    return exits.FAILED


def _refused(path: Path, reasons: tuple[str, ...], *, on: bool) -> int:
    complain(f"{path} was left as it is: the change cannot be made with certainty")
    for reason in reasons:
        complain(f"  {reason}")
    complain(f"edit it by hand so that CELERY_TASK_ALWAYS_EAGER = {on} is what Python ends up with")
    return exits.FAILED


def _refuse_production(path: Path, target: Target, force: str | None) -> None:
    from intelli_ops.eager.guard import production_reason

    reason = production_reason(path, path.read_text(encoding="utf-8", errors="replace"))
    if reason is None:
        return
    module = target.settings or path.stem
    if force != module:
        raise UsageError(
            f"{path} looks like production ({reason}); name the development settings with --settings or --file, "
            f"or force it with --force {module}"
        )


def _diff(path: Path, before: bytes, after: bytes) -> int:
    def lines(data: bytes) -> list[str]:
        return data.decode("utf-8", "replace").splitlines()

    changes = difflib.unified_diff(
        lines(before), lines(after), str(path), str(path), n=0, lineterm=""
    )  # neighbours may be secrets
    for line in changes:
        say(line)
    return exits.HEALTHY


def _root(target: Target) -> Path:
    place = next((place for place in target.places if not place.remote), None)
    return (place.directory if place else None) or target.directory


def _path(target: Target, file: Path | None) -> Path:
    from intelli_ops.eager.guard import settings_file
    from intelli_ops.eager.replace import Unsuitable

    if file:
        return file
    if not target.settings:
        raise UsageError("no settings module was found here: name it with --settings, or the file with --file")
    try:
        return settings_file(target.settings, _root(target))
    except Unsuitable as error:
        raise UsageError(str(error)) from error


def _in_force(target: Target) -> tuple[bool | None, str]:
    """What the project's own interpreter ends up with: environment and overlays may say something else."""
    from intelli_checks.families.celery_app import eager_source
    from intelli_checks.model import Skip, Unavailable
    from intelli_checks.probes import survey

    try:
        with Waiting("the project"):
            seen = next(iter(survey.gather(target, target.timeout, "workers").values()))
    except (Skip, Unavailable) as error:
        return None, f"in force: could not tell ({error})"
    if not seen.conf:
        why = seen.errors[0]["message"] if seen.errors else "no Celery app was found"
        return None, f"in force: could not tell ({why})"
    module = seen.settings_module or seen.celery_app
    state = f"on ({eager_source(seen)})" if seen.eager else "off"
    return seen.eager, f"in force: {state}, as {module} loads in the project's interpreter"


def _stale(target: Target, path: Path) -> None:
    from intelli_ops.eager.effects import stale_processes

    for process in stale_processes(_root(target).resolve(), path.stat().st_mtime):
        say(f"started before this file changed, restart it: {process.what} (pid {process.pid})")
