"""The compose file: valid for the Compose at hand, in step with the queue policy, and its Redis as the guide says."""

import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from intelli_fixtures.engines import docker_answers
from intelli_fixtures.processes import free_port, until

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "infrastructure" / "docker-compose.yml"


def need(there, what):
    """A missing tool skips on a laptop and fails in CI."""
    if not there:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is missing")


def attempt(*argv, env=None):
    return subprocess.run(
        argv, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False, timeout=60
    )


def run(*argv, env=None):
    done = attempt(*argv, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compose():
    """The command in front of every Compose argument: the plugin of Docker, or the program of its own."""
    if shutil.which("docker") and attempt("docker", "compose", "version").returncode == 0:
        return ("docker", "compose")
    need(shutil.which("docker-compose"), "docker compose")
    return ("docker-compose",)


@pytest.fixture
def resolved(compose):
    return yaml.safe_load(run(*compose, "-f", COMPOSE_FILE, "--profile", "app", "config"))


def test_redis_alone_is_the_default(resolved):
    assert [name for name, service in resolved["services"].items() if "profiles" not in service] == ["redis"]


def test_every_port_is_published_on_the_loopback_interface(resolved):
    published = [port for service in resolved["services"].values() for port in service.get("ports", [])]
    hosts = {port["host_ip"] if isinstance(port, dict) else port.rpartition(":")[0].split(":")[0] for port in published}
    assert len(published) == 3
    assert hosts == {"127.0.0.1"}


def test_there_is_one_worker_per_queue_with_its_policy(resolved, policies):
    wanted = {
        policy["name"]: (str(policy["concurrency"]), f"--prefetch-multiplier={policy['prefetch']}")
        for policy in policies
    }
    commands = [service["command"] for name, service in resolved["services"].items() if name.startswith("worker-")]
    found = {
        command[command.index("-Q") + 1]: (command[command.index("-c") + 1], command[command.index("-c") + 2])
        for command in commands
    }
    assert found == wanted


def test_flower_refuses_to_run_without_credentials(resolved):
    _, _, script = resolved["services"]["flower"]["command"]
    script = script.replace("$$", "$").replace("exec celery", "echo started; : celery")
    bare = attempt("sh", "-c", script, env={"FLOWER_BASIC_AUTH": ""})
    assert (bare.returncode != 0, bare.stdout) == (True, "")
    assert "set it to user:password" in bare.stderr
    assert run("sh", "-c", script, env={"FLOWER_BASIC_AUTH": "a:b"}) == "started\n"


@pytest.fixture
def redis_container(compose, tmp_path):
    """The compose file's Redis under a name and a port of our own, so that nobody's running one is touched."""
    need(docker_answers(), "a Docker engine")
    name = f"intelli-test-{secrets.token_hex(4)}"
    override = tmp_path / "name.yml"
    override.write_text(f"services: {{redis: {{container_name: {name}}}}}\n", encoding="utf-8")
    env = {"REDIS_PORT": str(free_port())}
    command = (*compose, "-p", name, "-f", COMPOSE_FILE, "-f", override)
    try:
        run(*command, "up", "-d", env=env)
        yield name
    finally:
        run(*command, "down", "-v", "-t", "1", env=env)


def test_redis_comes_up_as_the_guide_expects(redis_container):
    inside = ("docker", "exec", redis_container, "redis-cli")
    until(lambda: attempt(*inside, "ping").stdout.strip() == "PONG", 20, "PONG from inside the container")
    assert run(*inside, "config", "get", "appendonly").split() == ["appendonly", "yes"]
    assert run(*inside, "config", "get", "maxmemory-policy").split() == ["maxmemory-policy", "noeviction"]


def test_the_container_has_the_name_of_the_guide(resolved):
    assert resolved["services"]["redis"]["container_name"] == "infrastructure-redis-1"
