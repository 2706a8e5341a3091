"""Do the workers run on the versions and settings the project has?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks.context import Context
from intelli_checks.families.celery_started import started_otherwise, started_with
from intelli_checks.families.neighbours import ours
from intelli_checks.families.wording import listed, project_of
from intelli_checks.model import Finding, fail, warn
from intelli_checks.probes.nodes import Node
from intelli_checks.probes.queues import declared
from intelli_checks.probes.survey import Survey
from intelli_checks.probes.workers import CONTENT_TYPES, accepted_content
from intelli_checks.registry import check
from intelli_checks.text import safe

COMPARED: Mapping[str, tuple[object, str]] = {
    "enable_utc": (True, "an eta without a zone means another moment there"),
    "task_default_queue": ("celery", "what its tasks send without a route waits elsewhere"),
    "task_create_missing_queues": (True, "a queue that one side makes the other refuses"),
    "task_serializer": ("json", "what its tasks send may be refused"),
    "task_reject_on_worker_lost": (None, "a task whose process dies has another end than planned"),
    "task_track_started": (False, "PENDING means something else than its reader thinks"),
    "result_expires": (86400, "results live longer or shorter than planned"),
    "worker_max_tasks_per_child": (None, "its processes are renewed at other times than planned"),
    "worker_max_memory_per_child": (None, "its processes are renewed at other times than planned"),
}
"""Settings that must agree: Celery's default, and what comes of a difference."""
PACKAGES = {"celery": "celery", "kombu": "kombu", "billiard": "billiard", "redis": "redis", "py": "Python"}
"""As a worker calls them, and as people do."""


@check("celery.versions", needs=["celery.workers"])
def versions(ctx: Context) -> Iterator[Finding]:
    """The workers run the versions the project has.

    Cause: an image or virtualenv that was not rebuilt, a deploy that reached one half, no lock file.

    Shows as: messages one side cannot read, arguments a function does not know, bugs that are fixed and still there.

    Fix: one image or one lock file for web and workers; restart the workers after each deploy.
    """
    neighbours = {node.name for node in ctx.fleet.nodes} - {node.name for node in ours(ctx)}
    told = {name: versions for name, versions in ctx.versions.items() if versions and name not in neighbours}
    first = next(iter(told), "")
    right = _ours(ctx.project) if ctx.project else dict(told.get(first, {}))
    whose = "the project has" if ctx.project else f"{safe(first)} has"
    for node, theirs_all in told.items():
        pairs = [(name, _version(name, theirs_all), _version(name, right)) for name in PACKAGES]
        differs = {PACKAGES[name]: (theirs, mine) for name, theirs, mine in pairs if theirs and mine and theirs != mine}
        if differs:
            yield warn(
                f"{safe(node)} runs {listed(f'{name} {theirs}' for name, (theirs, _) in differs.items())}; "
                f"{whose} {listed(mine for _, mine in differs.values())}",
                hint=f"install both from one lock file or image, then restart {safe(node)}",
                subject=safe(node),
                versions={name: list(pair) for name, pair in differs.items()},
            )


def _ours(project: Survey) -> dict[str, str]:
    return {**project.versions, "py": project.python}


def _version(name: str, versions: Mapping[str, str]) -> str:
    """A version as far as it matters: of Python, the minor one."""
    told = versions.get(name, "")
    return ".".join(told.split(".")[:2]) if name == "py" else told


@check("celery.settings", needs=["celery.workers", "celery.serializers"])
def settings(ctx: Context) -> Iterator[Finding]:
    """The workers run with the project's settings.

    Cause: web and worker load different settings modules or environments, or the worker was not restarted after a
    change.

    Shows as: messages the worker refuses, tasks that call others inline (EAGER in the worker), memory that grows with
    every query (DEBUG), other redelivery times than planned, an ETA that comes hours late (timezone).

    Fix: the same environment for both; restart the worker.
    """
    project = project_of(ctx)
    for node in ours(ctx):
        yield from _refusing(ctx, node, project)
        started = started_otherwise(ctx).get(node.pid)
        why = (
            f"; it was started with {started_with(started.config, started.module)}"
            if started and started.config
            else ""
        )
        for problem, hint in _odd_settings(node, project):
            yield warn(f"{safe(node.name)} {problem}{why}", hint=hint, subject=safe(node.name))
        process = ctx.pools.get(node.pid)
        if process is not None and process.user == 0 and "pickle" in str(node.conf.get("accept_content", "")):
            yield warn(
                f"{safe(node.name)} accepts pickle and runs as root: whoever can write to the broker is root",
                hint="accept_content = ['json'], and a user of its own",
                subject=safe(node.name),
            )


def _refusing(ctx: Context, node: Node, project: Survey) -> Iterator[Finding]:
    """A worker that drops what the project's producers write by default."""
    written = str(project.conf.get("task_serializer") or "json")
    queues = [queue for queue in node.queues if queue in declared(project)]
    accepted = accepted_content(ctx.fleet, queues[0], project) if queues else frozenset()
    if queues and CONTENT_TYPES.get(written, written) not in accepted:
        yield fail(
            f"the project writes {safe(written)}, which {safe(node.name)} refuses and drops",
            hint=f"add {safe(written)} to the worker's accept_content, or write one of: {', '.join(sorted(accepted))}",
            subject=safe(node.name),
        )


def _odd_settings(node: Node, project: Survey) -> Iterator[tuple[str, str]]:
    if node.conf.get("task_always_eager"):
        yield "runs tasks inline that its tasks send (task_always_eager)", "remove it from the worker's settings"
    if node.conf.get("debug") and not project.django.get("DEBUG", True):
        yield (
            "runs with DEBUG, the project does not: Django keeps every query in memory",
            "DEBUG = False for the worker",
        )
    module = node.conf.get("settings_module")
    if module and project.settings_module and module != project.settings_module:
        yield f"loads {safe(module)}, the project {project.settings_module}", "the same DJANGO_SETTINGS_MODULE for both"
    theirs, ours = (_visibility(conf) for conf in (node.conf, project.conf))
    if theirs != ours and node.conf:
        yield f"redelivers after {theirs} s, the project says {ours} s", "the same broker_transport_options for both"

    yield from _other_zone(node, project)
    yield from _differing(node, project)


def _other_zone(node: Node, project: Survey) -> Iterator[tuple[str, str]]:
    """A worker reads a naive eta in its own zone (`celery.worker.request.Request`), whatever the sender's is.

    It does not tell what Django's defaults say, nor under which name a namespace that is not CELERY has it.
    """
    silent = "timezone" not in node.conf and (node.conf.get("settings_module") or project.extra.get("deprecated"))
    if not node.conf or silent or project.extra.get("namespace") not in {None, "", "CELERY"}:
        return
    theirs, ours = _zone(node.conf), _zone(project.conf)
    if theirs and ours and theirs != ours:
        yield (
            f"has timezone = {theirs!r}, the project {ours!r}: an eta without a zone means another moment there",
            _SAME,
        )


def _zone(conf: Mapping[str, Any]) -> str | None:
    """The zone's name as `Celery.timezone` has it; None for the machine's own, and for one that is an object."""
    name = conf.get("timezone") or ("UTC" if conf.get("enable_utc", True) else None)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][\w+-]*(/[\w+-]+)*", name):
        return None
    return "UTC" if name in _UTC else name


_UTC = ("UTC", "Etc/UTC", "Etc/Universal", "Etc/Zulu", "GMT", "Etc/GMT", "UCT", "Etc/UCT", "Universal", "Zulu", "utc")


def _differing(node: Node, project: Survey) -> Iterator[tuple[str, str]]:
    """Settings that must agree. A worker tells what is not Celery's default, under the names its settings use."""
    for name, (default, consequence) in COMPARED.items() if node.conf else ():
        if name not in node.conf and project.extra.get("deprecated"):
            continue
        theirs, ours = (conf.get(name, default) for conf in (node.conf, project.conf))
        if theirs != ours and all(_plain(value) for value in (theirs, ours)):
            yield f"has {name} = {safe(repr(theirs)[:60])}, the project {safe(repr(ours)[:60])}: {consequence}", _SAME


_SAME = "the same settings and environment for both; then restart the worker"


def _plain(value: object) -> bool:
    """Whether a value means the same however it was written down; a timedelta does not."""
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and value.isidentifier())


def _visibility(conf: Mapping[str, Any]) -> int:
    options = conf.get("broker_transport_options")
    return int((options.get("visibility_timeout") if isinstance(options, Mapping) else None) or 3600)
