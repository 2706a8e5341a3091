"""The databases the reference system is tested on: a file of SQLite, and a PostgreSQL server of our own."""

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intelli_fixtures.processes import Child, free_port

START_SECONDS = 30.0
SETUP_SECONDS = 120


@dataclass(frozen=True)
class Sqlite:
    """One file."""

    path: Path

    @property
    def url(self) -> str:
        """Value of DATABASE_URL."""
        return f"sqlite:///{self.path}"

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """What a query with `?` for its values finds; changes are committed."""
        with closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else write while the block runs."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            yield
            holder.execute("ROLLBACK")


@dataclass(frozen=True)
class Postgresql:
    """One database of a server."""

    url: str

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """As with SQLite: ids as 32 digits, documents as text."""
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            cursor = connection.execute(query.replace("?", "%s"), values)
            found = cursor.fetchall() if cursor.description else []
        return [{name: _as_in_sqlite(value) for name, value in row.items()} for row in found]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else write to a job while the block runs."""
        import psycopg

        with psycopg.connect(self.url) as connection:
            connection.execute("LOCK TABLE jobs_job IN EXCLUSIVE MODE")
            yield


def _as_in_sqlite(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return value.hex
    return json.dumps(value) if isinstance(value, dict | list) else value


Database = Sqlite | Postgresql


class PostgresqlServer:
    """A server in a folder of its own, on a random port of the loopback interface, with a random password."""

    def __init__(self, programs: Path) -> None:
        """Describe a server run by the programs of a folder."""
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="intelli-postgresql-"))
        self._password = secrets.token_urlsafe(12)
        self._port = free_port()
        self._child: Child | None = None

    def start(self) -> "PostgresqlServer":
        """Start it and wait until it answers."""
        password = self._folder / "password"
        password.write_text(self._password)
        self._give_away()
        initdb = [*self._other_user(), self._programs / "initdb", "-D", self._folder / "data", "-U", "intelli"]
        initdb += ["-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(initdb, cwd=self._folder, check=True, capture_output=True, timeout=SETUP_SECONDS)
        argv = [*self._other_user(), self._programs / "postgres", "-D", self._folder / "data"]
        settings = {"listen_addresses": "127.0.0.1", "port": self._port, "unix_socket_directories": "", "fsync": "off"}
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        self._child = Child(argv, log=self._folder / "server.log", cwd=self._folder, name="postgres")
        self._child.wait_until(self._answers, START_SECONDS, "answering")
        return self

    def database(self, template: Postgresql | None = None) -> Postgresql:
        """A new database, empty or a copy of another that nobody uses."""
        name = f"t{secrets.token_hex(6)}"
        origin = template.url.rpartition("/")[2] if template else "template1"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {origin}")
        return self._named(name)

    def stop(self) -> None:
        """End the server and remove its folder. Politely: killed, it would leave its shared memory behind."""
        if self._child:
            self._child.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _named(self, name: str) -> Postgresql:
        return Postgresql(f"postgresql://intelli:{self._password}@127.0.0.1:{self._port}/{name}")

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self._named("postgres").url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)

    def _answers(self) -> bool:
        import psycopg

        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _other_user(self) -> list[str]:
        """PostgreSQL refuses to run as root. The guard against orphans is lost with the change of user, so: again."""
        if os.getuid() != 0:
            return []
        return ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--pdeathsig", "KILL"]

    def _give_away(self) -> None:
        if os.getuid() == 0:
            for path in (self._folder, *self._folder.iterdir()):
                shutil.chown(path, "nobody", "nogroup")


def programs() -> Path | None:
    """The folder of PostgreSQL's server programs: on PATH, or where Debian keeps them out of it."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
