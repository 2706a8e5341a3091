# ruff: noqa: ARG002 - click hands every method its context
"""The command line: which commands there are, and what becomes of an error. Commands are imported when they are run."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import typer
from typer.core import TyperGroup

from intelli_ops import exits
from intelli_ops.say import complain, say_json
from intelli_ops.supervisor.state import StateError
from intelli_ops.usage import ClickException, CouldNotTell, NoArgsIsHelpError, UsageError, no_such

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter


class Lazy(NamedTuple):
    """A command that costs nothing until it is run."""

    name: str
    module: str
    """Holds a `typer.Typer` called `app`: one command, or a group of them."""
    help: str
    """The first line of the command's docstring, kept here so that `--help` imports nothing; a test compares."""


SECTIONS: dict[str, tuple[Lazy, ...]] = {
    "Diagnose": (
        Lazy("check", "intelli_ops.commands.check", "Name the root cause, with the evidence and the fix."),
        Lazy("explain", "intelli_ops.commands.explain", "Explain a check: cause, how it shows, how to fix it."),
        Lazy("checks", "intelli_ops.commands.checks", "List every check, with its stage and title."),
        Lazy("config", "intelli_ops.commands.config", "Show what the tool believes about your project."),
        Lazy("probe", "intelli_ops.commands.probe", "Answer one probe of Kubernetes, compose or a load balancer."),
    ),
    "Operate": (
        Lazy("queues", "intelli_ops.commands.queues", "Show every queue: what waits, who consumes, where it is going."),
        Lazy("tasks", "intelli_ops.commands.tasks", "Show tasks: who knows them, where they go, what became of one."),
        Lazy("bundle", "intelli_ops.commands.bundle", "Pack report, facts and versions for somebody else, redacted."),
        Lazy("channels", "intelli_ops.commands.channels", "Show groups, members and backlog of the channel layer."),
        Lazy("eager", "intelli_ops.commands.eager", "Switch EAGER mode (tasks run inside the request), reversibly."),
        Lazy("render", "intelli_ops.commands.render", "Write systemd, compose or Kubernetes files for the workers."),
    ),
    "Run workers": (
        Lazy(
            "start-workers",
            "intelli_ops.commands.start_workers",
            "Start one worker per queue profile, and keep them running.",
        ),
        Lazy(
            "stop-workers",
            "intelli_ops.commands.stop_workers",
            "Stop the workers of this project; running tasks may finish first, and are shown.",
        ),
        Lazy(
            "restart-workers",
            "intelli_ops.commands.restart_workers",
            "Replace the workers one by one; no queue is without a consumer meanwhile.",
        ),
        Lazy("workers", "intelli_ops.commands.workers", "See, scale and read the workers started here."),
    ),
    "Try it": (
        Lazy("demo", "intelli_ops.commands.demo", "Run the whole system on real photographs, look at every promise."),
        Lazy(
            "up", "intelli_ops.commands.up", "Start the reference system on this machine: Redis, web, workers, sweeper."
        ),
        Lazy("down", "intelli_ops.commands.down", "Stop the system that `up` started here, or what is left of it."),
        Lazy("jobs", "intelli_ops.commands.jobs", "Drive the job flow and watch it over the WebSocket."),
    ),
}
_NAME = "intelli-ops"
_COMMANDS = {command.name: command for commands in SECTIONS.values() for command in commands}
_INSTEAD = {
    "top": "`queues --watch 1` shows what moves, `check --watch 5` the verdict, `workers status` the processes",
    "flower": "Celery starts it: celery -A APP flower --basic-auth=USER:PASSWORD",
    "report": "`check --format json -o FILE` writes one, `bundle` packs what somebody else needs to see",
    "doctor": "that is `check`",
}
"""Commands that other tools have, and where their answers are here (docs/decisions/0006)."""

COMMON = frozenset(
    {"--project", "--settings", "--app", "-A", "--python", "--via", "--broker", "--results", "--layer", "--web"}
    | {"--websocket", "--timeout", "-t", "--config"}
)
"""The options of `commands.options.targeted`, accepted before the command as well."""

_EPILOG = """
Start with `intelli-ops check` in your project's folder; it needs no configuration.
Without a project: `intelli-ops check redis celery --broker redis://localhost:6379/0`.

Every option has a variable: --timeout is INTELLI_OPS_TIMEOUT. Exit codes: 0 healthy,
1 something failed, 2 wrong usage, 3 could not tell, 130 interrupted.
"""


class LazyGroup(TyperGroup):
    """Commands by name from `SECTIONS`, imported one at a time; common options may stand before the command too."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: Command = typer.main.get_command(import_module(_COMMANDS[cmd_name].module).app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        if args and args[0] in _INSTEAD:
            raise UsageError(f"no such command: {args[0]}; {_INSTEAD[args[0]]}")
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise no_such("command", args[0], _COMMANDS)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, hoist(args))

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(command.name, command.help) for command in commands])

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        formatter.write(_EPILOG)


app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


def _version(asked: bool) -> None:  # noqa: FBT001 - Typer calls it
    if asked:
        import platform

        from intelli_ops.version import VERSION

        typer.echo(f"intelli-ops {VERSION} on Python {platform.python_version()}, {platform.platform(terse=True)}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def root(
    *,
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_version, help="Show the versions that matter and exit."
    ),
    debug: bool = typer.Option(False, "--debug", envvar="INTELLI_OPS_DEBUG", help="Show tracebacks."),
) -> None:
    """Diagnose and operate Django + Celery + Redis + Channels."""


def run(args: list[str]) -> int:
    """Run the command line `args`; the exit code."""
    debug = "--debug" in args or bool(os.environ.get("INTELLI_OPS_DEBUG"))
    args = [arg for arg in args if arg != "--debug"]
    try:
        code = _invoke(args)
    except (ClickException, CouldNotTell) as error:
        return _usage(error, args) if isinstance(error, ClickException) else _could_not_tell(error, args)
    except typer.Exit as leave:
        return leave.exit_code
    except BrokenPipeError:
        return exits.BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        return exits.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence: one sentence instead of a traceback
        return _no_state(error, args) if isinstance(error, StateError) else _unexpected(error, args, debug=debug)
    return code if isinstance(code, int) else exits.HEALTHY


def _invoke(args: list[str]) -> object:
    """What the command returns. `main()`, which answers the shell's completion, would also turn EPIPE into exit 1."""
    command = typer.main.get_command(app)
    if "_INTELLI_OPS_COMPLETE" in os.environ:
        return command.main(args, prog_name=_NAME)
    with command.make_context(_NAME, args) as ctx:
        return command.invoke(ctx)


def hoist(args: list[str]) -> list[str]:
    """Move common options that stand before the command behind it: `--broker URL config show` is a `config show`.

    They land before the command's own options, so that of two values the one nearer to the command counts.
    """
    moved: list[str] = []
    rest = list(args)
    while rest:
        name, glued, _ = rest[0].partition("=")
        if name not in COMMON or (not glued and len(rest) == 1):
            break
        count = 1 if glued else 2
        moved += rest[:count]
        del rest[:count]
    words = next((place for place, arg in enumerate(rest) if arg.startswith("-")), len(rest))
    return [*rest[:words], *moved, *rest[words:]]


def _usage(error: ClickException, args: list[str]) -> int:
    message = error.format_message().replace("\n\t", " ")  # click gives each choice a line of its own
    ctx = getattr(error, "ctx", None)
    where = ctx.command_path if ctx else "intelli-ops"
    if isinstance(error, NoArgsIsHelpError):  # a bare `intelli-ops` shows its help, which is all the answer it needs
        error.show()
    else:
        complain(f"{where}: {message}\ntry: {where} --help")
    _apologise(args, "usage", message, exits.USAGE)
    return exits.USAGE


def _could_not_tell(error: CouldNotTell, args: list[str]) -> int:
    complain(f"could not tell: {error}" + (f"\nfix: {error.hint}" if error.hint else ""))
    _apologise(args, "unavailable", str(error), exits.COULD_NOT_TELL)
    return exits.COULD_NOT_TELL


def _no_state(error: StateError, args: list[str]) -> int:
    complain(f"intelli-ops: {error}")
    _apologise(args, "usage", str(error), exits.USAGE)
    return exits.USAGE


def _unexpected(error: Exception, args: list[str], *, debug: bool) -> int:
    message = f"{type(error).__name__}: {error}"
    if debug:
        import traceback

        complain("".join(traceback.format_exception(error)))
    else:
        complain(f"intelli-ops itself failed: {message}\nagain with --debug shows where")
    _apologise(args, type(error).__name__, message, exits.COULD_NOT_TELL)
    return exits.COULD_NOT_TELL


def _apologise(args: list[str], kind: str, message: str, code: int) -> None:
    """Whoever asked for JSON gets one document, whatever happened."""
    from intelli_ops.render import error

    if error.wants_json(args, os.environ):
        say_json(error.document(kind, message, code))
