"""Flower as it comes, with a password, on loopback, and with its API open to all; silence for what is not Flower."""

from __future__ import annotations

import http.server
import sys
import threading

import pytest

from intelli_checks.context import Context
from intelli_checks.model import Outcome
from intelli_checks.probes import flower
from intelli_checks.registry import registry
from intelli_checks.runner import diagnose
from intelli_checks.target import Target
from intelli_fixtures.processes import Child, free_port, until


@pytest.fixture
def flower_with(tmp_path):
    """Start a Flower with these options and variables; its port, once it answers."""
    children = []

    def start(options: list[str], env: dict[str, str]) -> int:
        port = free_port()
        argv = [sys.executable, "-m", "celery", "--broker=redis://127.0.0.1:1/0", "flower", f"--port={port}", *options]
        child = Child(argv, log=tmp_path / "flower.log", cwd=tmp_path, env=env)
        children.append(child)
        until(lambda: any(one.port == port for one in flower.gather(4.0)), 60, "Flower answers")
        return port

    yield start
    for child in children:
        child.kill()


def verdict(directory, port: int):
    registry.load()
    ctx = Context(Target(directory))
    ctx.flowers  # noqa: B018 - gathered before it is narrowed to the one of this test
    (result,) = diagnose([registry["celery.flower"]], ctx).results
    return result.outcome, {found.message for found in result.findings if f":{port}" in found.subject}


@pytest.mark.parametrize(
    ("given", "outcome", "said"),
    [
        (([], {}), Outcome.WARNED, "to everybody"),
        ((["--basic-auth=a:b"], {}), Outcome.PASSED, "asks for credentials"),
        ((["--address=127.0.0.1"], {}), Outcome.PASSED, "this machine only"),
        ((["--address=127.0.0.1"], {"FLOWER_UNAUTHENTICATED_API": "1"}), Outcome.WARNED, "obeys everybody"),
    ],
    ids=["open", "password", "loopback", "api"],
)
def test_a_flower(flower_with, tmp_path, given, outcome, said):
    found, messages = verdict(tmp_path, flower_with(*given))
    assert found is outcome
    assert any(said in message for message in messages), messages


def test_another_server_is_not_taken_for_flower(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(flower, "USUAL_PORT", server.server_port)
        assert flower.gather(4.0) == ()
        server.shutdown()
