"""Why the way to a Redis broke, in words, with the command that helps: DialError in, Unavailable out."""

from __future__ import annotations

import sys
from collections.abc import Callable

from intelli_checks.dsn import LOOPBACK
from intelli_checks.model import Unavailable
from intelli_checks.probes.redis_replies import Place, Words, by_reply
from intelli_checks.probes.resp import DialError
from intelli_checks.text import safe


def explain(error: DialError, place: Place) -> Unavailable:
    """The outage for people. `kind` among its facts names the fault; `step` where the way broke."""
    kind, message, hint = _diagnose(error, place)
    return Unavailable(
        message,
        hint=hint,
        subject=place.subject,
        kind=kind,
        step=error.step,
        url=str(place.dsn),
        evidence=safe(error.detail),
    )


def _diagnose(error: DialError, place: Place) -> Words:
    if said := by_reply(error.detail, place):
        return said
    return _BY_STEP[error.step](error, place)


def _resolve(error: DialError, place: Place) -> Words:
    host = place.dsn.host
    if "in time" in error.detail:
        return (
            "dns-stall",
            f"the name server does not answer for {host!r}",
            f"getent hosts {host}; cat /etc/resolv.conf",
        )
    hint = f"getent hosts {host}   # then correct the host in {place.setting}; in compose: the service's name"
    return "dns", f"the name {host!r} does not resolve ({error.detail})", hint


def _connect(error: DialError, place: Place) -> Words:
    dsn, detail = place.dsn, error.detail
    if dsn.unix_path:
        return "socket", f"the socket cannot be opened ({detail})", f"ls -l {dsn.unix_path}; {place.cli} ping"
    if "refused" in detail.lower():
        named = ", and the sentinels still name it as the master" if place.sentinels else ""
        return "refused", f"refused: nothing listens there{named}", _start(place)
    if "reset" in detail.lower():
        return _hangs_up(place, reset=True)
    if "timed out" in detail:
        hint = f"nc -vz -w 3 {dsn.host} {dsn.port}   # firewall, security group, wrong address?"
        return "connect-timeout", "no answer to the connection attempt: packets are dropped on the way", hint
    return "connect", f"no connection ({detail})", f"nc -vz -w 3 {dsn.host} {dsn.port}"


def _start(place: Place) -> str:
    host, ping = place.dsn.host, f"{place.cli} ping"
    if place.sentinels:
        return f"{place.sentinels}   # no failover? SENTINEL FAILOVER; or start the server, then: {ping}"
    if host not in LOOPBACK:
        return f"start the server on {host}; then: {ping}"
    here = f"redis-server --port {place.dsn.port} --daemonize yes && {ping}"
    if place.in_container:
        return f"{here}   # in a container {host} is the container itself: is Redis another service?"
    if place.dsn.port != 6379:
        return here  # a service of the system listens on its own port
    start = "brew services start redis" if sys.platform == "darwin" else "sudo systemctl start redis-server"
    return f"{start} && {ping}"


def _tls(error: DialError, place: Place) -> Words:
    detail, setting = error.detail, place.setting
    if word := _certificate(detail.lower(), place):
        return word
    kind, said = place.look()
    if kind == "plain":
        return (
            "tls-on-plain-port",
            f"the URL asks for TLS (rediss://) and this port speaks plain Redis ({said})",
            f"write redis:// in {setting}, or use the server's TLS port",
        )
    if reason := by_reply(said, place):
        return reason
    return "tls", f"the TLS handshake failed ({detail})", f"{_openssl(place)} -text"


def _certificate(detail: str, place: Place) -> Words | None:
    setting = place.setting
    if "mismatch" in detail or "not valid for" in detail:
        return (
            "tls-name",
            f"the certificate is for another name ({detail})",
            f"use the name in the certificate as host of {setting}; see: {_openssl(place)} -text",
        )
    if "expired" in detail or "not yet valid" in detail:
        return "tls-expired", f"the certificate is out of date ({detail})", f"renew it; see: {_openssl(place)} -dates"
    if "certificate files" in detail:
        return "tls-files", detail, f"correct ssl_ca_certs / ssl_certfile / ssl_keyfile of {setting}"
    if any(word in detail for word in ("self-signed", "self signed", "issuer", "verify")):
        return (
            "tls-untrusted",
            f"the certificate is not trusted ({detail})",
            f"add the authority's file: ?ssl_cert_reqs=required&ssl_ca_certs=/path/ca.pem at the end of {setting}",
        )
    return None


def _openssl(place: Place) -> str:
    where = f"{place.dsn.host}:{place.dsn.port}"
    return f"openssl s_client -connect {where} </dev/null | openssl x509 -noout"


def _silent(error: DialError, place: Place) -> Words:
    if error.detail.startswith("only "):
        return (
            "drip",
            f"answers so slowly that no reply is ever complete ({error.detail})",
            f"timeout 3 {place.cli} ping   # a link that loses packets, or a proxy between?",
        )
    kind, said = place.look()
    if kind == "tls":
        return _speaks_tls(place)
    if kind == "speaks":
        return by_reply(said, place) or _not_redis(said, place)
    owner = place.owner()
    look = f"timeout 3 {place.cli} ping"
    return (
        "silent",
        f"accepts the connection and does not answer: {owner or 'frozen, blocked, or not a Redis'}",
        f"kill -CONT {owner.pid}; {look}"
        if owner and owner.stopped
        else f"{look}   # on its machine: stopped, or at 100% CPU? If paused: CLIENT UNPAUSE",
    )


def _closed(error: DialError, place: Place) -> Words:
    kind, said = place.look()
    if kind == "tls":
        return _speaks_tls(place)
    if kind == "speaks":
        return by_reply(said, place) or _not_redis(said, place)
    # TLS 1.3 tells it after the handshake, and a server that hangs up at once may lose its own alert: what is left
    # then is an end in the middle of a TLS session.
    if "certificate required" in error.detail or "EOF occurred in violation" in error.detail:
        return (
            "tls-client-certificate",
            "the server wants a client certificate: it ends the session right after the TLS handshake",
            f"add ssl_certfile and ssl_keyfile to {place.setting}",
        )
    return _hangs_up(place, reset="reset" in error.detail.lower())


def _hangs_up(place: Place, *, reset: bool) -> Words:
    word = "resets" if reset else "closes"
    hint = f"{place.cli} ping   # a proxy or a load balancer without a backend, or a port of something else?"
    return ("reset" if reset else "closed"), f"accepts the connection and {word} it at once", hint


def _speaks_tls(place: Place) -> Words:
    return (
        "plain-on-tls-port",
        "the URL is plain (redis://) and this port speaks TLS",
        f"write rediss:// in {place.setting}, with ?ssl_cert_reqs=required&ssl_ca_certs=/path/ca.pem",
    )


def _protocol(error: DialError, place: Place) -> Words:
    if "\\x15\\x03" in error.detail:
        return _speaks_tls(place)
    return _not_redis(error.detail, place)


def _not_redis(said: str, place: Place) -> Words:
    what = next((name for mark, name in _KNOWN if mark in said), "not a Redis")
    first = said.removeprefix("not a Redis reply: ").splitlines()[0][:60] if said else ""
    return (
        "not-redis",
        f"what listens there is {what}: it says {first!r}",
        f"correct host and port in {place.setting}; who listens: ss -ltnp 'sport = :{place.dsn.port}'",
    )


_KNOWN = (
    ("HTTP/", "an HTTP server"),
    ("SSH-", "an SSH server"),
    ("AMQP", "a RabbitMQ (AMQP)"),
    ("ESMTP", "a mail server"),
    ("mysql", "a MySQL"),
    ("memcached", "a memcached"),
)


def _refused_step(error: DialError, place: Place) -> Words:
    if error.detail.startswith("BUSY "):
        return "busy-script", "a Lua script blocks the server", f"{place.cli} SCRIPT KILL"
    doing = "logging in" if error.step == "auth" else f"selecting database {place.dsn.database}"
    return error.step, f"{doing} was refused: {error.detail}", f"{place.cli}   # try it by hand"


_BY_STEP: dict[str, Callable[[DialError, Place], Words]] = {
    "resolve": _resolve,
    "connect": _connect,
    "tls": _tls,
    "silent": _silent,
    "closed": _closed,
    "protocol": _protocol,
    "auth": _refused_step,
    "select": _refused_step,
}
