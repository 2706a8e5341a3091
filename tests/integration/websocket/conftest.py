"""The relay project served live, with one thing broken, and the checks pointed at it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.channels.harness import RELAY, check, context, place

from intelli_checks.context import Context
from intelli_checks.model import Result
from intelli_fixtures import front
from intelli_fixtures.certs import Certificates
from intelli_fixtures.processes import Child, free_port
from intelli_fixtures.servers import Servers, accepts

PATH = "/live/orders/1/live"
TOKEN = "?token=sesame"


class Relay:
    """One project on one Redis: its environment, its servers, and what the checks say."""

    def __init__(self, redis: Any, folder: Path) -> None:
        self.redis, self.folder, self.project = redis, folder, RELAY
        self.servers = Servers(folder)
        self.children: list[Child] = []

    def env(self, fault: str = "", url: str | None = None, **layer: Any) -> dict[str, str]:
        return {
            "RELAY_DATA": str(self.folder),
            "BROKER": self.redis.url(0),
            "LAYER_URL": url or self.redis.url(1),
            "LAYER": json.dumps(layer),
            "FAULT": fault,
            "DJANGO_SETTINGS_MODULE": "relay.settings",
        }

    def migrate(self) -> None:
        manage = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(manage, cwd=self.project, env={**os.environ, **self.env()}, check=True, timeout=60)

    def serve(self, fault: str = "", server: Any = "daphne", **layer: Any) -> str:
        env = self.env(fault, **layer)
        return self.servers.start(self.project, application="relay.asgi:application", server=server, env=env).url

    def run(self, name: str, argv: list[str], port: int) -> str:
        """Any other server that listens on `port`."""
        child = Child(argv, log=self.folder / f"{name}.log", cwd=self.project, env=self.env(), name=name)
        self.children.append(child)
        child.wait_until(lambda: accepts(port), 30, f"listening on {port}")
        return f"http://127.0.0.1:{port}"

    def nginx(self, upstream: str, directives: str, tls: Certificates | None = None) -> str:
        """A real nginx in front of `upstream`."""
        port = free_port()
        url = self.run("nginx", front.nginx(self.folder / f"nginx-{port}", port, upstream, directives, tls), port)
        return url.replace("http", "https") if tls else url

    def secure(self, tls: Certificates) -> str:
        """The project served by uvicorn, which speaks TLS itself."""
        port = free_port()
        files = ["--ssl-certfile", str(tls.certificate), "--ssl-keyfile", str(tls.key)]
        argv = [sys.executable, "-m", "uvicorn", "--port", str(port), *files, "relay.asgi:application"]
        return self.run("uvicorn", argv, port).replace("http", "https")

    def check(self, *ids: str, web: str, **target: Any) -> dict[str, Result]:
        target = {"websocket": PATH + TOKEN, **target}
        here = replace(place("here", **self.env()), directory=self.project)
        asked = context(here, web=web, **target)
        return check(Context(replace(asked.target, directory=self.project)), *ids)

    def edit(self, file: str, old: str, new: str) -> None:
        """Write something else in a file of a copy of the project, which from now on is the one that is served."""
        if self.project == RELAY:
            self.project = self.folder / "copy"
            shutil.copytree(RELAY, self.project, ignore=shutil.ignore_patterns("__pycache__"))
        text = (self.project / file).read_text("utf-8")
        assert old in text
        (self.project / file).write_text(text.replace(old, new), "utf-8")

    def stop(self) -> None:
        self.servers.stop()
        for child in self.children:
            child.kill()


@pytest.fixture
def relay(intelli_redis: Any, tmp_path: Path) -> Iterator[Relay]:
    """The project with an empty Redis and a migrated database."""
    intelli_redis.flush()
    made = Relay(intelli_redis, tmp_path)
    made.migrate()
    yield made
    made.stop()


@pytest.fixture
def served(relay: Relay) -> Callable[..., dict[str, Result]]:
    """Serve the project with one fault and ask what is wrong."""

    def ask(*ids: str, flow: Any = None, **fault: Any) -> dict[str, Result]:
        return relay.check(*ids, web=relay.serve(**fault), flow=flow or {})

    return ask
