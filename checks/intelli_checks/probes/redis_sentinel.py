"""Ask the sentinels of a `sentinel://` URL which Redis is the master now."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from intelli_checks.dsn import Dsn
from intelli_checks.model import Unavailable
from intelli_checks.probes import redis_replies
from intelli_checks.probes.redis import Endpoint
from intelli_checks.probes.redis_facts import redis_cli, text
from intelli_checks.probes.resp import Connection, DialError, Reply, ReplyError
from intelli_checks.text import safe


def master(endpoint: Endpoint, timeout: float) -> Endpoint:
    """`endpoint` pointed at the master; the first sentinel that knows it is believed, as kombu does.

    Raises Unavailable when no sentinel answers, or none knows a master of the configured name.
    """
    members = endpoint.dsn.members
    failures: list[str] = []
    for member in members:
        try:
            with Connection.open(
                _anonymous(member, endpoint), timeout / len(members), database=0, via=endpoint.via
            ) as sentinel:
                name = endpoint.master or _only_master(sentinel)
                found = sentinel.call("SENTINEL", "get-master-addr-by-name", name)
        except DialError as error:
            failures.append(f"{member.address}: {safe(error)}")
        except ReplyError as error:
            raise _refused(endpoint, member, str(error)) from error
        else:
            return _at(endpoint, member, name, found)
    raise Unavailable(
        f"no sentinel answers: {'; '.join(failures)}",
        hint=f"redis-cli -h {endpoint.dsn.host} -p {endpoint.dsn.port} SENTINEL MASTERS",
        subject=f"{endpoint.role} sentinels",
        kind="sentinels",
    )


def _only_master(sentinel: Connection) -> str:
    match sentinel.call("SENTINEL", "MASTERS"):
        case [[_, bytes(name), *_]]:
            return name.decode("utf-8", "surrogateescape")
    return "mymaster"


def _at(endpoint: Endpoint, member: Dsn, name: str, found: Reply) -> Endpoint:
    if not isinstance(found, list) or len(found) != 2:
        raise Unavailable(
            f"the sentinel at {member.address} knows no master called {name!r}",
            hint=f"redis-cli -h {member.host} -p {member.port} SENTINEL MASTERS   # then set master_name in the "
            "transport options",
            subject=f"{endpoint.role} sentinels",
            kind="master-unknown",
            master=name,
        )
    host, port = (text(part) for part in found)
    login = f"{quote(member.username or '', safe='')}:{quote(member.password, safe='')}@" if member.password else ""
    scheme = "rediss" if endpoint.tls else "redis"
    where = f"[{host}]" if ":" in host else host
    return replace(
        endpoint,
        dsn=Dsn(f"{scheme}://{login}{where}:{port}/{endpoint.dsn.database}"),
        sentinels=f"{redis_cli(_anonymous(member, endpoint))} SENTINEL CKQUORUM {safe(name)}",
    )


def _anonymous(member: Dsn, endpoint: Endpoint) -> Dsn:
    """The sentinel's own address; the URL's password is the master's, the sentinel's is in `sentinel_kwargs`."""
    password = endpoint.sentinel_login.get("password")
    user = str(endpoint.sentinel_login.get("username") or "")
    login = f"{quote(user, safe='')}:{quote(str(password), safe='')}@" if password else ""
    host = f"[{member.host}]" if ":" in member.host else member.host
    return Dsn(f"redis://{login}{host}:{member.port}")


def _refused(endpoint: Endpoint, member: Dsn, detail: str) -> Unavailable:
    if "unknown command" in detail.lower():
        kind, message = "not-sentinel", f"{member.address} is a Redis, not a sentinel (sentinels use port 26379)"
        hint = f"correct the port in {endpoint.setting}, or write redis:// to use it directly"
    else:
        place = redis_replies.Place(member, endpoint.setting, endpoint.subject)
        said = redis_replies.by_reply(detail, place)
        kind, message, hint = said or ("sentinel-refused", detail, f"{place.cli} SENTINEL MASTERS")
        message = f"sentinel {member.address}: {safe(message)}"
    return Unavailable(message, hint=hint, subject=f"{endpoint.role} sentinels", kind=kind)
