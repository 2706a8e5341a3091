"""What the demonstration does with the running system, and what it insists on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intelli_checks.stalls import Stalls
from intelli_ops import exits
from intelli_ops.bring_up import Running
from intelli_ops.demo import samples
from intelli_ops.jobs.api import ApiError, JobsApi, artifacts, collect
from intelli_ops.jobs.display import problems, watch, work
from intelli_ops.jobs.follow import Follower
from intelli_ops.say import say
from intelli_ops.system import System

ALGORITHMS = (
    "histogram", "sobel_edges", "otsu_threshold", "fft_spectrum", "dominant_colours", "tone_curve", "describe",
)  # fmt: skip
_JOB_SECONDS = 300.0
_CHECK_SECONDS = 60.0


@dataclass
class Demo:
    """Runs beside the supervisor's loop, which needs the main thread, and stops it when done."""

    failures: list[str] = field(default_factory=list)
    finished: bool = False

    def start(self, running: Running) -> None:
        """Begin, now that the system is up."""
        threading.Thread(target=self._run, args=(running,), name="demo", daemon=True).start()

    @property
    def code(self) -> int:
        """0 only if all of it was done and right."""
        return exits.HEALTHY if self.finished and not self.failures else exits.FAILED

    def _run(self, running: Running) -> None:
        try:
            say(f"\nThe system is up after {running.seconds:.1f} s: {running.system.web}\n")
            self._job(running)
            self._checks(running)
            self.finished = True
        except (ApiError, OSError, subprocess.SubprocessError) as error:
            self.failures.append(str(error))
        finally:
            say("")
            running.supervisor.request_stop()

    def _job(self, running: Running) -> None:
        api = JobsApi(running.system.web)
        folder = running.system.state.folder("samples")
        files = (*samples.photographs(), *samples.make(folder))
        say(f"Submitting {len(files)} images x {len(ALGORITHMS)} algorithms:")
        key = str(uuid.uuid4())
        job = api.submit(files, (), ALGORITHMS, key)
        follower = Follower(api.base, job["id"], job=job, seq=job["seq"])
        watch(follower, _JOB_SECONDS)
        self._judge(api, follower, len(files) * (len(ALGORITHMS) + 1))
        if api.submit(files, (), ALGORITHMS, key)["id"] != job["id"]:
            self.failures.append("the same idempotency key made a second job")
        self._collect(api, api.job(job["id"]), running.system.state.folder("artifacts") / job["id"][:8])

    def _judge(self, api: JobsApi, follower: Follower, expected: int) -> None:
        job = api.job(follower.job_id)
        self.failures += problems(job)
        if (follower.job["status"], job["status"]) != ("succeeded", "succeeded"):
            self.failures.append(f"the job ended {job['status']}, its WebSocket said {follower.job['status']}")
        if follower.seq != job["seq"]:
            self.failures.append(f"the WebSocket told {follower.seq} events of {job['seq']}")
        if (done := follower.names.count("task.succeeded")) != expected:
            self.failures.append(f"{done} tasks succeeded on the WebSocket, {expected} were asked for")
        self.failures += [f"{work(task)} made no artifact" for task in _barren(job)]

    def _collect(self, api: JobsApi, job: Mapping[str, Any], folder: Path) -> None:
        collect(api, job, folder)
        made = Counter(work(task) for task, _ in artifacts(job))
        listed = ", ".join(f"{name} {count}" for name, count in made.items())
        say(f"{made.total()} artifacts of {len(job['images'])} images: {listed}.")
        say(f"They stay in {_near(folder)}.")

    def _checks(self, running: Running) -> None:
        say("\nAsking the checks about it:")
        with Stalls() as stalls:
            code = self._ask(running.system)
        if code != exits.HEALTHY and stalls.seconds:
            say(f"\nThis machine stood still for {stalls.seconds:.1f} s meanwhile. Asking again:")
            code = self._ask(running.system)
        if code != exits.HEALTHY:
            self.failures.append(f"intelli-ops check exited {code}")

    def _ask(self, system: System) -> int:
        argv = [sys.executable, "-m", "intelli_ops", "check", "--project", str(system.backend), "--timeout", "30"]
        ran = subprocess.run(  # noqa: S603 - our own command
            [*argv, *_meant(system)],
            env={**system.environment, "INTELLI_OPS_WEB": system.web},
            timeout=_CHECK_SECONDS,
            check=False,
        )
        return ran.returncode


def _meant(system: System) -> list[str]:
    """What is no fault here. The address is part of the reason: the Redis of the next demo is another one."""
    reason = f"the demo's own Redis, {system.broker.address}, ends with it"
    return ["--mute", f"redis.persistence={reason}"] if system.server else []


def _barren(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Algorithm tasks that succeeded with nothing to show."""
    return (
        task for task in job["tasks"] if task["status"] == "succeeded" and task["algorithm"] and not task["artifacts"]
    )


def _near(path: Path) -> str:
    """The path as one would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def environment_problem() -> str | None:
    """What keeps the demonstration from running here, if anything."""
    from importlib.util import find_spec

    missing = [name for name in ("PIL", "numpy", "matplotlib", "websockets") if find_spec(name) is None]
    return f"missing {', '.join(missing)}: pip install '.[demo]' in {os.curdir}" if missing else None
