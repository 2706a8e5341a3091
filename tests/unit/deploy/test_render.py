"""What is rendered is what the programs it is meant for accept."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest
import yaml

from intelli_checks.fleet import Fleet, WorkerProfile
from intelli_checks.target import Place, Target
from intelli_ops.commands.render import Kind, _celery
from intelli_ops.deploy import compose, kubernetes, systemd
from intelli_ops.deploy.plan import Plan, grace_seconds

FLEET = Fleet(
    "config",
    (
        WorkerProfile("ingestion_io", ("ingestion_io",), concurrency=4, prefetch=4, time_limit=60),
        WorkerProfile("charts_cpu", ("charts_cpu", "thumbs"), concurrency=2, prefetch=1, time_limit=120),
        WorkerProfile("odd", ("with space", "50%", "$HOME"), concurrency=1),
    ),
)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(FLEET, "intelli", PurePosixPath(tmp_path / "a project"), celery=("/bin/true",), user="root")


def test_a_stop_waits_for_the_longest_task() -> None:
    assert [grace_seconds(profile) for profile in FLEET.profiles] == [75, 135, 315]


def test_systemd_accepts_the_units(plan: Plan, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not on this machine")
    folder = tmp_path / "units"
    folder.mkdir()
    files = systemd.render(plan)
    for name, text in files.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(folder / name) for name in files)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if str(folder) in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_systemd_gets_each_argument_back_as_it_was(plan: Plan) -> None:
    unit = systemd.render(plan)["intelli-odd.service"]
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert '-Q "with space,50%%,$$HOME"' in line
    assert "-n odd@%%h" in line


def test_docker_compose_accepts_the_services(plan: Plan, tmp_path: Path) -> None:
    command = next((c for c in (["docker-compose"], ["docker", "compose"]) if _answers(*c, "version")), None)
    if command is None:
        pytest.skip("docker compose is not on this machine")
    (tmp_path / ".env").write_text("")
    for name, text in compose.render(plan).items():
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            [*command, "-f", name, "config"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr


def test_compose_keeps_every_argument_and_writes_no_secret(plan: Plan) -> None:
    services = yaml.safe_load(next(iter(compose.render(plan).values())))["services"]
    odd = services["intelli-odd"]["command"]
    assert [word.replace("$$", "$") for word in odd] == list(plan.command(FLEET.profiles[2]))
    assert services["intelli-charts-cpu"]["stop_grace_period"] == "135s"


def test_kubernetes_objects_match_their_schemas(plan: Plan) -> None:
    import kubernetes_validate

    kinds = []
    for text in kubernetes.render(plan).values():
        for thing in yaml.safe_load_all(text):
            kinds.append(thing["kind"])
            if not thing["apiVersion"].startswith("keda.sh"):
                kubernetes_validate.validate(thing, "1.33", strict=True)
    assert sorted(set(kinds)) == ["Deployment", "PodDisruptionBudget", "ScaledObject", "TriggerAuthentication"]


def test_liveness_in_kubernetes_never_asks_the_broker(plan: Plan) -> None:
    deployment = next(yaml.safe_load_all(kubernetes.render(plan)["intelli-charts-cpu.yaml"]))
    pod = deployment["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 135
    assert pod["containers"][0]["livenessProbe"]["exec"]["command"] == ["intelli-ops", "probe", "live"]
    assert "redis://" not in json.dumps(deployment)


def _answers(*command: str) -> bool:
    return bool(shutil.which(command[0])) and (
        subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project with an environment of its own."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "celery"):
        (tmp_path / ".venv" / "bin" / name).touch(mode=0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "directory", "expected"),
    [
        (Kind.SYSTEMD, None, "{root}/.venv/bin/celery"),
        (Kind.SYSTEMD, "/srv/shop", "/srv/shop/.venv/bin/celery"),
        (Kind.COMPOSE, None, "celery"),
        (Kind.K8S, "/app", "celery"),
    ],
)
def test_systemd_runs_the_projects_own_celery(shop: Path, kind: Kind, directory: str | None, expected: str) -> None:
    here = Place("here", (str(shop / ".venv/bin/python"),), directory=shop)
    target = Target(directory=shop, places=(here,))
    assert _celery(kind, target, shop, directory) == expected.format(root=shop)


def test_systemd_finds_a_celery_that_is_no_projects_by_its_name(tmp_path: Path) -> None:
    remote = Place("web", ("docker", "exec", "web", "python"), directory=None, remote=True)
    assert _celery(Kind.SYSTEMD, Target(directory=tmp_path, places=(remote,)), tmp_path, None) == "celery"
