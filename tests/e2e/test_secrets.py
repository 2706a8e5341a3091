"""Passwords in every place where somebody puts one; none may come out of any command in any format."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, unquote

import pytest

PLAIN = "planted-Correct-Horse-9"
AWKWARD = 'pl@nted/"Hörse<&>|%'
BROKERS = {
    "user and password": f"redis://user:{PLAIN}@127.0.0.1:1/0",
    "password alone": f"redis://:{PLAIN}@127.0.0.1:1/0",
    "user alone is a token": f"redis://127.0.0.1:1/0?token={PLAIN}",
    "percent-encoded": f"redis://user:{quote(AWKWARD, safe='')}@127.0.0.1:1/0",
    "an @ nobody encoded": f"redis://user:p@{PLAIN}@127.0.0.1:1/0",
    "query": f"redis://127.0.0.1:1/0?password={PLAIN}",
    "tls": f"rediss://user:{PLAIN}@127.0.0.1:1/0",
    "sentinel list": f"sentinel://:{PLAIN}@127.0.0.1:1;sentinel://:{PLAIN}@127.0.0.1:2",
    "sentinel password": f"sentinel://127.0.0.1:1/0?sentinel_password={PLAIN}",
    "socket": f"redis+socket:///nonexistent/r.sock?password={PLAIN}",
    "no url at all": f"redis://user:{PLAIN}@[::1:1/0",
    "another transport": f"amqp://user:{PLAIN}@127.0.0.1:1//",
}
COMMANDS = [
    ["check", "redis", "-v", "--timeout", "5"],
    ["check", "-v", "--format", "json", "--save", "facts.json", "--timeout", "5"],
    ["config", "show", "--origin"],
    ["config", "show", "--json"],
    ["check", "redis", "--output", "/nonexistent/file", "--debug"],
    ["check", "redis", "--settings"],
]


def shapes(secret: str) -> set[str]:
    """The secret as it may look once something has encoded, escaped or cut it."""
    raw = secret.encode()
    return {secret, quote(secret), quote(secret, safe=""), unquote(secret), json.dumps(secret)[1:-1],
            base64.b64encode(raw).decode().rstrip("="), raw.hex(), secret[3:], secret[:-3]}  # fmt: skip


def assert_silent(cli, done) -> None:
    said = done.stdout + done.stderr + "".join(p.read_text() for p in cli.directory.rglob("*") if p.is_file())
    assert said.strip()
    for secret in (PLAIN, AWKWARD):
        assert [shape for shape in shapes(secret) if shape in said] == []


@pytest.mark.parametrize("broker", BROKERS.values(), ids=BROKERS)
def test_no_place_for_a_password_leaks(cli, broker: str):
    for command in (COMMANDS[0], COMMANDS[1]):
        assert_silent(cli, cli(*command, "--broker", broker))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_leaks(cli, command: list[str]):
    env = {"INTELLI_OPS_BROKER": BROKERS["percent-encoded"], "INTELLI_OPS_RESULTS": BROKERS["query"]}
    assert_silent(cli, cli(*command, env=env))


@pytest.mark.parametrize("fmt", ["text", "json", "junit", "github", "nagios", "openmetrics"])
def test_no_format_leaks(cli, fmt: str):
    env = {"INTELLI_OPS_BROKER": BROKERS["percent-encoded"], "INTELLI_OPS_RESULTS": BROKERS["user and password"]}
    assert_silent(cli, cli("check", "redis", "--format", fmt, "-v", env=env))
