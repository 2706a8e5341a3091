"""Compose services, one per worker profile."""

from __future__ import annotations

from typing import Any

from intelli_checks.fleet import WorkerProfile
from intelli_ops.deploy.plan import Plan, grace_seconds

HEADER = """\
# Worker services of {name}. The health check reads the worker's own heartbeat: put intelli-ops into the image and call
# intelli_ops.bootsteps.install(app) in the Celery module. Start with: docker compose -f {file} up -d
"""


def render(plan: Plan) -> dict[str, str]:
    """File name to content."""
    import yaml

    file = "docker-compose.workers.yml"
    services = {plan.title(profile): _service(plan, profile) for profile in plan.fleet.profiles}
    body = yaml.safe_dump({"services": services}, sort_keys=False, width=120)
    return {file: HEADER.format(name=plan.name, file=file) + body}


def _service(plan: Plan, profile: WorkerProfile) -> dict[str, Any]:
    return {
        "image": plan.image,
        # A list, so that no shell stands between the engine's SIGTERM and the worker; `$` would interpolate.
        "command": [word.replace("$", "$$") for word in plan.command(profile)],
        "working_dir": str(plan.directory),
        "env_file": [plan.environment_file],
        "environment": {"INTELLI_OPS_HEARTBEAT": "/tmp/heartbeat.json"},  # noqa: S108 - the container's own tmpfs
        "init": True,
        "restart": "unless-stopped",
        "stop_grace_period": f"{grace_seconds(profile)}s",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "security_opt": ["no-new-privileges:true"],
        "cap_drop": ["ALL"],
        "healthcheck": {
            "test": ["CMD", "intelli-ops", "probe", "live"],
            "interval": "15s",
            "timeout": "3s",
            "start_period": "60s",
            "retries": 3,
        },
    }
