"""`intelli-ops probe live|ready|startup`: for Kubernetes, compose and load balancers.

Runs every few seconds on every host, so it imports neither Typer nor a driver: some 30 ms instead of the 400 to 1400 of
`celery inspect ping`. Exit codes: 0 yes, 1 no, 2 usage error.
"""

from __future__ import annotations

import os
import sys
import time

from intelli_ops import heartbeat

TYPE_CHECKING = False  # see heartbeat
if TYPE_CHECKING:
    import socket
    from typing import TypeAlias

    from intelli_ops.heartbeat import Question

    Verdict: TypeAlias = tuple[bool, str]

QUESTIONS = ("live", "ready", "startup")
USAGE = f"""\
usage: intelli-ops probe {{live,ready,startup}} [OPTIONS]
         [--heartbeat FILE | --node NAME | --url URL | --beat FILE]

Answer one probe: exit 0 yes, 1 no, 2 usage error.

options:
  --heartbeat FILE   a worker's own pulse; default: ${heartbeat.VARIABLE},
                     or {heartbeat.DEFAULT}
  --node NAME        worker@host: ask this one worker through the broker
  --url URL          HTTP address that answers 2xx when well
  --beat FILE        beat's schedule file, written while beat runs
  --broker URL       Redis URL; better in INTELLI_OPS_BROKER than here
  --timeout SECONDS  default: 2
  --max-age SECONDS  default: {heartbeat.MAX_AGE:g}
  -h, --help         this

examples:
  intelli-ops probe live
      the worker's own heartbeat (intelli_ops.bootsteps), no broker asked
  intelli-ops probe ready --node ai@host1
      ask that worker through the broker; nothing installed in it
  intelli-ops probe ready --url http://127.0.0.1:8000/health/ready
  intelli-ops probe live --beat celerybeat-schedule --max-age 400

The broker comes from INTELLI_OPS_BROKER or CELERY_BROKER_URL, so that no
password stands in the process list. Use live for livenessProbe, ready for
readinessProbe, startup for startupProbe. A liveness probe must not ask the
broker: a Redis outage would restart every worker.
"""
_SOURCES = ("--heartbeat", "--node", "--url", "--beat")
_LONGEST = 86400
_SECONDS = {"--timeout": 2.0, "--max-age": heartbeat.MAX_AGE}


class Wrong(Exception):
    """The command line cannot be understood; the message says where."""


class Options:
    """The command line. Taken apart by hand: argparse would cost a third of the time of a probe."""

    def __init__(self, arguments: list[str]) -> None:
        """Raises Wrong."""
        self.questions: list[str] = []
        self.texts: dict[str, str] = {}
        self.seconds = dict(_SECONDS)
        rest = iter(arguments)
        for word in rest:
            name, equals, value = word.partition("=")
            if not word.startswith("-"):
                self.questions.append(word)
            elif name in {*_SOURCES, *_SECONDS, "--broker"}:
                self._take(name, value if equals else next(rest, None))
            else:
                raise Wrong(f"unknown option {name}")
        if len(self.questions) != 1 or self.questions[0] not in QUESTIONS:
            raise Wrong("ask one of: live, ready, startup")
        if len(self.texts.keys() & {*_SOURCES}) > 1:
            raise Wrong(f"give only one of: {', '.join(_SOURCES)}")
        if "--broker" in self.texts and "--node" not in self.texts:
            raise Wrong("--broker is asked for one worker: name it with --node")

    @property
    def question(self) -> Question:
        return self.questions[0]  # type: ignore[return-value] # checked above

    def _take(self, name: str, value: str | None) -> None:
        if value is None:
            raise Wrong(f"{name} needs a value")
        if name not in _SECONDS:
            self.texts[name] = value
            return
        try:
            self.seconds[name] = float(value)
        except ValueError:
            raise Wrong(f"{name}: {value!r} is not a number of seconds") from None
        if not 0 < self.seconds[name] <= _LONGEST:
            raise Wrong(f"{name}: {value} is not between 0 and {_LONGEST} seconds")


def answer(arguments: list[str]) -> int:
    """Answer one probe on stdout; the exit code."""
    if {"-h", "--help"} & {*arguments}:
        sys.stdout.write(_printable(USAGE))
        return 0
    try:
        ok, reason = _ask(Options(arguments))
    except Wrong as error:
        sys.stderr.write(f"intelli-ops probe: {_printable(str(error))}; see intelli-ops probe --help\n")
        return 2
    except (OSError, ValueError) as error:
        ok, reason = False, str(error)
    sys.stdout.write(f"{'ok' if ok else 'NOT OK'}: {_printable(reason)}\n")
    return 0 if ok else 1


def _printable(reason: str) -> str:
    """What a URL or a server may have brought in is cleaned; most answers need no import for that."""
    if reason.isprintable() and "://" not in reason and "=" not in reason:
        return reason
    from intelli_checks.text import safe

    return safe(reason)


def _ask(options: Options) -> Verdict:
    timeout, max_age = options.seconds["--timeout"], options.seconds["--max-age"]
    if url := options.texts.get("--url"):
        return _web(url, timeout)
    if beat := options.texts.get("--beat"):
        return _beat(beat, max_age)
    if node := options.texts.get("--node"):
        return _node(node, options.question, options.texts.get("--broker"), timeout)
    return _heartbeat(heartbeat.location(options.texts.get("--heartbeat")), options.question, max_age)


def _heartbeat(path: str, question: Question, max_age: float) -> Verdict:
    try:
        pulse = heartbeat.read(path)
    except FileNotFoundError:
        return False, f"no heartbeat at {path}: has the worker started, with intelli_ops.bootsteps?"
    except (OSError, ValueError) as error:
        return False, f"{path} is no heartbeat: {getattr(error, 'strerror', '') or error}"
    return heartbeat.judge(pulse, question, max_age=max_age)


def _beat(path: str, max_age: float) -> Verdict:
    """Beat rewrites its schedule at least every `beat_sync_every` or 180 s (celery.beat.PersistentScheduler)."""
    age = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - see heartbeat.DEFAULT
    return age <= max_age, f"{path} written {age:.0f} s ago, limit {max_age:g} s"


def _web(url: str, timeout: float) -> Verdict:
    """One GET by hand: http.client alone would double the time of the probe. The status line is all that is read."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url}: a probe speaks plain http to a server nearby")
    deadline = time.monotonic() + timeout
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: intelli-ops\r\nConnection: close\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=timeout) as connection:
        connection.sendall(request.encode("ascii"))
        line = _first_line(connection, deadline)
    status = line.split(" ", 2)[1:2]
    if not line.startswith("HTTP/") or not status:
        return False, f"{url} does not speak HTTP"
    return status[0].startswith("2"), f"{url} answered {line}"


def _first_line(connection: socket.socket, deadline: float) -> str:
    head = b""
    while b"\r\n" not in head and len(head) < 4096:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = connection.recv(1024)
        if not chunk:
            break
        head += chunk
    return head.partition(b"\r\n")[0].decode("latin-1")


def _node(node: str, question: Question, broker: str | None, timeout: float) -> Verdict:
    """Ask one worker through its mailbox. Only for readiness in production: it fails whenever Redis does."""
    from intelli_checks.dsn import Dsn
    from intelli_checks.probes.layout import Layout
    from intelli_checks.probes.pidbox import ask
    from intelli_checks.probes.resp import Connection, DialError, ReplyError

    url = broker or os.environ.get("INTELLI_OPS_BROKER") or os.environ.get("CELERY_BROKER_URL")
    if not url:
        raise ValueError("no broker: set CELERY_BROKER_URL or INTELLI_OPS_BROKER")
    dsn = Dsn(url)
    if "://" not in url or not dsn.is_redis:
        raise ValueError(f"{dsn}: the broker wants a URL such as redis://127.0.0.1:6379/0")
    commands: dict[str, dict[str, object]] = {} if question == "live" else {"active_queues": {}}
    try:
        # The connection outlives the question, so that silence is reported as such and the reply queue is removed.
        with Connection.open(dsn, timeout + 1) as connection:
            said = ask(connection, Layout.of(dsn), commands, timeout=timeout, destination=[node])
    except (DialError, ReplyError) as error:
        return False, f"{dsn}: {error}"
    if not said.to("ping"):
        return False, f"{node} did not answer in {timeout:g} s (a busy solo worker does not either)"
    queues = [queue["name"] for _, body in said.to("active_queues") for queue in body or ()]
    if question != "live" and not queues:
        return False, f"{node} answers but consumes no queue"
    return True, f"{node} answered{_consuming(queues)}"


def _consuming(queues: list[str]) -> str:
    return f", consuming {', '.join(queues)}" if queues else ""
