"""The reference system as services: Redis, migrations, web server, one worker per queue, the sweeper."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from intelli_checks.dsn import Dsn
from intelli_checks.fleet import Fleet, choose_pool, declared
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.resp import Connection, DialError, ReplyError
from intelli_checks.probes.survey import QueueDecl
from intelli_ops import embedded_redis
from intelli_ops.embedded_redis import RedisServer
from intelli_ops.ports import free_port
from intelli_ops.supervisor.child import Service
from intelli_ops.supervisor.nodes import Node
from intelli_ops.supervisor.readiness import page_answers, redis_answers
from intelli_ops.supervisor.state import State
from intelli_ops.usage import UsageError

_POLICIES = "import json; from config.queues import as_settings; print(json.dumps(as_settings()))"
_SETTINGS = "config.settings.development"
_SLIM = Path(__file__).parent / "supervisor" / "slim" / "celery"


class NoCheckout(UsageError):
    """The folder holds no reference system."""


class CannotStart(Exception):
    """The system cannot be started here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class System:
    """Where the parts of one running system will be; nothing runs yet."""

    backend: Path
    """The Django project's directory."""
    python: str
    state: State
    web: str
    broker: Dsn
    results: Dsn
    layer: Dsn
    server: RedisServer | None
    """The Redis we start ourselves; None when one runs already."""
    fleet: Fleet
    secret: str = field(repr=False)

    @property
    def media(self) -> Path:
        """Where artifacts are stored."""
        return self.state.root / "media"

    @property
    def environment(self) -> dict[str, str]:
        """What every part is told; values that the user set for the database, media and settings stand."""
        return {
            "DJANGO_SETTINGS_MODULE": _SETTINGS,
            "DATABASE_URL": f"sqlite:///{self.state.root / 'db.sqlite3'}",
            "DJANGO_SECRET_KEY": self.secret,
            **os.environ,
            "MEDIA_ROOT": str(self.media),
            "PYTHONUNBUFFERED": "1",
            "CELERY_BROKER_URL": self.broker.raw,
            "CELERY_RESULT_BACKEND": self.results.raw,
            "REDIS_URL": self.layer.raw,
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "INTELLI_SWEEP_IN_WEB": "false",  # a part of its own below
        }

    def services(self) -> Iterator[Service]:
        """Every part, in the order of their reports."""
        yield from self._redis()
        yield self._part(
            "migrate", "manage.py", "migrate", "--no-input", "--verbosity", "0", needs=self._store, once=True
        )
        yield self._web()
        yield from self._workers()
        yield self._part("sweeper", "manage.py", "sweep", "--loop", needs=("migrate",), patience=5)

    @property
    def _store(self) -> tuple[str, ...]:
        return ("redis",) if self.server else ()

    def _redis(self) -> Iterator[Service]:
        if self.server:
            folder = self.state.folder("redis")
            yield Service(
                "redis", self.server.argv, folder, dict(os.environ), ready=redis_answers(self.broker),
                config=self.server.config, patience=5,
            )  # fmt: skip

    def _web(self) -> Service:
        port = self.web.rpartition(":")[2]
        argv = ("-m", "daphne", "-b", "127.0.0.1", "-p", port, "--no-server-name", "config.asgi:application")
        ready = page_answers(self.web, "/health/ready")
        return self._part("web", *argv, needs=(*self._store, "migrate"), ready=ready, patience=5)

    def _workers(self) -> Iterator[Service]:
        layout = Layout.of(self.broker)
        for profile in self.fleet.profiles:
            argv = self.fleet.argv(profile, celery=slim_celery(self.python)[1:])
            node = Node(layout, profile.name, profile.queues)
            # On a Redis of our own no task can be waiting, so workers may come up while the database is prepared.
            needs = self._store or ("migrate",)
            patience = (profile.time_limit or 30) + 5
            asked = {"ready": node.consumes, "drain": node.drain, "alive": node.answers}
            yield self._part(profile.name, *argv, needs=needs, patience=patience, **asked)

    def _part(self, name: str, *argv: str, **options: object) -> Service:
        return Service(name, (self.python, *argv), self.backend, self.environment, **options)  # type: ignore[arg-type]


def assemble(project: Path, state: State, environ: Mapping[str, str]) -> System:
    """Choose Redis, ports and interpreter for the system in `project`; raises CannotStart or NoRedis."""
    backend = find_backend(project)
    python = find_python(project, backend)
    server, broker = _choose_redis(environ)
    layer = Dsn(environ["REDIS_URL"]) if not server and "REDIS_URL" in environ else _on_database(broker, 1)
    results = Dsn(environ["CELERY_RESULT_BACKEND"]) if not server and "CELERY_RESULT_BACKEND" in environ else broker
    return System(
        backend, python, state, f"http://127.0.0.1:{free_port()}", broker, results, layer, server,
        _fleet(backend, python), secrets.token_urlsafe(40),
    )  # fmt: skip


def find_backend(project: Path) -> Path:
    """The folder of manage.py: `project` itself or its `backend`, here or further up."""
    for folder in (project, *project.parents):
        for candidate in (folder / "backend", folder):
            if (candidate / "manage.py").is_file() and (candidate / "config" / "queues.py").is_file():
                return candidate
    raise NoCheckout(
        f"no backend/manage.py in {project}: change to the checkout of intelli-ops, or name it with --project"
    )


def find_python(project: Path, backend: Path) -> str:
    """The interpreter that has the backend's packages: this one, else the project's virtual environment."""
    if importlib.util.find_spec("django") and importlib.util.find_spec("daphne") and importlib.util.find_spec("celery"):
        return sys.executable
    for folder in (project, backend, backend.parent):
        for name in ("bin/python", "Scripts/python.exe"):
            if (folder / ".venv" / name).exists():
                return str(folder / ".venv" / name)
    raise CannotStart("the packages of the backend are not installed: pip install '.[demo]' in the checkout")


def celery_command(python: str) -> tuple[str, ...]:
    """How to run Celery with `python`: the installed script where there is one, else `-m celery`.

    On SIGHUP a worker starts itself again from `sys.argv`; one started by `-m celery` dies of it with "attempted
    relative import", the script does not. Windows has neither SIGHUP nor a script that Python could read.
    """
    script = Path(python).parent / "celery"
    return (python, str(script)) if script.is_file() else (python, "-m", "celery")


def slim_celery(python: str) -> tuple[str, ...]:
    """The same for a worker or scheduler of ours, which starts sooner and in less memory: see `supervisor/slim/celery`.

    On Windows, where processes are spawned from the main module's name, it is Celery as installed.
    """
    return celery_command(python) if sys.platform == "win32" else (python, str(_SLIM))


def _choose_redis(environ: Mapping[str, str]) -> tuple[RedisServer | None, Dsn]:
    asked = embedded_redis.configured(environ)
    if asked and _answers(asked):
        return None, asked
    server = embedded_redis.prepare(free_port())
    return server, server.dsn()


def _on_database(dsn: Dsn, number: int) -> Dsn:
    """The same Redis, another database: the channel layer must not share one with the broker."""
    return Dsn(urlsplit(dsn.raw)._replace(path=f"/{number}").geturl())


def _answers(dsn: Dsn) -> bool:
    try:
        with Connection.open(dsn, 1.0) as connection:
            return connection.call("PING") == b"PONG"
    except (DialError, ReplyError):
        return False


def _fleet(backend: Path, python: str) -> Fleet:
    """The workers of the backend's own policy, which imports nothing but the standard library: no survey is needed."""
    try:
        asked = subprocess.run(  # noqa: S603 - argv list of our own making
            [python, "-c", _POLICIES], cwd=backend, capture_output=True, text=True, timeout=10, check=True
        )
        policies = json.loads(asked.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise CannotStart(f"{backend / 'config' / 'queues.py'} does not tell its queues: {error}") from error
    fleet = declared("config", [QueueDecl(policy["name"], policy=policy) for policy in policies])
    return fleet.each(pool=choose_pool(None, sys.platform).name) if sys.platform == "win32" else fleet
