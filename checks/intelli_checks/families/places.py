"""Do the places that must agree agree?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from intelli_checks import Finding, Skip, Stage, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families.declared import listed
from intelli_checks.probes.survey import Survey
from intelli_checks.text import safe


def _database(survey: Survey) -> str:
    database = (survey.django.get("DATABASES") or {}).get("default") or {}
    engine = str(database.get("ENGINE") or "").rpartition(".")[2]
    server = f"{database.get('HOST')}:{database.get('PORT') or ''}/" if database.get("HOST") else ""
    return f"{engine} {server}{database.get('NAME')}" if engine else ""


def _layer(survey: Survey) -> str:
    told = [
        f"{layer.backend.rpartition('.')[2]} at {', '.join(map(str, layer.hosts)) or '-'}" for layer in survey.layers
    ]
    return "; ".join(told)


def _layer_prefix(survey: Survey) -> str:
    return ", ".join(layer.prefix for layer in survey.layers)


def _layer_keys(survey: Survey) -> str:
    return ", ".join(str(layer.config.get("encryption") or "none") for layer in survey.layers)


def _key_prefix(survey: Survey) -> str:
    return str((survey.conf.get("broker_transport_options") or {}).get("global_keyprefix") or "")


def _results(survey: Survey) -> str:
    return str(survey.results or survey.extra.get("results_backend") or "")


def _media(survey: Survey) -> str:
    return str((survey.django.get("media") or {}).get("path") or "")


def _queue(survey: Survey) -> str:
    return str(survey.conf.get("task_default_queue") or "")


NAMED_BY_URL = frozenset({"broker", "results"})
"""What is one where the servers are, whatever the URLs say."""
Told = Callable[[Survey], object]
MUST_AGREE: tuple[tuple[str, Told, str], ...] = (
    ("broker", lambda survey: survey.broker or "", "what one sends the other never sees"),
    ("broker key prefix", _key_prefix, "what one sends the other never sees"),
    ("EAGER mode", lambda survey: "on" if survey.eager else "off", "one of them never sends a task"),
    ("results", _results, "results stored by one are PENDING for the other"),
    ("channel layer", _layer, "events sent by one never reach sockets of the other"),
    ("channel layer prefix", _layer_prefix, "events sent by one never reach sockets of the other"),
    ("channel layer keys", _layer_keys, "events sent by one cannot be decrypted by the other"),
    ("database", _database, "rows written by one do not exist for the other"),
    ("default queue", _queue, "unrouted tasks wait where nobody looks"),
    ("task serializer", lambda survey: survey.conf.get("task_serializer") or "", "messages may be refused"),
)
SHOULD_AGREE: tuple[tuple[str, Told, str], ...] = (
    ("MEDIA_ROOT", _media, "files written by one are missing for the other, unless a volume joins them"),
    ("settings module", lambda survey: survey.settings_module or "", "they may run on different settings"),
    *(
        (f"version of {name}", lambda survey, name=name: survey.versions.get(name, ""), "protocols may differ")
        for name in ("celery", "kombu", "redis", "django", "channels", "channels-redis")
    ),
    ("Python", lambda survey: ".".join(survey.python.split(".")[:2]), "code may behave differently"),
)


@check("celery.places", stage=Stage.STATIC, needs=["celery.app"])
def places(ctx: Context) -> Iterator[Finding]:
    """Web and worker run on one configuration.

    Asks each `--via` the same questions and compares the answers: broker, key prefix, EAGER, results, channel layer,
    database, serializer, MEDIA_ROOT, versions. Two URLs of one Redis database are no difference: where they are not the
    same, each place's server is asked who it is.
    Cause: an environment file for one container only, a deploy that reached one half.
    Shows as: everything looks healthy at both places and nothing arrives. Fix: one source for both.
    Example: `intelli-ops check --via web="docker compose exec -T web" --via worker="docker compose exec -T worker"`
    finds redis://redis:6379/0 on one side and redis://redis:6379/2 on the other.
    """
    if len(ctx.surveys) < 2:
        raise Skip("one place only; compare with --via web=... --via worker=...")
    yield from compare(ctx.surveys, lambda subject: subject in ctx.one_server)


def compare(
    surveys: Mapping[str, Survey], one_server: Callable[[str], bool] = lambda _subject: False
) -> Iterator[Finding]:
    """What differs between the places, the worst first; two names of one server are told and are no fault."""
    for subject, told, consequence in MUST_AGREE:
        if values := _differing(surveys, told):
            if subject in NAMED_BY_URL and one_server(subject):
                yield info(f"{_listed(values)}: one server by several names", subject=subject, **_facts(values))
                continue
            hint = _overridden(surveys) if subject == "broker" else ""
            yield fail(_sentence(values, consequence), hint=hint or _hint(subject), subject=subject, **_facts(values))
    yield from _missing_tasks(surveys)
    for subject, told, consequence in SHOULD_AGREE:
        if values := _differing(surveys, told):
            yield warn(_sentence(values, consequence), hint=_hint(subject), subject=subject, **_facts(values))


def _differing(surveys: Mapping[str, Survey], told: Told) -> dict[str, str]:
    """What each place says, if they do not all say the same; a Dsn is compared whole and told without its password."""
    answers = {name: told(survey) for name, survey in surveys.items()}
    if all(answer == next(iter(answers.values())) for answer in answers.values()):
        return {}
    return {name: safe(answer) or "nothing" for name, answer in answers.items()}


def _missing_tasks(surveys: Mapping[str, Survey]) -> Iterator[Finding]:
    known = {name: {task.name for task in survey.tasks} for name, survey in surveys.items()}
    every = set().union(*known.values())
    for name, tasks in known.items():
        if missing := sorted(every - tasks):
            yield warn(
                f"{name} does not know what {' and '.join(other for other in known if other != name)} knows: "
                f"{listed(missing)}",
                hint=f"deploy the same code at {name}, then restart it",
                subject="registered tasks",
            )


def _sentence(values: Mapping[str, str], consequence: str) -> str:
    same = len(set(values.values())) < 2
    return f"{_listed(values)}{' (with different credentials)' if same else ''}: {consequence}"


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} has {value}" for name, value in values.items())


def _overridden(surveys: Mapping[str, Survey]) -> str:
    """The cause, where one place's environment replaces the broker its settings name."""
    for name, survey in surveys.items():
        if variable := overriding(survey):
            return f"unset {variable} at {name}, or set it to the same value at every place"
    return ""


def overriding(survey: Survey) -> str | None:
    """The environment variable that replaces the broker the settings name, if one does."""
    configured = survey.extra.get("broker_configured")
    if not configured or survey.broker is None:
        return None
    # The settings' URL comes without its password, and kombu's own answer without the options after "?".
    said = Dsn(str(configured))
    if (str(survey.broker), survey.broker.database) == (str(said), said.database):
        return None
    if said.is_redis and (survey.broker.server, survey.broker.database) == (said.server, said.database):
        return None  # this machine by its two names
    return next((name for name in survey.extra.get("overriding") or () if "BROKER" in name), None)


def _hint(subject: str) -> str:
    return f"give every place the same {subject}: one environment file, then restart them all"


def _facts(values: Mapping[str, str]) -> dict[str, Any]:
    return {"values": dict(values)}
