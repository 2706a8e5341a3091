"""A live system for tests: real Redis, daphne, workers and sweep, and the invariant that must hold afterwards."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import urllib3
from databases import Database

from intelli_checks.fleet import WorkerProfile
from intelli_fixtures.processes import Child, until

BACKEND = Path(__file__).resolve().parents[2] / "backend"
PNG_END = b"IEND\xaeB`\x82"
TERMINAL = {"succeeded", "failed", "cancelled"}
PROFILES = {
    "ingestion_io": WorkerProfile("ingestion_io", ("ingestion_io",), concurrency=2, prefetch=4),
    "charts_cpu": WorkerProfile("charts_cpu", ("charts_cpu",), concurrency=2, prefetch=1),
    "ai": WorkerProfile("ai", ("ai",), concurrency=1, prefetch=1),
}
ALL = WorkerProfile("all", ("ingestion_io", "charts_cpu", "ai"), concurrency=2, prefetch=1)


class Starters(NamedTuple):
    """The plugin's fixtures of these names."""

    workers: Any
    servers: Any
    sockets: Any


class Stack:
    """One copy of the backend."""

    def __init__(self, redis: Any, starters: Starters, database: Database, folder: Path) -> None:
        self.redis, self.database, self.folder = redis, database, folder
        self.workers, self.servers, self.sockets = starters
        self.media = folder / "media"
        self.env = {
            "DJANGO_SETTINGS_MODULE": "config.settings.development",
            "CELERY_BROKER_URL": redis.url(0),
            "CELERY_RESULT_BACKEND": redis.url(0),
            "REDIS_URL": redis.url(1),
            "DATABASE_URL": database.url,
            "MEDIA_ROOT": str(self.media),
            "INTELLI_LEASE_SECONDS": "5",
            "INTELLI_SWEEP_SECONDS": "1",
            "DJANGO_DEBUG": "off",
        }
        self.http = urllib3.PoolManager(timeout=urllib3.Timeout(total=30), retries=False)
        self.live: Any = None
        self.submitted: list[str] = []
        self.credentials: dict[str, dict[str, str]] = {}

    def manage(self, *arguments: str) -> str:
        argv = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            argv, cwd=BACKEND, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self, **env: str) -> None:
        self.live = self.servers.start(BACKEND, env={**self.env, **env})

    def worker(self, profile: WorkerProfile = ALL, **env: str) -> Any:
        return self.workers.start(BACKEND, self.redis.url(0), profile, env={**self.env, **env})

    def sweeper(self) -> Child:
        return Child(
            [sys.executable, "manage.py", "sweep", "--loop"],
            log=self.folder / "sweep.log",
            cwd=BACKEND,
            env=self.env,
            name="sweep",
        )

    def request(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        return self.http.request(method, self.live.url + path, **options)

    def post(self, images: list[Path], algorithms: list[str], **headers: str) -> urllib3.BaseHTTPResponse:
        fields: list[Any] = [("images", (image.name, image.read_bytes())) for image in images]
        fields += [("algorithms", name) for name in algorithms]
        return self.request("POST", "/api/jobs/", fields=fields, headers=headers)

    def submit(self, images: list[Path], algorithms: list[str], **headers: str) -> dict[str, Any]:
        response = self.post(images, algorithms, **headers)
        assert response.status in {200, 202}, response.data
        job = response.json()
        self.submitted.append(job["id"])
        # To anybody else the job does not exist, and that includes whoever asks later how it ended.
        self.credentials[job["id"]] = {name: value for name, value in headers.items() if name == "Authorization"}
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        return json.loads(self.request("GET", f"/api/jobs/{job_id}/", headers=self.credentials.get(job_id, {})).data)

    def finished(self, job_id: str, timeout: float = 60) -> dict[str, Any]:
        def terminal() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in TERMINAL else None

        found = until(terminal, timeout, lambda: f"job {job_id} finished: {self.job(job_id)}")
        assert found is not None
        return found

    def watch(self, job_id: str, after: int | None = None) -> Any:
        query = "" if after is None else f"?after={after}"
        return self.sockets.connect(
            f"{self.live.ws_url}/ws/jobs/{job_id}/{query}", headers=self.credentials.get(job_id, {})
        )

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return self.database.rows(query, *values)

    def wait_for_row(self, query: str, *values: Any, timeout: float = 30) -> dict[str, Any]:
        found = until(lambda: self.rows(query, *values), timeout, f"a row for {query} {values}")
        return found[0]

    def assert_invariants(self) -> None:
        """INV: accepted jobs terminal, one finish per task, no gap, the files of the winning attempts and no others."""
        jobs = self.rows("SELECT * FROM jobs_job")
        tasks = {task["id"]: task for task in self.rows("SELECT * FROM jobs_imagetask")}
        assert {job["status"] for job in jobs} <= TERMINAL
        assert {task["status"] for task in tasks.values()} <= TERMINAL
        assert {job.replace("-", "") for job in self.submitted} <= {job["id"] for job in jobs}
        events = defaultdict(list)
        for event in self.rows("SELECT * FROM jobs_event ORDER BY job_id, seq"):
            events[event["job_id"]].append(event)
        finishes = [task_id for job in jobs for task_id in self._finishes(job, events[job["id"]])]
        assert Counter(finishes) == Counter(dict.fromkeys(tasks, 1))
        self._assert_files(tasks)

    def assert_agreement(self, newest: int = 3) -> None:
        """The API, and the WebSocket replayed from the first event, tell the same end of the newest jobs."""
        for job_id in self.submitted[-newest:]:
            job = self.job(job_id)
            frames = self.watch(job_id, after=0).collect(lambda frame, last=job["seq"]: frame["seq"] >= last)
            assert [frame["seq"] for frame in frames] == list(range(1, job["seq"] + 1))
            assert frames[-1]["name"] == f"job.{job['status']}"

    def _finishes(self, job: dict[str, Any], events: list[dict[str, Any]]) -> list[str]:
        """The tasks whose end the job's events tell, once the events themselves are as they must be."""
        assert [event["seq"] for event in events] == list(range(1, job["seq"] + 1))
        assert events[-1]["name"] == f"job.{job['status']}"
        ends = {"task.succeeded", "task.failed", "task.cancelled"}
        found = [json.loads(e["data"])["task"]["id"].replace("-", "") for e in events if e["name"] in ends]
        assert len(found) == job["tasks_finished"] == job["tasks_total"]
        return found

    def _assert_files(self, tasks: dict[str, dict[str, Any]]) -> None:
        artifacts = self.rows("SELECT * FROM jobs_artifact")
        recorded = {row["path"] for row in artifacts}
        on_disk = lambda: {p.relative_to(self.media).as_posix() for p in self.media.glob("artifacts/*/*/*")}  # noqa: E731
        until(lambda: on_disk() == recorded, 5, lambda: f"files {on_disk() ^ recorded}")
        for row in artifacts:
            assert int(Path(row["path"]).name.split("-", 1)[0]) == tasks[row["task_id"]]["attempt"]
            assert hashlib.sha256((self.media / row["path"]).read_bytes()).hexdigest() == row["sha256"]
        for image in self.media.glob("images/*/*"):
            assert image.suffix == ".png", f"half-written: {image}"
            assert image.read_bytes().endswith(PNG_END), f"cut off: {image}"
        assert not list(self.media.rglob("*.tmp"))

    def timed(self, call: Any) -> tuple[float, Any]:
        start = time.monotonic()
        answer = call()
        return time.monotonic() - start, answer
