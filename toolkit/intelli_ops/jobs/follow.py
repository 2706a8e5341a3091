"""The events of a job over its WebSocket, each once and in order, through every reconnection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from intelli_ops.jobs.api import ApiError

ENDED = frozenset({"succeeded", "failed", "cancelled"})
_HANDSHAKE = 10.0


@dataclass
class Follower:
    """What is known of a job so far: a snapshot, kept current by the events after it."""

    base: str
    job_id: str
    token: str | None = field(default=None, repr=False)
    job: dict[str, Any] = field(default_factory=dict)
    seq: int | None = None
    """Number of the last event seen; None asks for a snapshot first."""
    reconnections: int = 0
    names: list[str] = field(default_factory=list)
    """The events seen, in order."""

    @property
    def ended(self) -> bool:
        return self.job.get("status") in ENDED

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return list(self.job.get("tasks", ()))

    def follow(self, timeout: float) -> Iterator[Mapping[str, Any]]:
        """Yield each message as it comes until the job has ended; raises ApiError after `timeout` seconds without that.

        A connection that breaks is made again with `?after=` the last number seen, so nothing is missed or told twice.
        """
        deadline = time.monotonic() + timeout
        pause = 0.1
        while not self.ended:
            before = self.seq
            yield from self._until_broken(deadline)
            if time.monotonic() >= deadline:
                raise ApiError(f"job {self.job_id} is still {self.job.get('status', 'unknown')} after {timeout:g} s")
            if not self.ended:
                pause = 0.1 if self.seq != before else min(pause * 2, 2.0)
                self.reconnections += 1
                threading.Event().wait(min(pause, max(0.0, deadline - time.monotonic())))

    def _until_broken(self, deadline: float) -> Iterator[Mapping[str, Any]]:
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect
        from websockets.typing import Origin

        headers = {"Authorization": f"Token {self.token}"} if self.token else {}
        left = max(0.1, min(_HANDSHAKE, deadline - time.monotonic()))
        try:
            # The origin check of the server refuses a client that sends none, as it should.
            with connect(
                self._url,
                origin=Origin(self.base),
                additional_headers=headers,
                open_timeout=left,
                close_timeout=1,
                proxy=None,
            ) as socket:
                while not self.ended:
                    message = json.loads(socket.recv(timeout=max(0.0, deadline - time.monotonic())))
                    if self.take(message):
                        yield message
        except InvalidStatus as refusal:
            if 400 <= refusal.response.status_code < 500:
                raise ApiError(f"the server refused the WebSocket of job {self.job_id}: is the id right?") from refusal
        except (WebSocketException, OSError, TimeoutError):
            return  # the caller decides whether there is time for another try

    @property
    def _url(self) -> str:
        url = urljoin(self.base.replace("http", "ws", 1), f"/ws/jobs/{self.job_id}/")
        return url if self.seq is None else f"{url}?after={self.seq}"

    def take(self, message: Mapping[str, Any]) -> bool:
        """Bring the job up to date; False for what was seen before. Raises ApiError when a number is missing."""
        seq = int(message.get("seq", 0))
        if message.get("type") == "snapshot":
            self.job, self.seq = dict(message["job"]), seq
            return True
        known = self.seq or 0
        if seq <= known:
            return False
        if seq != known + 1:
            raise ApiError(f"event {seq} of job {self.job_id} came after event {known}: the server lost some")
        self.seq = seq
        self.names.append(str(message.get("name")))
        self._apply(str(message.get("name")), message.get("data") or {})
        return True

    def _apply(self, name: str, data: Mapping[str, Any]) -> None:
        if task := data.get("task"):
            known = {known["id"]: known for known in self.tasks}
            known[task["id"]] = {**known.get(task["id"], {}), **task}
            self.job["tasks"] = list(known.values())
        if progress := data.get("progress"):
            self.job["progress"] = progress
        kind, _, what = name.partition(".")
        if kind == "job":
            self.job["status"] = "running" if what == "started" else what
