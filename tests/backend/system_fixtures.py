"""What a live system is made of: its starters, and a database, SQLite unless the test asks for `both_databases`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database, Postgresql, PostgresqlServer, Sqlite, programs
from stack import Starters

BACKEND = Path(__file__).resolve().parents[2] / "backend"
both_databases = pytest.mark.parametrize("engine", ["sqlite", "postgresql"])


@pytest.fixture
def starters(intelli_workers, intelli_server, intelli_websocket) -> Starters:
    """What starts the parts of a system, and ends them with the test."""
    return Starters(intelli_workers, intelli_server, intelli_websocket)


@pytest.fixture
def engine() -> str:
    """Which database the test runs on."""
    return "sqlite"


@pytest.fixture
def database(engine, request, tmp_path) -> Database:
    """An empty one, with its tables: a copy, since migrating takes seconds."""
    if engine == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        return server.database(request.getfixturevalue("postgresql_template"))
    made = Sqlite(tmp_path / "db.sqlite3")
    shutil.copy(request.getfixturevalue("sqlite_template").path, made.path)
    return made


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> Sqlite:
    """Migrated once."""
    return _migrated(Sqlite(tmp_path_factory.mktemp("template") / "db.sqlite3"))


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server) -> Postgresql:
    """Migrated once."""
    return _migrated(postgresql_server.database())


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A server of the session; skips where PostgreSQL is not installed, and fails in CI, which installs it."""
    found = programs()
    if found is None:
        reason = "PostgreSQL's server programs are not installed (Debian: apt-get install postgresql)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    server = PostgresqlServer(found)
    try:
        yield server.start()
    finally:
        server.stop()


def _migrated(database: Database) -> Database:
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings.development", "DATABASE_URL": database.url}
    argv = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(argv, cwd=BACKEND, env={**os.environ, **settings}, check=True, timeout=120)
    return database
