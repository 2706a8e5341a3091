"""From what an interpreter told to the Survey everybody reads: URLs become Dsns, other secrets are masked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from intelli_checks.dsn import Dsn
from intelli_checks.model import OutOfTime, Skip, Unavailable
from intelli_checks.probes import interview
from intelli_checks.probes.interview import Answer
from intelli_checks.probes.survey import Audit, LayerDecl, QueueDecl, Survey, TaskDecl
from intelli_checks.target import Place, Target
from intelli_checks.text import MASK, SECRET_NAME, remember_secret, safe

ESSENTIAL = ("interpreter", "project", "settings", "app", "celery")
"""Stages without which nothing can be judged."""
PATIENCE = 5.0
"""Seconds below which nothing is said to hang: a busy machine takes three to import a large project."""
WORKING = 0.05
"""Share of a core above which an import goes on: one that waits for something takes none."""
ENOUGH = 60
"""Seconds in which any project is imported."""
_DOING = {
    "interpreter": "starting the project's interpreter",
    "project": "finding the project",
    "settings": "importing the settings",
    "app": "importing the Celery app",
    "celery": "reading the Celery configuration",
    "drivers": "importing the drivers of broker and result store",
    "tasks": "importing the task modules",
    "django": "reading the Django settings",
    "layers": "importing the channel layer",
    "asgi": "importing the ASGI application",
    "exchange": "talking through the channel layer",
    "reach": "connecting to the broker",
    "blocked": "sending a message to the broker",
    "workers": "asking the workers",
    "queues": "asking for the queues",
    "usage": "reading the project's source",
    "system checks": "running Django's system checks",
    "migrations": "looking for unapplied migrations",
    "deploy checks": "running Django's deployment checks",
}


def ask_all(target: Target, purpose: str, timeout: float, **more: object) -> Iterator[tuple[Place, Answer]]:
    """Hold the interview at every place at once; answers come in the order of the places. `more` is asked as well."""
    if not target.places:
        raise Skip("no project here: only what URLs can tell is checked")
    limit = timeout - min(0.5, 0.1 * timeout)  # the answer must be judged before the run's own deadline
    outcomes: dict[str, Answer | OSError] = {}

    def ask(place: Place) -> None:
        try:
            outcomes[place.name] = interview.ask(place, {**request(target, place, purpose), **more}, limit)
        except OSError as error:
            outcomes[place.name] = error

    threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in target.places]
    for thread in threads:
        thread.start()
    for place, thread in zip(target.places, threads, strict=True):
        thread.join()
        outcome = outcomes[place.name]
        if isinstance(outcome, OSError):
            raise _not_started(place, outcome)
        yield place, _heard(place, outcome)


def request(target: Target, place: Place, purpose: str) -> dict[str, Any]:
    """What a place is asked; names found by looking at local files are no order to a container, which has its own."""

    def known(name: str, value: str | None) -> str | None:
        return None if place.remote and target.origins.get(name, "").startswith("found") else value

    return {
        "purpose": purpose,
        "place": place.name,
        "settings": known("settings", target.settings),
        "app": known("app", target.app),
        "detect": place.remote or not (target.settings or target.app),
    }


def _not_started(place: Place, error: OSError) -> Unavailable:
    return Unavailable(
        f"{safe(place.argv[0])} cannot be started: {error.strerror or error}",
        hint="name the project's interpreter with --python, or the way to it with --via",
        subject=_subject(place),
    )


def _heard(place: Place, answer: Answer) -> Answer:
    """`answer` if it holds the essential; what is missing at the end becomes an error of its stage."""
    if not answer.stages:
        late = answer.seconds < PATIENCE and _ended_by_us(answer) and not answer.stderr.strip()
        raise (OutOfTime if late else Unavailable)(
            f"{safe(' '.join(place.argv))} said nothing about the project: {_last_words(answer)}",
            hint=_LONGER if late else f"try it yourself: {safe(' '.join(place.argv))} -c 'print(1)'",
            subject=_subject(place),
        )
    if answer.ended:
        return answer
    stopped = _stopped(answer)
    if answer.stages[-1] in ESSENTIAL:
        raise (OutOfTime if stopped["type"] == OutOfTime.__name__ else Unavailable)(
            stopped["message"], hint=stopped["hint"], subject=_subject(place), seconds=round(answer.seconds, 1)
        )
    answer.errors.append(stopped)
    return answer


def _stopped(answer: Answer) -> dict[str, Any]:
    """The stage that never came to its end, as an error: it hung, or the interpreter died."""
    stage = answer.stages[-1]
    doing = _DOING.get(stage, stage)
    error: dict[str, Any] = {"step": stage, "type": "Timeout", "file": None, "line": None, "module": None}
    late = _ended_by_us(answer) or interview.TIMEOUT in answer.stderr
    # One that died while it told where it stood, for threads that ran on, was not in the last place it names.
    where = interview.hang(answer.stderr) if (answer.returncode or -9) in {1, -9} else None
    if where:
        inside = f", waiting in {where.inside}" if where.inside else ""
        error.update(file=where.file, line=where.line)
        at = f"at {where.file}:{where.line} in {where.function}{inside}"
        if answer.seconds < PATIENCE or (answer.share or 0.0) > WORKING:
            error["type"] = OutOfTime.__name__
            error["message"] = f"{doing} was not done after {answer.seconds:.1f} s; it was {at}"
            error["hint"] = _LONGER
        else:
            error["message"] = f"{doing} hangs {at}"
            error["hint"] = "modules must not connect, wait or compute while they are imported: move it into a function"
    elif late:
        error["type"] = OutOfTime.__name__
        error["message"] = f"{doing} was not done after {answer.seconds:.1f} s"
        error["hint"] = f"{_LONGER}; what is slow: python -X importtime"
    else:
        error["type"] = "Exit"
        error["message"] = f"{doing} ended the interpreter (exit code {answer.returncode}): {_last_words(answer)}"
        error["hint"] = "import the project by hand to see it happen: python -X faulthandler manage.py check"
    return error


_LONGER = f"give it longer: intelli-ops check --timeout {ENOUGH}"


def _subject(place: Place) -> str:
    """The place's name, where it tells the reader more than that it is this machine."""
    return place.name if place.remote else ""


def _ended_by_us(answer: Answer) -> bool:
    return answer.returncode in {None, -9}


def _last_words(answer: Answer) -> str:
    lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
    if lines:
        return safe(lines[-1])[:300]
    if _ended_by_us(answer):
        return f"no answer after {answer.seconds:.1f} s"
    return f"exit code {answer.returncode}, no message"


# -- facts ------------------------------------------------------------------------------------------------------------


def survey(place: Place, answer: Answer) -> Survey:
    """The Survey `answer` amounts to. Nothing in it can print a secret."""
    facts = answer.facts
    urls = {name: _dsn(facts.get(name)) for name in ("broker", "results", "broker_configured")}
    layers = tuple(_layer(layer) for layer in facts.get("layers", ()))
    facts = redact(facts)
    return Survey(
        place=place.name,
        project=facts.get("root", ""),
        python=facts.get("python", ""),
        versions=facts.get("versions", {}),
        settings_module=facts.get("settings_module"),
        celery_app=facts.get("celery_app"),
        broker=urls["broker"],
        results=urls["results"],
        conf=facts.get("conf", {}),
        conf_changed=tuple(facts.get("conf_changed", ())),
        queues=tuple(_queue(queue, facts.get("queue_policies", {})) for queue in facts.get("queues", ())),
        tasks=tuple(TaskDecl(**task) for task in facts.get("tasks", ())),
        beat=facts.get("beat", {}),
        layers=layers,
        django=facts.get("django", {}),
        websocket_routes=tuple(facts.get("websocket_routes", ())),
        errors=(*redact(answer.errors), *facts.get("task_imports", ())),
        extra={name: facts[name] for name in _EXTRA if name in facts},
    )


_EXTRA = (
    "app_name", "executable", "platform", "hostname", "uid", "container", "settings_file",
    "settings_defaults", "main", "module", "exposed", "namespace", "config_source", "deprecated",
    "broker_configured", "broker_refused", "driver_wanted", "overriding", "results_backend", "beat_replaced", "eager",
    "beat_refused", "foreign_pool", "sent_on_commit", "broker_source", "results_source", "environment_read",
    "settings_names", "option_names", "root_refused", "shared_tasks", "task_modules_left_out",
    "asgi_application", "asgi_protocols", "asgi_opaque", "asgi_early", "listening", "usage", "usage_complete",
)  # fmt: skip


def audit(place: Place, answer: Answer) -> Audit:
    """The Audit `answer` amounts to."""
    facts = redact(answer.facts)
    return Audit(
        place=place.name,
        system_checks=tuple(facts.get("system_checks", ())),
        deploy_checks=tuple(facts.get("deploy_checks", ())),
        migrations=facts.get("migrations", {}),
        schedule=facts.get("schedule", {}),
        caches=facts.get("caches", {}),
        errors=tuple(redact(answer.errors)),
    )


def redact(value: Any, name: str = "") -> Any:
    """`value` without secrets: masked under telling names, credentials cut out of URLs, control characters visible."""
    if isinstance(value, str):
        if SECRET_NAME.search(name) and value:
            remember_secret(value)
            return MASK
        return safe(value)
    if isinstance(value, Mapping):
        return {safe(key): redact(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item, name) for item in value]
    return value


def _dsn(url: Any) -> Dsn | None:
    return Dsn(url) if isinstance(url, str) and "://" in url else None


def _queue(told: Mapping[str, Any], policies: Mapping[str, Any]) -> QueueDecl:
    policy = policies.get(told["name"]) or {}
    return QueueDecl(told["name"], told["exchange"], told["exchange_type"], told["routing_key"], policy)


def _layer(told: Mapping[str, Any]) -> LayerDecl:
    return LayerDecl(
        alias=told["alias"],
        backend=told["backend"],
        hosts=tuple(Dsn(host["url"]) for host in told["hosts"]),
        config=redact(told["config"]),
        options=tuple(redact(host["options"]) for host in told["hosts"]),
        problem=safe(told.get("import_error") or told.get("hosts_error") or "") or None,
    )
