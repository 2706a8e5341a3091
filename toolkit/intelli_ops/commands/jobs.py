"""`intelli-ops jobs submit | watch | list | artifacts | cancel`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from intelli_ops import exits
from intelli_ops.commands.grouped import Group
from intelli_ops.commands.local import Project, Timeout
from intelli_ops.jobs.api import ApiError, JobsApi, RefusedError, collect
from intelli_ops.say import complain, say, say_json
from intelli_ops.usage import UsageError

P = ParamSpec("P")

app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Drive the job flow and watch it over the WebSocket.",
)

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="INTELLI_OPS_WEB",
        show_envvar=False,
        metavar="URL",
        help="The web server [of the system that `up` runs here].",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="INTELLI_OPS_TOKEN",
        metavar="TOKEN",
        show_envvar=False,
        help="API token, where the system wants one.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def _told(command: Callable[P, int]) -> Callable[P, int]:
    """Turn what the API did not do into one line and an exit code: 1 it refused, 3 it could not be asked."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except ApiError as error:
            complain(error)
            return exits.FAILED if isinstance(error, RefusedError) else exits.COULD_NOT_TELL

    return run


@app.command(epilog="Example: intelli-ops jobs submit photo.jpg -a histogram -a sobel_edges --watch")
@_told
def submit(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Image files.", exists=True, dir_okay=False)
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option("--algorithm", "-a", metavar="NAME", help="At least one; may be given several times."),
    ] = None,
    image_url: Annotated[
        list[str] | None, typer.Option("--image-url", metavar="URL", help="An image to fetch.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Idempotency key: the same key is the same job.")
    ] = None,
    url: Url = None,
    token: Token = None,
    timeout: Timeout = 300.0,
    project: Project = Path(),
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    as_json: AsJson = False,
) -> int:
    """Submit images, and follow the job with --watch.

    Exits 0 when the job was accepted (with --watch: when it succeeded), 1 when it was refused or failed.
    """
    api = _api(url, token, project)
    job = api.submit(files or (), image_url or (), algorithm or (), key or str(uuid.uuid4()))
    if watch:
        return _follow(api, job, timeout, as_json=as_json)
    _print(job, f"job {job['id']}: {job['status']}", as_json=as_json)
    return exits.HEALTHY


@app.command(name="watch")
@_told
def watch_(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id: intelli-ops jobs list.")],
    url: Url = None,
    token: Token = None,
    timeout: Timeout = 300.0,
    project: Project = Path(),
    *,
    as_json: AsJson = False,
) -> int:
    """Follow a job to its end. Exits 0 when it succeeded, 1 when not, 3 when it had not ended in time."""
    api = _api(url, token, project)
    return _follow(api, {"id": _id(job_id)}, timeout, as_json=as_json)


@app.command(name="list")
@_told
def list_(url: Url = None, token: Token = None, project: Project = Path(), *, as_json: AsJson = False) -> int:
    """List the jobs, newest first."""
    from intelli_ops.jobs.display import jobs_table, print_table

    jobs = list(_api(url, token, project).jobs())
    if as_json:
        _print({"jobs": jobs}, "", as_json=True)
    else:
        print_table(jobs_table(jobs))
    return exits.HEALTHY


@app.command(name="artifacts")
@_told
def artifacts_(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id: intelli-ops jobs list.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Folder for the files.")],
    url: Url = None,
    token: Token = None,
    project: Project = Path(),
    *,
    as_json: AsJson = False,
) -> int:
    """Download what a job made; every file is checked against its SHA-256."""
    api = _api(url, token, project)
    job = api.job(_id(job_id))
    places = {id_: str(path) for id_, path in collect(api, job, out).items()}
    _show_artifacts(job, places, as_json=as_json)
    return exits.HEALTHY


@app.command()
@_told
def cancel(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id: intelli-ops jobs list.")],
    url: Url = None,
    token: Token = None,
    project: Project = Path(),
    *,
    as_json: AsJson = False,
) -> int:
    """Cancel a job: what has not run yet will not, what runs cannot finish."""
    job = _api(url, token, project).cancel(_id(job_id))
    _print(job, f"job {job['id']}: {job['status']}", as_json=as_json)
    return exits.HEALTHY


def _api(url: str | None, token: str | None, project: Path) -> JobsApi:
    from intelli_ops.bring_up import find_running

    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f"--url wants a URL such as http://127.0.0.1:8000, not {url!r}")
    if not url:
        url = find_running(project.resolve()).get("web")
    if not url:
        raise ApiError("no system of this project runs here: start one with intelli-ops up, or name one with --url")
    return JobsApi(url.rstrip("/"), token)


def _id(given: str) -> str:
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise RefusedError(f"{given!r} is not a job's id: see intelli-ops jobs list") from None


def _follow(api: JobsApi, job: Mapping[str, Any], timeout: float, *, as_json: bool) -> int:
    from intelli_ops.jobs.display import problems, status, watch
    from intelli_ops.jobs.follow import Follower

    known = {"job": dict(job), "seq": job["seq"]} if "seq" in job else {}
    ended = watch(Follower(api.base, job["id"], api.token, **known), timeout, show=not as_json)
    _print(ended, "\n".join([*problems(ended), f"job {ended['id']}: {status(ended)}"]), as_json=as_json)
    return exits.HEALTHY if ended["status"] == "succeeded" else exits.FAILED


def _show_artifacts(job: Mapping[str, Any], places: Mapping[str, str], *, as_json: bool) -> None:
    from intelli_ops.jobs.display import artifacts_table, print_table

    if as_json:
        _print({"job": job["id"], "artifacts": places}, "", as_json=True)
    else:
        print_table(artifacts_table(job, places))


def _print(document: Mapping[str, Any] | Iterable[Any], words: str, *, as_json: bool) -> None:
    if as_json:
        say_json(document)
    else:
        say(words)
