"""The options every command that looks at a project understands, turned into a Target."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection
from copy import copy
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from intelli_checks.target import Target
from intelli_ops.usage import UsageError


def _option(*names: str, env: str, **more: Any) -> Any:
    return typer.Option(*names, envvar=f"INTELLI_OPS_{env}", show_envvar=False, **more)


COMMON: dict[str, Any] = {
    "project": Annotated[
        Path | None,
        _option(
            "--project", env="PROJECT", metavar="DIR", help="Where the project lives [here, above, or the first below]."
        ),
    ],
    "settings": Annotated[
        str | None, _option("--settings", env="SETTINGS", metavar="MODULE", help="Django settings module.")
    ],
    "app": Annotated[
        str | None, _option("--app", "-A", env="APP", metavar="MODULE[:ATTR]", help="Celery application.")
    ],
    "python": Annotated[
        str | None, _option("--python", env="PYTHON", metavar="EXE", help="The project's Python interpreter.")
    ],
    "via": Annotated[
        list[str] | None,
        _option(
            "--via",
            env="VIA",
            metavar="[NAME=]CMD",
            help='Ask the project through a command: --via "docker compose exec -T web". Twice compares two places.',
        ),
    ],
    "broker": Annotated[
        str | None, _option("--broker", env="BROKER", metavar="URL", help="Broker to look at; works without a project.")
    ],
    "results": Annotated[
        str | None, _option("--results", env="RESULTS", metavar="URL", help="Result store, if not the project's.")
    ],
    "layer": Annotated[
        str | None, _option("--layer", env="LAYER", metavar="URL", help="Channel layer's Redis, if not the project's.")
    ],
    "web": Annotated[str | None, _option("--web", env="WEB", metavar="URL", help="Where the web server answers.")],
    "websocket": Annotated[
        str | None, _option("--websocket", env="WEBSOCKET", metavar="PATH|URL", help="WebSocket route to try.")
    ],
    "timeout": Annotated[
        float | None,
        _option("--timeout", "-t", env="TIMEOUT", metavar="SECONDS", min=0.1, help="Limit of one whole run [30]."),
    ],
    "config": Annotated[
        Path | None, _option("--config", env="CONFIG", metavar="FILE", help="Configuration file [intelli-ops.toml].")
    ],
}


Command: TypeAlias = Callable[..., int | None]

PROJECT = ("project", "config")
"""What tells where a project lives, for commands that look at what was started there."""
SURVEY = (*PROJECT, "settings", "app", "python", "timeout")
"""What it takes to ask the project about itself."""


def showing(*names: str) -> Callable[[Command], Command]:
    """`targeted`, with no more than these common options in the help: the others have no say in what the command does.

    All are taken, as all may stand before the command and in the environment.
    """
    return partial(targeted, shown=names)


def targeted(command: Command, *, shown: Collection[str] = tuple(COMMON)) -> Command:
    """Give a command the common options; what they amount to arrives as its first argument, `target`.

    A value that came from the environment is left to `configuration`, which reads the same variables and can then say
    where it found them.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "target"]
    common = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=annotation if name in shown else _hidden(annotation),
        )
        for name, annotation in COMMON.items()
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    def run(*, ctx: typer.Context, **given: Any) -> int | None:
        flags = {name: given.pop(name) for name in COMMON}
        typed = {name: value for name, value in flags.items() if _typed(ctx, name) and value is not None}
        return command(resolve(typed), **given)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([*keyword, *common, context])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword, *common, context]}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _hidden(annotation: Any) -> Any:
    option = copy(annotation.__metadata__[0])
    option.hidden = True
    return Annotated[annotation.__origin__, option]


def resolve(flags: dict[str, object]) -> Target:
    """The Target that these flags, the environment and the configuration make; a mistake in them is wrong usage."""
    from intelli_checks import configuration

    try:
        return configuration.load(flags, os.environ, Path.cwd())
    except configuration.UsageError as error:
        raise UsageError(str(error)) from error


def _typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
