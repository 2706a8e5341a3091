"""Runs a Supervisor as a process of its own, told by JSON on argv, telling every change as a JSON line."""

import json
import os
import sys
import time
from pathlib import Path

from intelli_ops.supervisor.child import Readiness, Service
from intelli_ops.supervisor.policy import RestartPolicy
from intelli_ops.supervisor.supervisor import Supervisor


def main():
    spec = json.loads(sys.argv[1])
    folder = Path(spec["folder"])
    supervisor = Supervisor(
        [service(folder, **one) for one in spec["services"]],
        folder,
        on_change=lambda unit: tell({"event": "change", "at": time.monotonic(), **unit.describe()}),
        policy=RestartPolicy(**spec["policy"]),
    )
    cpu, wall = time.process_time(), time.monotonic()
    code = supervisor.run()
    tell({"event": "ended", "cpu": time.process_time() - cpu, "wall": time.monotonic() - wall})
    sys.exit(code)


def service(folder, *, code, marker=None, heartbeat=None, **more):
    more["needs"] = tuple(more.get("needs", ()))
    ready = (lambda: Readiness((folder / marker).exists(), f"waits for {marker}")) if marker else None
    if heartbeat:
        more |= {"alive": lambda: fresh(folder / heartbeat), "alive_every": 0.2, "misses": 3}
    argv = (sys.executable, "-u", "-c", code)
    return Service(argv=argv, directory=folder, environment=dict(os.environ), ready=ready, **more)


def fresh(file):
    """Alive when the file was touched within the last second."""
    return Readiness(file.exists() and time.time() - file.stat().st_mtime < 1.0, "unresponsive")


def tell(event):
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()


main()
