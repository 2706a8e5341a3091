"""Which Redis does what in this system: broker, result store, channel layer, as flags and the project declare them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intelli_checks.dsn import Dsn
from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import redis_rights, redis_sentinel
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.resp import Connection, DialError
from intelli_checks.probes.survey import LayerDecl, Survey
from intelli_checks.probes.told import mapping
from intelli_checks.target import Place
from intelli_checks.text import safe

if TYPE_CHECKING:
    from intelli_checks.context import Context

APP = "celery.app"
"""The check that explains why a project could not tell."""
_REQUIREMENTS = {0: "none", 1: "optional", 2: "required"}


def broker(ctx: Context) -> Endpoint:
    """The broker: `--broker` or what the project effectively uses; raises Skip when that is not a Redis."""
    if given := ctx.target.broker:
        survey = _optional_survey(ctx) if given.tls or given.transport == "sentinel" else None
        return _broker(given, survey, guessed=survey is None)
    survey = _survey(ctx, "the broker")
    if survey.broker is None:
        raise Skip("the project declares no broker", because=APP if survey.errors else None)
    if fell_back(survey):
        raise _fell_back(survey.broker)
    return _seen_from(_via(ctx, survey), _broker(survey.broker, survey, guessed=False))


def results(ctx: Context) -> Endpoint:
    """The result store; raises Skip when results are off or kept elsewhere."""
    if given := ctx.target.results:
        return _results(given, _optional_survey(ctx) if given.tls or given.transport == "sentinel" else None)
    survey = _survey(ctx, "the result store")
    if survey.results is None:
        raise Skip("the project keeps no results", because=APP if survey.errors else None)
    return _seen_from(_via(ctx, survey), _results(survey.results, survey))


def channels(ctx: Context) -> tuple[Endpoint, ...]:
    """Every Redis of the channel layers; raises Skip when no layer uses one."""
    if given := ctx.target.layer:
        return (
            Endpoint(
                "channels",
                given,
                "CHANNEL_LAYERS",
                rehearsal=redis_rights.channels_core(),
                guessed=True,
                in_container=_in_container(),
            ),
        )
    survey = _survey(ctx, "the channel layer")
    via = _via(ctx, survey)
    found = [
        _seen_from(via, _layer(survey, layer, host))
        for layer in survey.layers
        for host in layer.hosts
        if _on_redis(layer) and not layer.problem
    ]
    if found:
        return tuple(found)
    if any(layer.problem for layer in survey.layers):  # where it would end up is not where it is meant to be
        raise Skip("the channel layer cannot be built as declared", because="channels.layer")
    if survey.layers:
        raise Skip(f"the channel layer is not on Redis: {', '.join(layer.backend for layer in survey.layers)}")
    raise Skip("the project has no channel layer", because=APP if survey.errors else None)


def fell_back(survey: Survey) -> bool:
    """Whether the broker is Celery's AMQP default, which nobody chose, in a project that runs on Redis."""
    dsn = survey.broker
    if dsn is None or dsn.transport not in {"amqp", "pyamqp", "librabbitmq"}:
        return False
    configured = str(survey.conf.get("broker_url") or "")
    if configured:
        return "://" not in configured
    on_redis = bool(survey.results and survey.results.is_redis) or any(_on_redis(layer) for layer in survey.layers)
    return on_redis or "redis" in survey.versions


def _fell_back(dsn: Dsn) -> Unavailable:
    return Unavailable(
        f"the effective broker is {dsn}: Celery's fallback for an empty broker URL or one without a scheme",
        hint="set CELERY_BROKER_URL=redis://HOST:6379/0 where this process starts, scheme included",
        subject="broker",
        cause="celery.broker_url",
        kind="amqp-fallback",
    )


def _broker(dsn: Dsn, survey: Survey | None, *, guessed: bool) -> Endpoint:
    conf = survey.conf if survey else {}
    options = mapping(conf.get("broker_transport_options"))
    prefix = str(options.get("global_keyprefix") or "")
    queues = [queue.name for queue in survey.queues] if survey else []
    url, tls = secured(dsn, conf)
    endpoint = Endpoint(
        "broker",
        url,
        "CELERY_BROKER_URL",
        tls,
        redis_rights.broker(queues or ["celery"], dsn.database, prefix),
        in_container=_in_container(survey),
        guessed=guessed,
        keyprefix=prefix,
        master=options.get("master_name"),
        sentinel_login=mapping(options.get("sentinel_kwargs")),
    )
    return _redis_only(endpoint)


def _results(dsn: Dsn, survey: Survey | None) -> Endpoint:
    conf = survey.conf if survey else {}
    options = mapping(conf.get("result_backend_transport_options"))
    use_ssl = conf.get("redis_backend_use_ssl")
    if survey and dsn.transport == "redis" and dsn.tls and "ssl_cert_reqs" not in dsn.options and not use_ssl:
        raise _needs_requirement(dsn)
    prefix = str(options.get("global_keyprefix") or "")
    endpoint = Endpoint(
        "results",
        _encrypted(dsn, use_ssl),
        "CELERY_RESULT_BACKEND",
        _tls(dsn, use_ssl, role="results"),
        redis_rights.results(prefix),
        in_container=_in_container(survey),
        guessed=survey is None,
        keyprefix=prefix,
        master=options.get("master_name"),
        sentinel_login=mapping(options.get("sentinel_kwargs")),
    )
    return _redis_only(endpoint)


def _layer(survey: Survey, layer: LayerDecl, host: Dsn) -> Endpoint:
    prefix = layer.prefix
    pubsub = "pubsub" in layer.backend.lower()
    rehearsal = redis_rights.channels_pubsub(prefix) if pubsub else redis_rights.channels_core(prefix)
    return Endpoint(
        "channels",
        host,
        f"CHANNEL_LAYERS[{layer.alias!r}]",
        rehearsal=rehearsal,
        in_container=_in_container(survey),
        master=_master_name(layer, host),
    )


def _master_name(layer: LayerDecl, host: Dsn) -> str | None:
    options = dict(zip(layer.hosts, layer.options, strict=False)).get(host, {})
    return options.get("master_name") or layer.config.get("master_name")


def _via(ctx: Context, survey: Survey) -> Place | None:
    """The place whose URLs these are, when they hold only there; its own answers say how it is called."""
    return next((place for place in ctx.target.places if place.name == survey.place and place.remote), None)


def _seen_from(via: Place | None, endpoint: Endpoint) -> Endpoint:
    """`endpoint` dialled from `via`; certificate files that exist only there cannot be checked from here."""
    if via is None:
        return endpoint
    given = {**endpoint.dsn.options, **endpoint.tls}
    files = [name for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile") if given.get(name)]
    missing = {name: "" for name in files if not Path(given[name]).exists()}
    tls = {**endpoint.tls, **missing, "ssl_cert_reqs": "none"} if missing else endpoint.tls
    return replace(endpoint, via=via, tls=tls)


def _needs_requirement(dsn: Dsn) -> Unavailable:
    return Unavailable(
        f"{dsn.address}: rediss:// result backend without ssl_cert_reqs: Celery raises ValueError at first use",
        hint="append ?ssl_cert_reqs=CERT_REQUIRED (and &ssl_ca_certs=/path/ca.pem for your own authority)",
        subject=f"results {dsn.address}/{dsn.database}",
        kind="ssl-cert-reqs",
    )


def _redis_only(endpoint: Endpoint) -> Endpoint:
    """`endpoint` if it is a Redis, with sentinels asked for the master when it is dialled."""
    dsn = endpoint.dsn
    if dsn.is_redis:
        return endpoint
    what = dsn.raw.partition(":")[0]
    if "://" not in dsn.raw and what not in _WITHOUT_SLASHES:
        raise Unavailable(
            f"the URL of the {endpoint.role} has no scheme, so Celery does not know what it is",
            hint=f"write it in full in {endpoint.setting}: redis://HOST:6379/0",
            subject=endpoint.role,
            kind="no-scheme",
        )
    raise Skip(f"the {endpoint.role} is on {safe(what)}, not on Redis")


_WITHOUT_SLASHES = frozenset({"rpc", "django-db", "django-cache", "disabled", "cache", "cache+memory"})


def _survey(ctx: Context, what: str) -> Survey:
    try:
        return ctx.survey
    except Skip as reason:
        raise Skip(f"{what} is not known: {reason}", because=reason.because) from reason
    except Unavailable as outage:
        raise Skip(f"{what} is known only to the project, which could not be asked", because=APP) from outage


def _optional_survey(ctx: Context) -> Survey | None:
    """The survey for options beside the URL; a project that cannot tell must not hide a broker that was named."""
    try:
        return ctx.survey
    except (Skip, Unavailable, TimeoutError):
        return None


def secured(broker: Dsn, conf: Mapping[str, Any]) -> tuple[Dsn, dict[str, str]]:
    """The broker's URL and TLS options as kombu uses them, `broker_use_ssl` taken into account."""
    use_ssl = conf.get("broker_use_ssl")
    return _encrypted(broker, use_ssl), _tls(broker, use_ssl, role="broker")


def _encrypted(dsn: Dsn, use_ssl: object) -> Dsn:
    """Kombu encrypts a redis:// URL too when `broker_use_ssl` carries options."""
    if isinstance(use_ssl, Mapping) and dsn.scheme == "redis":
        return Dsn(dsn.raw.replace("redis://", "rediss://", 1))
    return dsn


def _tls(dsn: Dsn, use_ssl: object, *, role: str) -> dict[str, str]:
    """TLS options as the driver will see them; values given as `ssl.CERT_*` arrive as numbers."""
    options = {str(name): _option(value) for name, value in mapping(use_ssl).items()}
    if role == "broker" and dsn.tls and not options and not any(name.startswith("ssl_") for name in dsn.options):
        options["ssl_cert_reqs"] = "none"  # kombu.connection: rediss without options is not verified
    return options


def _option(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return _REQUIREMENTS.get(value, str(value))
    return str(value).rpartition(".")[2] if str(value).startswith("VerifyMode.") else str(value)


def _on_redis(layer: LayerDecl) -> bool:
    return "channels_redis" in layer.backend or "redis" in layer.backend.lower()


def _in_container(survey: Survey | None = None) -> bool:
    """Whether the project's process is in a container: then localhost is the container, not its host."""
    if survey and "container" in survey.extra:
        return bool(survey.extra["container"])
    return Path("/.dockerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ


def dial(endpoint: Endpoint, timeout: float) -> Endpoint:
    """`endpoint` itself, or the master its sentinels name, or whom kombu moves on to in a list of brokers."""
    if endpoint.dsn.transport == "sentinel":
        return redis_sentinel.master(endpoint, timeout)
    members = endpoint.dsn.members
    return _first_that_answers(endpoint, members, timeout) if len(members) > 1 else endpoint


def _first_that_answers(endpoint: Endpoint, members: Sequence[Dsn], timeout: float) -> Endpoint:
    """They are tried in order (Celery user guide, `broker_failover_strategy`); where none answers, it is the first."""
    for position, member in enumerate(members):
        with suppress(DialError), Connection.open(member, timeout / len(members), tls=endpoint.tls, via=endpoint.via):
            return replace(endpoint, dsn=member, passed_over=tuple(one.address for one in members[:position]))
    return replace(endpoint, dsn=members[0])
