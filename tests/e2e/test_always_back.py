"""Whatever is frozen, silent or hung: the process is gone within its timeout plus a second, and says what it knows."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from intelli_fixtures import peers

TIMEOUT = 2.0


def timed(cli, *args: str, **more):
    began = time.monotonic()
    done = cli("check", *args, "--timeout", str(TIMEOUT), "--format", "json", **more)
    return done, time.monotonic() - began


def first_failure(done) -> str:
    checks = json.loads(done.stdout)["checks"]
    return next(check["id"] for check in checks if check["outcome"] == "failed")


@pytest.fixture(params=["silent", "drip", "half_open", "unaccepting"])
def bad_peer(request: pytest.FixtureRequest):
    with getattr(peers, request.param)() as peer:
        yield peer


def test_a_broker_that_never_answers(cli, bad_peer):
    done, seconds = timed(cli, "--broker", f"redis://127.0.0.1:{bad_peer.port}/0")
    assert seconds < TIMEOUT + 1
    assert (done.returncode, done.stderr) == (1, "")
    assert first_failure(done) == "redis.broker"


def test_a_redis_that_is_frozen(cli, intelli_redis):
    intelli_redis.freeze()
    try:
        done, seconds = timed(cli, "redis", "--broker", intelli_redis.url(0))
    finally:
        intelli_redis.thaw()
    assert seconds < TIMEOUT + 1
    assert (done.returncode, first_failure(done)) == (1, "redis.broker")


def test_a_project_whose_import_hangs(cli):
    project = cli.directory / "shop"
    project.mkdir()
    (project / "shop.py").write_text("import threading\nthreading.Event().wait()\n")
    done, seconds = timed(cli, "celery.app", "--project", str(project), "--app", "shop")
    assert seconds < TIMEOUT + 1
    assert done.returncode in {1, 3}
    assert json.loads(done.stdout)["checks"][0]["outcome"] in {"failed", "errored"}


def plugin(directory: Path, name: str, code: str) -> str:
    """Install a plugin made of `code` in `directory`; what PYTHONPATH must be for it."""
    info = directory / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[intelli_ops.checks]\n{name} = {name}\n")
    (directory / f"{name}.py").write_text(code)
    return str(directory)


def test_a_plugin_that_hangs_while_it_is_imported(cli):
    path = plugin(cli.directory / "site", "tarpit", "import threading\nthreading.Event().wait()\n")
    done, seconds = timed(cli, "redis", env={"PYTHONPATH": path})
    assert seconds < TIMEOUT + 1
    assert done.returncode == 3
    assert "could not tell" in done.stderr


def test_a_plugin_that_does_not_import_is_one_broken_check(cli):
    path = plugin(cli.directory / "site", "broken", "raise RuntimeError('not today')\n")
    done = cli("check", "plugin", "--format", "json", env={"PYTHONPATH": path})
    assert done.returncode == 3
    (check,) = json.loads(done.stdout)["checks"]
    assert (check["id"], check["outcome"]) == ("plugin.broken", "errored")
    assert "not today" in check["reason"]
    assert cli("check", "redis", env={"PYTHONPATH": path}).returncode == 0


def test_mutes_and_executables_come_from_the_configuration(cli):
    (cli.directory / "intelli-ops.toml").write_text(
        '[mute]\n"lab.queues" = {reason = "ticket 12", until = 2099-01-01}\n'
        '[plugins]\ndisk = {command = ["sh", "-c", "echo CRITICAL - full; exit 2"], hint = "df -h"}\n'
    )
    muted = json.loads(cli("check", "lab.queues", "--format", "json").stdout)["checks"][0]
    assert (muted["outcome"], muted["mute"]["outcome"]) == ("muted", "failed")
    done = cli("check", "plugin")
    assert done.returncode == 1
    assert "plugin.disk: CRITICAL - full" in done.stdout


@pytest.mark.parametrize(
    "text",
    ["[mutes]\n", "[mute]\na = 7\n", "[plugins]\na = 7\n", "timeout = 'soon'\n", "[mute\n", "[mute]\n'x.y'='z'\n"],
)
def test_a_configuration_nobody_understands_is_wrong_usage(cli, text: str):
    (cli.directory / "intelli-ops.toml").write_text(text)
    done = cli("check", "lab.passes")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
