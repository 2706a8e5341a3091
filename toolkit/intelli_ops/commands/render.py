"""`intelli-ops render`: deployment files from the profiles that `start-workers` runs."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from intelli_checks.fleet import Fleet
from intelli_checks.target import Target
from intelli_ops.commands.options import SURVEY, showing
from intelli_ops.commands.selection import something_to_look_at
from intelli_ops.deploy.plan import Plan
from intelli_ops.progress import Waiting
from intelli_ops.say import say
from intelli_ops.usage import UsageError

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Kind(StrEnum):
    """What can be rendered."""

    SYSTEMD = "systemd"
    COMPOSE = "compose"
    K8S = "k8s"


@app.command(epilog="Example: intelli-ops render systemd --user app --directory /srv/shop --out units/")
@showing(*SURVEY, "via")
def render(
    target: Target,
    *,
    kind: Annotated[Kind, typer.Argument(metavar="systemd|compose|k8s", show_default=False, help="What to write.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write files here [print them].")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Prefix of unit and object names [the project's folder].")
    ] = None,
    directory: Annotated[
        str | None, typer.Option(metavar="DIR", help="The project on the target machine or in the image [as here].")
    ] = None,
    celery: Annotated[
        str | None,
        typer.Option(metavar="EXE", help="The celery command there [systemd: the project's own; else celery]."),
    ] = None,
    user: Annotated[str, typer.Option(metavar="NAME", help="systemd: the user workers run as.")] = "celery",
    image: Annotated[str, typer.Option(metavar="IMAGE", help="compose, k8s: the image to run.")] = "project:latest",
) -> None:
    """Write systemd, compose or Kubernetes files for the workers."""
    root = _root(target)
    plan = Plan(
        fleet_of(target),
        name=_label(name or root.name),
        directory=PurePosixPath(directory or root.as_posix()),
        celery=(celery or _celery(kind, target, root, directory),),
        user=user,
        image=image,
    )
    files = _renderer(kind)(plan)
    if out is None:
        say("\n".join(f"# {file}\n{text}" for file, text in files.items()).rstrip("\n"))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (out / file).write_text(text, encoding="utf-8")
            say(out / file)
    except OSError as error:
        raise UsageError(f"cannot write into {out}: {error.strerror}") from error


def fleet_of(target: Target) -> Fleet:
    """The declared workers; raises UsageError where the project cannot be asked or contradicts itself."""
    from intelli_checks.fleet import FleetError, of_project
    from intelli_checks.model import Skip, Unavailable
    from intelli_checks.probes import survey

    something_to_look_at(target)
    try:
        with Waiting("the project"):
            surveys = survey.gather(target, target.timeout)
        seen = next(iter(surveys.values()))
        app = target.app or (seen.celery_app or "").partition(":")[0]
        return of_project(app, seen, target.workers)
    except (Skip, Unavailable, FleetError) as error:
        raise UsageError(str(error)) from error


def _renderer(kind: Kind) -> Callable[[Plan], dict[str, str]]:
    from intelli_ops.deploy import compose, kubernetes, systemd

    renderers = {Kind.SYSTEMD: systemd.render, Kind.COMPOSE: compose.render, Kind.K8S: kubernetes.render}
    return renderers[kind]


def _root(target: Target) -> Path:
    return (target.places[0].directory if target.places else None) or target.directory


def _celery(kind: Kind, target: Target, root: Path, directory: str | None) -> str:
    """The project's own for systemd, which knows no virtual environment; an image has its own on PATH."""
    place = target.places[0] if target.places else None
    if kind is not Kind.SYSTEMD or place is None or place.remote:
        return "celery"
    script = Path(place.argv[0]).parent / "celery"
    if not script.is_file():
        return "celery"
    if directory is None:
        return script.as_posix()
    inside = script.is_relative_to(root)  # it moves to the target machine with the project
    return (PurePosixPath(directory) / script.relative_to(root).as_posix()).as_posix() if inside else "celery"


def _label(text: str) -> str:
    label = "".join(character if character.isalnum() else "-" for character in text.lower()).strip("-")
    if not label.isascii() or not label:
        raise UsageError(f"{text!r} is no DNS label: give one with --name")
    return label
