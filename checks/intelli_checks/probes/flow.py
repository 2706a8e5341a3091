"""One real job, followed from the request to its end, by HTTP and over its WebSocket at the same time."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from intelli_checks.model import Skip, Unavailable
from intelli_checks.probes import flow_plan, http, websocket, websocket_server
from intelli_checks.probes.flow_broker import Broker, look
from intelli_checks.probes.flow_plan import Plan, fill, select
from intelli_checks.text import safe

if TYPE_CHECKING:
    from intelli_checks.context import Context

VISIBLE, GRACE = 2.0, 2.0
"""Seconds a row may take to be seen, and an event to follow the state it reports."""
POLL = 0.04
MAX_ARTIFACTS = 3
_LOGIN = re.compile(r"log-?in|sign-?in|\bauth\b|\bsso\b", re.IGNORECASE)
REDIRECTS, MAX_REDIRECTS = frozenset({301, 302, 303, 307, 308}), 3
AFTERWARDS = 5.0
"""Seconds kept for looking at the broker and cleaning up."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on the WebSocket."""

    at: float
    """Seconds since the request was sent."""
    name: str = ""
    queue: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a download answered."""

    url: str
    status: int
    size: int
    at: float


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen of one job; times are seconds since the request was sent."""

    tag: str
    id: str = ""
    status: int | None = None
    """HTTP status of the answer to the request."""
    accepted: float | None = None
    answer: str = ""
    location: str = ""
    """Where the answer to the request leads."""
    visible: float | None = None
    unseen: int | None = None
    """HTTP status with which the job was not there."""
    instead: str = ""
    """What was told then in place of its state."""
    subscribed: float | None = None
    refusal: str = ""
    """Why the WebSocket was not opened."""
    states: tuple[tuple[float, str], ...] = ()
    """Every change of state, as HTTP tells it."""
    frames: tuple[Frame, ...] = ()
    close_code: int | None = None
    artifacts: tuple[Artifact, ...] = ()
    error: str = ""
    """What the job says about its failure."""
    broker: Broker | None = None
    """Looked at when the job stood still."""
    cleaned: str = ""
    seconds: float = 0.0

    @property
    def state(self) -> str:
        """The last state HTTP told."""
        return self.states[-1][1] if self.states else ""


@dataclass(frozen=True, slots=True)
class Flow:
    """Every run, and the plan they followed."""

    plan: Plan
    runs: tuple[Run, ...] = ()


@dataclass
class _Seen:
    """What the listener thread writes down."""

    frames: list[Frame] = field(default_factory=list)
    subscribed: float | None = None
    refusal: str = ""
    close_code: int | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    """A terminal frame came, or none can come any more."""
    stop: threading.Event = field(default_factory=threading.Event)


def gather(ctx: Context, timeout: float) -> Flow:
    """Run the job of `[flow]` as often as it says, one after the other; raises Skip where nothing describes one."""
    plan = flow_plan.read(ctx.target)
    deadline = time.monotonic() + timeout - min(AFTERWARDS, timeout / 3)
    runs: list[Run] = []
    while len(runs) < max(1, plan.repeat) and time.monotonic() + 0.5 < deadline:
        ends = time.monotonic() + plan.timeout
        run = _Follower(ctx, plan, min(deadline, ends)).run()
        if runs and ends > deadline <= time.monotonic():
            break  # our own time was up, not the job's: its last event may be on its way
        runs.append(run)
        if run.state not in plan.succeeded:
            break
    return Flow(plan, tuple(runs))


def _visited(ctx: Context) -> str:
    """The name to ask for where the server does not take the address's own; empty where it does."""
    name, status = ctx.web_server.visited or ("", 400)
    return name if status != 400 else ""


class _Follower:
    """Follows one job until it ended and said so, or until `deadline`."""

    def __init__(self, ctx: Context, plan: Plan, deadline: float) -> None:
        self.ctx, self.plan, self.deadline = ctx, plan, deadline
        self.base = websocket_server.base(ctx.target)
        self.headers = websocket_server.headers(ctx.target)
        self.name = _visited(ctx)
        self.socket = websocket_server.expanded(plan.websocket, "websocket")
        self.tag = f"intelli-ops-{secrets.token_hex(6)}"
        self.seen = _Seen()
        self.began = time.monotonic()

    def run(self) -> Run:
        run = self.post(Run(self.tag))
        if not run.id:
            return replace(run, seconds=self.now)
        try:
            run = self.follow(run)
            if run.state not in {*self.plan.succeeded, *self.plan.failed}:
                run = replace(run, broker=look(self.ctx))
        finally:
            self.seen.stop.set()
        run = replace(
            run,
            frames=tuple(self.seen.frames),
            subscribed=self.seen.subscribed,
            refusal=self.seen.refusal,
            close_code=self.seen.close_code,
        )
        return replace(run, cleaned=self.clean(run), seconds=self.now)

    @property
    def now(self) -> float:
        return round(time.monotonic() - self.began, 4)

    @property
    def left(self) -> float:
        return max(0.2, self.deadline - time.monotonic())

    def ask(self, method: str, path: str, **options: Any) -> http.Answer:
        """One request below the address of the web server, which may itself have a path."""
        return self.call(method, flow_plan.below(self.base, path), **options)

    def call(self, method: str, url: str, **options: Any) -> http.Answer:
        """What lets us in here is nobody else's business: another host may be a store with links of its own."""
        if self.name and urlsplit(url).hostname == self.name:  # the server's own links, under the name we gave it
            url = flow_plan.below(self.base, urlsplit(url)._replace(scheme="", netloc="").geturl())
        here = urlsplit(url)[:2] == urlsplit(self.base)[:2]
        named = {"Host": self.name} if self.name else {}
        return http.call(method, url, self.left, headers={**named, **self.headers} if here else {}, **options)

    def post(self, run: Run) -> Run:
        content = flow_plan.body(self.plan, self.ctx.target, self.tag)
        self.began = time.monotonic()
        answer = self.ask(self.plan.method, fill(self.plan.path, tag=self.tag), **content)
        document = answer.json()
        location = answer.headers.get("location", "")
        told = flow_plan.id_of(self.plan, document, location) if answer.status in self.plan.accepted else ""
        run = replace(run, status=answer.status, accepted=self.now, answer=answer.gist, id=safe(told))
        return replace(run, location=safe(location)[:200])

    def follow(self, run: Run) -> Run:
        if self.plan.websocket:
            threading.Thread(target=self.listen, args=(run.id,), daemon=True).start()
        else:
            self.seen.ended.set()
        ended_at: float | None = None
        while time.monotonic() < self.deadline:
            run, document = self.look(run)
            if run.visible is None and self.now > VISIBLE + (run.accepted or 0):
                return run
            if run.state in {*self.plan.succeeded, *self.plan.failed}:
                if ended_at is None:
                    ended_at = self.now
                    run = self.finished(run, document)
                if self.seen.ended.is_set() or self.now > ended_at + GRACE:
                    return run
            self.seen.ended.wait(POLL) if ended_at else threading.Event().wait(POLL)
        return run

    def look(self, run: Run) -> tuple[Run, Any]:
        """One GET of the job."""
        answer = self.ask("GET", fill(self.plan.status_path, id=run.id, tag=self.tag))
        document = answer.json()
        states = select(document, self.plan.status) if answer.status == 200 else []
        if not states:
            return replace(run, unseen=answer.status, instead=answer.gist), document
        state, changes = self.plan.named(safe(states[0])), run.states
        if not changes or changes[-1][1] != state:
            changes = (*changes, (self.now, state))
        return replace(run, visible=run.visible or self.now, states=changes), document

    def finished(self, run: Run, document: Any) -> Run:
        """What the job left: its artifacts, or its reason."""
        if run.state in self.plan.failed:
            reasons = [one for one in select(document, self.plan.error) if one] if self.plan.error else []
            return replace(run, error=safe(reasons[0])[:300] if reasons else "")
        if not self.plan.artifact:
            return run
        pointed = "/" in self.plan.artifact
        if pointed:
            urls = [flow_plan.below(self.base, fill(self.plan.artifact, id=run.id))]
        else:
            urls = [urljoin(f"{self.base}/", str(url)) for url in select(document, self.plan.artifact)]
        return replace(run, artifacts=tuple(self.download(url) for url in urls[:MAX_ARTIFACTS]))

    def download(self, url: str) -> Artifact:
        """As a browser does it: through the redirects to wherever files are kept."""
        shown = safe(url.removeprefix(self.base).partition("?")[0])  # a query may be what lets anybody in
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self.call("GET", url)
                if answer.status not in REDIRECTS or "location" not in answer.headers:
                    break
                url = urljoin(url, answer.headers["location"])
                if _LOGIN.search(urlsplit(url).path):  # a page, not the file
                    return Artifact(shown, 401, 0, self.now)
        except Unavailable as outage:
            return Artifact(safe(f"{shown}: {outage}"), 0, 0, self.now)
        return Artifact(shown, answer.status, len(answer.body), self.now)

    def clean(self, run: Run) -> str:
        """Undo what the plan says to undo."""
        how = self.plan.cleanup
        unfinished = run.state not in {*self.plan.succeeded, *self.plan.failed}
        if not how.get("path") or (how.get("when", "always") == "unfinished" and not unfinished):
            return ""
        self.deadline = max(self.deadline, time.monotonic() + 2.0)
        try:
            answer = self.ask(how.get("method", "DELETE"), fill(how["path"], id=run.id))
        except (Unavailable, Skip) as error:
            return safe(error)
        return f"{how.get('method', 'DELETE')} answered {answer.status}"

    # -- the socket ---------------------------------------------------------------------------------------------------

    def listen(self, id_: str) -> None:
        from websockets.exceptions import ConnectionClosed, InvalidStatus

        path = fill(self.socket, id=id_, tag=self.tag)
        url = websocket_server.url(self.ctx.target, path)
        try:
            origin = websocket_server.origin_for(self.ctx, path)
            with websocket.connect(url, origin, self.left, self.headers) as socket:
                self.seen.subscribed = self.now
                self.receive(socket)
        except InvalidStatus as refusal:
            self.seen.refusal = f"HTTP {refusal.response.status_code}"
        except ConnectionClosed as closed:
            self.seen.close_code = closed.rcvd.code if closed.rcvd else 1006
        except Exception as error:  # noqa: BLE001 - whatever ends the socket is what is to be told
            self.seen.refusal = self.seen.refusal or safe(error)[:200] or type(error).__name__
        finally:
            self.seen.ended.set()

    def receive(self, socket: Any) -> None:
        while not self.seen.stop.is_set() and time.monotonic() < self.deadline:
            try:
                text = socket.recv(timeout=0.2)
            except TimeoutError:
                continue
            frame = self.frame(text)
            self.seen.frames.append(frame)
            if frame.name in self.plan.terminal:
                return

    def frame(self, text: str | bytes) -> Frame:
        try:
            document = json.loads(text)
        except ValueError:
            return Frame(self.now)
        return Frame(self.now, *(self.first(document, name) for name in ("event_name", "queue", "task")))

    def first(self, document: Any, name: str) -> str:
        pointer = getattr(self.plan, name)
        found = select(document, pointer) if pointer and isinstance(document, Mapping) else []
        return safe(found[0]) if found else ""
