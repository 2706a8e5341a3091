"""The reference system, whole and real: Redis, Daphne, one worker per queue, the sweep, and an AI endpoint."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import urllib3

from intelli_checks.fleet import Fleet, WorkerProfile
from intelli_fixtures.processes import Child, until
from intelli_fixtures.redis_servers import RedisServer
from intelli_fixtures.servers import Servers
from intelli_fixtures.workers import Workers

sys.path.insert(0, str(Path(__file__).parent))

from ai_endpoint import AiEndpoint, serving

BACKEND = Path(__file__).parents[2] / "backend"
LEASE_SECONDS, SWEEP_SECONDS = 3.0, 0.5
OPEN_ENDED = {"queued", "running"}


def queue_policies():
    """The policy table, read in an interpreter of its own: the backend is not importable from here."""
    code = "import json; from config.queues import as_settings; print(json.dumps(as_settings()))"
    return json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=BACKEND, text=True))


@pytest.fixture(scope="session")
def policies():
    return queue_policies()


def profiles():
    """The workers of the policy, as the launchers start them."""
    return tuple(
        WorkerProfile(policy["name"], (policy["name"],), policy["concurrency"], policy["prefetch"])
        for policy in queue_policies()
    )


@dataclass
class System:
    """Everything that runs, and the API as its users see it."""

    redis: RedisServer
    endpoint: AiEndpoint
    env: dict[str, str]
    workers: Workers
    url: str
    ws_url: str
    by_queue: dict = field(default_factory=dict)
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(timeout=20, retries=False))

    def start_worker(self, queue):
        (profile,) = (profile for profile in profiles() if profile.name == queue)
        self.by_queue[queue] = self.workers.start(BACKEND, self.redis.url(0), profile, env=self.env)

    def keep_workers(self):
        """What a supervisor does: start again what ended. A port that accepts and closes, as the proxy of Docker's does
        while a container restarts, ends a worker that reconnects (kombu 5.7: AttributeError in Channel._connparams)."""
        for queue, worker in list(self.by_queue.items()):
            if worker.child.returncode is not None:
                self.start_worker(queue)

    def request(self, method, path, **options):
        return self.http.request(method, self.url + path, **options)

    def submit(self, images, algorithms, *, key=None):
        fields = [("images", (path.name, path.read_bytes())) for path in images]
        fields += [("algorithms", name) for name in algorithms]
        return self.request("POST", "/api/jobs/", fields=fields, headers={"Idempotency-Key": key} if key else {})

    def job(self, job_id):
        return self.request("GET", f"/api/jobs/{job_id}/").json()

    def finished(self, job_id, timeout=90, meanwhile=lambda: None):
        """The job's document once its status is terminal."""

        def document():
            meanwhile()
            return found if (found := self.job(job_id))["status"] not in OPEN_ENDED else None

        return until(
            document,
            timeout,
            lambda: f"the end of {self.job(job_id)}",
            poll=0.2,
        )

    def artifact(self, document):
        """The bytes of an artifact, proved to be those its document speaks of."""
        answer = self.request("GET", document["url"])
        assert answer.status == 200
        assert (len(answer.data), hashlib.sha256(answer.data).hexdigest()) == (document["size"], document["sha256"])
        return answer.data


@pytest.fixture(scope="session")
def ai_endpoint():
    with serving() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def system(intelli_redis_source, tmp_path_factory, ai_endpoint):
    folder = tmp_path_factory.mktemp("system")
    redis_folder = folder / "redis"
    redis_folder.mkdir()
    redis = RedisServer(intelli_redis_source, redis_folder)
    env = {
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "CELERY_BROKER_URL": redis.url(0),
        "CELERY_RESULT_BACKEND": redis.url(0),
        "REDIS_URL": redis.url(1),
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "MEDIA_ROOT": str(folder / "media"),
        "INTELLI_LEASE_SECONDS": str(LEASE_SECONDS),
        "INTELLI_SWEEP_SECONDS": str(SWEEP_SECONDS),
        "INTELLI_SWEEP_IN_WEB": "off",  # the sweep is a process of its own here, as in production
        "AI_BASE_URL": f"http://127.0.0.1:{ai_endpoint.server_port}/v1",
        "AI_MODEL": "test-1",
    }
    manage = [sys.executable, "manage.py"]
    with contextlib.ExitStack() as stack:
        stack.callback(redis.stop)
        redis.start()
        subprocess.run([*manage, "migrate", "-v0"], cwd=BACKEND, env={**os.environ, **env}, check=True, timeout=120)
        sweep = Child([*manage, "sweep", "--loop"], log=folder / "sweep.log", cwd=BACKEND, env=env, name="sweep")
        stack.callback(sweep.stop)
        workers, servers = Workers(folder), Servers(folder)
        stack.callback(workers.stop)
        stack.callback(servers.stop)
        by_queue = workers.start_fleet(BACKEND, redis.url(0), Fleet("config", profiles()), env=env)
        live = servers.start(BACKEND, env=env)
        made = System(redis, ai_endpoint, env, workers, live.url, live.ws_url, by_queue)
        stack.callback(made.http.clear)
        yield made
