"""Kubernetes objects: a Deployment, a disruption budget and a queue-depth scaler for each worker profile."""

from __future__ import annotations

from typing import Any

from intelli_checks.fleet import WorkerProfile
from intelli_ops.deploy.plan import Plan, grace_seconds

_HEARTBEAT = "/run/intelli-ops/heartbeat.json"
_MESSAGES_PER_SLOT = 10
"""Waiting messages per worker slot before KEDA adds a replica."""


def render(plan: Plan) -> dict[str, str]:
    """File name to content: one multi-document file per profile and one for what they share."""
    import yaml

    def document(*objects: dict[str, Any]) -> str:
        return str(yaml.safe_dump_all(objects, sort_keys=False, width=120))

    files = {f"{plan.name}-broker-auth.yaml": document(_trigger_authentication(plan))}
    for profile in plan.fleet.profiles:
        files[f"{plan.title(profile)}.yaml"] = document(
            _deployment(plan, profile), _disruption_budget(plan, profile), _scaled_object(plan, profile)
        )
    return files


def _labels(plan: Plan, profile: WorkerProfile) -> dict[str, str]:
    return {"app.kubernetes.io/name": plan.title(profile), "app.kubernetes.io/part-of": plan.name}


def _deployment(plan: Plan, profile: WorkerProfile) -> dict[str, Any]:
    labels = _labels(plan, profile)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": plan.title(profile), "labels": labels},
        # No `replicas`: the scaler owns the number, and applying this file again must not reset it.
        "spec": {
            "selector": {"matchLabels": labels},
            # A new worker consumes before an old one leaves, so no queue is ever without one.
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(plan, profile)},
        },
    }


def _pod(plan: Plan, profile: WorkerProfile) -> dict[str, Any]:
    return {
        "terminationGracePeriodSeconds": grace_seconds(profile),
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(plan, profile)],
        "volumes": [{"name": "heartbeat", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
    }


def _container(plan: Plan, profile: WorkerProfile) -> dict[str, Any]:
    return {
        "name": "worker",
        "image": plan.image,
        "workingDir": str(plan.directory),
        "command": list(plan.command(profile)),
        "envFrom": [{"secretRef": {"name": plan.secret_name}}],
        "env": [{"name": "INTELLI_OPS_HEARTBEAT", "value": _HEARTBEAT}],
        "volumeMounts": [{"name": "heartbeat", "mountPath": _HEARTBEAT.rpartition("/")[0]}],
        "resources": {
            "requests": {
                "cpu": f"{100 * (profile.concurrency or 1)}m",
                "memory": f"{128 * (profile.concurrency or 1)}Mi",
            }
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Liveness asks the worker's heartbeat, never the broker: a Redis outage must not restart the whole fleet.
        "startupProbe": {**_probe("startup"), "periodSeconds": 3, "failureThreshold": 40},
        "livenessProbe": {**_probe("live"), "periodSeconds": 15, "failureThreshold": 3},
        "readinessProbe": {**_probe("ready"), "periodSeconds": 5, "failureThreshold": 3},
    }


def _requests(slots: int) -> dict[str, str]:
    """A start for measuring: an idle Celery child with Django loaded takes some 100 MB."""
    return {"cpu": f"{100 * slots}m", "memory": f"{128 * slots}Mi"}


def _probe(question: str) -> dict[str, Any]:
    return {"exec": {"command": ["intelli-ops", "probe", question]}, "timeoutSeconds": 3}


def _disruption_budget(plan: Plan, profile: WorkerProfile) -> dict[str, Any]:
    labels = _labels(plan, profile)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": plan.title(profile), "labels": labels},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    }


def _scaled_object(plan: Plan, profile: WorkerProfile) -> dict[str, Any]:
    """KEDA's Redis Lists scaler counts waiting messages only, so one replica stays for those being worked on."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": plan.title(profile), "labels": _labels(plan, profile)},
        "spec": {
            "scaleTargetRef": {"name": plan.title(profile)},
            "minReplicaCount": 1,
            "maxReplicaCount": 10,
            "cooldownPeriod": grace_seconds(profile),
            "triggers": [_trigger(plan, profile, queue) for queue in profile.queues],
        },
    }


def _trigger(plan: Plan, profile: WorkerProfile, queue: str) -> dict[str, Any]:
    return {
        "type": "redis",
        "metadata": {"listName": queue, "listLength": str(_MESSAGES_PER_SLOT * (profile.concurrency or 1))},
        "authenticationRef": {"name": f"{plan.name}-broker"},
    }


def _trigger_authentication(plan: Plan) -> dict[str, Any]:
    """KEDA wants host, port and password apart, so the Secret carries them beside the URL the workers read."""
    keys = {"host": "REDIS_HOST", "port": "REDIS_PORT", "password": "REDIS_PASSWORD"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": f"{plan.name}-broker"},
        "spec": {
            "secretTargetRef": [
                {"parameter": parameter, "name": plan.secret_name, "key": key} for parameter, key in keys.items()
            ]
        },
    }
