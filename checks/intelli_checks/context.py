"""What a check may ask: the target it points at and the facts gathered about it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from intelli_checks.model import Skip, Unavailable
from intelli_checks.target import Target

if TYPE_CHECKING:
    from intelli_checks.probes.absence import Absence
    from intelli_checks.probes.beat import BeatFacts
    from intelli_checks.probes.canary import Canary
    from intelli_checks.probes.channels import Exchange
    from intelli_checks.probes.channels_state import LayerState
    from intelli_checks.probes.control import Control
    from intelli_checks.probes.copies import Copy
    from intelli_checks.probes.database_users import DatabaseUser
    from intelli_checks.probes.earlier import Roll
    from intelli_checks.probes.flow import Flow
    from intelli_checks.probes.flower import Flower
    from intelli_checks.probes.host_facts import HostFacts
    from intelli_checks.probes.keyspace import Keyspace
    from intelli_checks.probes.layer_users import LayerUser
    from intelli_checks.probes.layout import Layout
    from intelli_checks.probes.led_elsewhere import Led
    from intelli_checks.probes.processes import Process
    from intelli_checks.probes.queues import QueueDepths
    from intelli_checks.probes.redis import Endpoint
    from intelli_checks.probes.redis_facts import RedisFacts
    from intelli_checks.probes.results import ResultSample, ResultStore
    from intelli_checks.probes.senders import Sender
    from intelli_checks.probes.survey import Audit, Survey
    from intelli_checks.probes.versions import Versions
    from intelli_checks.probes.watch import Watch
    from intelli_checks.probes.web_process import WebProcess
    from intelli_checks.probes.websocket import Attempt
    from intelli_checks.probes.websocket_events import Emission
    from intelli_checks.probes.websocket_server import Handshakes, Server
    from intelli_checks.probes.workers import WorkerFleet

T = TypeVar("T")

_guard = threading.Lock()


class fact(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """A property gathered at most once per context; everyone after the first shares the answer, or the error.

    `functools.cached_property` has had no lock since Python 3.12: five checks would ask the broker five times.
    """

    def __init__(self, gather: Callable[[Any], T]) -> None:
        self.gather = gather
        self.__doc__ = gather.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, ctx: None, owner: type) -> fact[T]: ...
    @overload
    def __get__(self, ctx: Context, owner: type) -> T: ...
    def __get__(self, ctx: Context | None, owner: type) -> fact[T] | T:
        if ctx is None:
            return self
        with _guard:
            mine = self.name not in ctx.gathered
            answer = cast("Future[T]", ctx.gathered.setdefault(self.name, Future()))
        if mine:
            try:
                answer.set_result(self.gather(ctx))
            except BaseException as error:  # noqa: BLE001 - whoever waits must get the error, not wait for ever
                answer.set_exception(error)
        return answer.result(timeout=max(0.0, ctx.remaining + 1.0))


class Context:
    """Lazy, shared facts about one target: five checks may read them, one probe gathers them.

    Facts are declared here, and only here, so that `--save` and `--from` know them all. Each delegates to the probe of
    its name in `intelli_checks.probes`, which is imported when first asked.
    """

    def __init__(self, target: Target, *, deadline: float | None = None, purpose: str = "survey") -> None:
        self.target = target
        self.purpose = purpose
        """How much the project is asked: "survey" is everything, "celery" leaves the web side out."""
        self.deadline = time.monotonic() + target.timeout if deadline is None else deadline
        self.gathered: dict[str, Future[Any]] = {}
        self._told = -math.inf
        self.offline = False
        """Whether no server may be asked: what is declared is judged by itself."""
        self.remembered: Roll | None = None
        """What whoever runs the checks remembers of the workers; None where nothing is kept."""

    @property
    def remaining(self) -> float:
        """Seconds left until the run's deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def budget(self, seconds: float) -> float:
        """At most `seconds`, and no more than what is left, less the moment it takes to judge what comes of it.

        A probe that gave up at the very deadline would lose its verdict ("accepted, but silent") to "could not tell".
        """
        left = self.remaining
        return min(seconds, left - min(0.3, left / 5))

    def ask_project(self) -> None:
        """Start the interview now, on a thread of its own; whoever reads `surveys` waits for the same answer."""

        def ask() -> None:
            with suppress(Exception):  # whoever reads the fact is told
                _ = self.surveys

        threading.Thread(target=ask, name="survey", daemon=True).start()

    def told(self) -> float:
        """When the project had told what it declares (monotonic seconds), waiting while it does; -inf: nobody asks."""
        if answer := self.gathered.get("surveys"):
            wait([answer], self.remaining)
        return self._told

    @fact
    def surveys(self) -> Mapping[str, Survey]:
        """What the project declares, at each place it was asked; raises Skip where there is no project."""
        from intelli_checks.probes import survey

        try:
            return survey.gather(self.target, self.budget(self.target.timeout), self.purpose)
        finally:
            self._told = time.monotonic()

    @fact
    def one_server(self) -> frozenset[str]:
        """Which of broker and results the places call by several names, and is one database of one server."""
        from intelli_checks.probes import same_server

        if self.offline:
            return frozenset()
        places = [place for place in self.target.places if place.name in self.surveys]
        told = [self.surveys[place.name] for place in places]
        urls = {"broker": [one.broker for one in told], "results": [one.results for one in told]}
        known = {role: [url for url in named if url] for role, named in urls.items()}
        return frozenset(
            role for role, named in known.items() if len(named) == len(places) and same_server.same(named, places)
        )

    @property
    def survey(self) -> Survey:
        """What the project declares, at the first place."""
        return next(iter(self.surveys.values()))

    @fact
    def audits(self) -> Mapping[str, Audit]:
        """What Django's own checks and migrations say at each place; raises Skip where there is no project."""
        from intelli_checks.probes import survey

        return survey.audit(self.target, self.budget(self.target.timeout))

    @fact
    def broker_endpoint(self) -> Endpoint:
        """The Redis that is the broker, sentinels already asked; raises Skip where it is not a Redis, or not used."""
        from intelli_checks.probes import redis_roles

        if self.target.broker is None:  # one that was named is looked at, used or not
            self.require_broker()
        return redis_roles.dial(redis_roles.broker(self), self.budget(2.0))

    @fact
    def results_endpoint(self) -> Endpoint:
        """The Redis that stores results; raises Skip where results are off or elsewhere."""
        from intelli_checks.probes import redis_roles

        return redis_roles.dial(redis_roles.results(self), self.budget(2.0))

    @fact
    def channels_endpoints(self) -> tuple[Endpoint, ...]:
        """Every Redis of the channel layers; raises Skip where no layer uses one."""
        from intelli_checks.probes import redis_roles

        return tuple(redis_roles.dial(endpoint, self.budget(2.0)) for endpoint in redis_roles.channels(self))

    @fact
    def redis_broker(self) -> RedisFacts:
        """What the broker's Redis tells about itself."""
        from intelli_checks.probes import redis

        return redis.gather(self.broker_endpoint, self.budget(redis.patience(self.broker_endpoint, 2.5)))

    @fact
    def redis_results(self) -> RedisFacts:
        """What the result store's Redis tells about itself."""
        from intelli_checks.probes import redis

        return redis.gather(self.results_endpoint, self.budget(redis.patience(self.results_endpoint, 2.5)))

    @fact
    def redis_channels(self) -> tuple[RedisFacts | Unavailable, ...]:
        """What each Redis of the channel layers tells about itself, or why it does not."""
        from intelli_checks.probes import redis

        endpoints = self.channels_endpoints
        return redis.gather_all(
            endpoints, self.budget(max((redis.patience(one, 2.5) for one in endpoints), default=2.5))
        )

    def require_broker(self) -> None:
        """Raise Skip where tasks never leave the caller: what the broker or a worker says would prove nothing."""
        try:
            eager = self.survey.eager
        except (Skip, Unavailable):  # no project to ask: then there is only the broker
            return
        if eager:
            raise Skip("EAGER mode: tasks run inside the caller", because="celery.eager")

    @fact
    def host(self) -> HostFacts:
        """What this machine tells about itself; raises Skip where the system runs on another one."""
        from intelli_checks.probes import host, host_scope

        host_scope.require_local(self)
        return host.gather(host_scope.paths(self), host_scope.ports(self))

    @fact
    def flowers(self) -> tuple[Flower, ...]:
        """Every Flower that answers on this machine; raises Skip where the system runs on another one."""
        from intelli_checks.probes import flower, host_scope

        host_scope.require_local(self)
        return flower.gather(self.budget(4.0))

    @property
    def project(self) -> Survey | None:
        """The survey, or None where only URLs are known or the project cannot tell and the broker was given."""
        if not self.target.places:
            return None
        try:
            return self.survey
        except (Skip, Unavailable):
            if self.target.broker is None:
                raise
            return None

    @fact
    def layout(self) -> Layout:
        """Where the project's queues and mailbox are; raises Skip in EAGER mode and for brokers other than Redis."""
        from intelli_checks.probes import layout

        self.require_broker()
        endpoint = self.broker_endpoint
        conf = self.project.conf if self.project else {}
        return layout.Layout.of(endpoint.dsn, conf, tls=endpoint.tls, via=endpoint.via)

    @fact
    def control(self) -> Control:
        """What the project's own app learns of a broker that is not Redis."""
        from intelli_checks.probes import control

        return control.gather(self.target, self.survey, self.budget(10.0))

    @fact
    def fleet(self) -> WorkerFleet:
        """Everybody who listens for remote control, and what they say about themselves."""
        from intelli_checks.probes import fleet

        return fleet.gather(self.layout, self.budget(4.0), declared=self.project is not None)

    @fact
    def earlier(self) -> Roll:
        """The workers at the last look; an empty roll at the first."""
        from intelli_checks.probes.earlier import Roll

        return self.remembered or Roll()

    @fact
    def versions(self) -> Versions:
        """Which versions each worker runs."""
        from intelli_checks.probes import versions

        return versions.gather(self.layout, self.fleet, self.earlier, self.budget(4.0))

    @fact
    def keyspace(self) -> Keyspace:
        """A bounded sample of the broker database's keys."""
        from intelli_checks.probes import broker, keyspace

        with broker.opened(self.layout, self.budget(2.0)) as connection:
            return keyspace.gather(connection)

    @fact
    def depths(self) -> QueueDepths:
        """What waits in every queue that is declared, routed to, consumed or found."""
        from intelli_checks.probes import queues

        return queues.gather_all(self.layout, self.project, self.fleet, self.keyspace, self.budget(2.0))

    @fact
    def depths_later(self) -> QueueDepths:
        """The same queues about a second after `depths`, to tell growing from draining."""
        from intelli_checks.probes import queues

        return queues.again(self.fleet.found(self.layout), self.depths, self.budget(3.0))

    @fact
    def watch(self) -> Watch:
        """What stands still: a second look, taken only when the first one asks for it."""
        from intelli_checks.probes import watch

        return watch.gather(self.layout, self.project, self.fleet, self.depths, self.budget(2.5))

    @fact
    def absence(self) -> Absence:
        """Where the workers may be when some do not answer."""
        from intelli_checks.probes import absence

        return absence.gather(self.layout, self.fleet, self.keyspace, self.budget(2.0))

    @fact
    def pools(self) -> Mapping[int, Process]:
        """The main and pool processes of answering workers that run on this machine, by pid."""
        from intelli_checks.probes import processes

        return processes.of_fleet(self.fleet)

    @fact
    def newest_source(self) -> tuple[str, float] | None:
        """The project's Python file that was changed last and when; None where its code is not on this machine."""
        from intelli_checks.probes import processes

        place = self.target.places[0] if self.target.places else None
        return processes.newest_source(self.survey.project) if place and not place.remote else None

    @fact
    def copies(self) -> Mapping[int, Copy]:
        """The answering workers on this machine that run in another checkout of the project, by pid."""
        from intelli_checks.probes import copies

        place = self.target.places[0] if self.target.places else None
        return copies.gather(self.survey, self.pools) if place and not place.remote else {}

    @fact
    def result_store(self) -> ResultStore | None:
        """The Redis that keeps the project's results; None when they are disabled, elsewhere, or unknown."""
        from intelli_checks.probes import results

        try:
            endpoint = self.results_endpoint
            _ = self.redis_results  # from a store that does not answer nothing is read; redis.results says why
        except (Skip, Unavailable):
            endpoint = None
        return results.store(endpoint, self.project, self.fleet, self.layout.dsn)

    @fact
    def canaries(self) -> tuple[Canary, ...]:
        """What became of one no-op task on each consumed queue."""
        from intelli_checks.probes import canary

        scene = canary.Scene(self.layout, self.fleet, self.depths, self.project, self.result_store)
        return canary.gather(scene, self.budget(4.0))

    @fact
    def result_sample(self) -> ResultSample:
        """A bounded look at stored results; raises Skip where they are not in a Redis."""
        from intelli_checks.probes import keyspace, results

        store = self.result_store
        if store is None:
            raise Skip("no results in a Redis to look at")
        keys = keyspace.of_results(store.dsn, store.tls, self.budget(2.0), store.via)
        return results.sample(store, keys, self.budget(2.0))

    @fact
    def lost_tasks(self) -> tuple[str, ...]:
        """Ids of tasks whose result says STARTED while no worker has them."""
        from intelli_checks.probes import results

        store = self.result_store
        suspects = self.result_sample.started.keys() - self.fleet.held
        if store is None or not suspects or not self.fleet.accounted:
            return ()
        return results.lost(store, self.fleet.found(self.layout), suspects, self.budget(2.0))

    @fact
    def still_connected(self) -> tuple[int, ...]:
        """Pids of the project's workers on this machine that hold a connection to the broker's address."""
        from intelli_checks.probes import processes, same_server

        endpoint = self.broker_endpoint
        if endpoint.via is not None:
            return ()
        addresses = same_server.addresses(endpoint.dsn)
        here = {str(self.target.directory.resolve()), *((self.project.project,) if self.project else ())}
        return tuple(
            one.pid for one in processes.celery("worker") if one.directory in here and addresses & set(one.peers)
        )

    @fact
    def led_elsewhere(self) -> tuple[Led, ...]:
        """The project's workers on this machine, and the other Redis that serves each, where one does."""
        from intelli_checks.probes import led_elsewhere

        return led_elsewhere.gather(self.target, self.project) if self.project and not self.offline else ()

    @fact
    def beats(self) -> BeatFacts:
        """What is seen of the scheduler: on this machine, in the mailbox, and in its schedule file."""
        from intelli_checks.probes import beat

        return beat.gather(self.fleet, self.target.directory, self.project)

    @fact
    def exchanges(self) -> tuple[Exchange, ...]:
        """What processes hear of each other through the project's channel layers."""
        from intelli_checks.probes import channels

        return channels.gather(self.target, self.budget(14.0))

    @fact
    def layer_states(self) -> tuple[LayerState, ...]:
        """Groups, members and backlog of every Redis of the channel layers."""
        from intelli_checks.probes import channels_state, websocket_server

        survey = websocket_server.declared(self)
        prefixes = sorted({layer.prefix for layer in survey.layers}) if survey else ()
        return tuple(
            state
            for endpoint in self.channels_endpoints
            for state in channels_state.gather(endpoint, self.budget(2.0), prefixes=prefixes)
        )

    @fact
    def layer_users(self) -> tuple[LayerUser, ...]:
        """Whose processes use the first layer's database; raises Skip where no layer is on a Redis."""
        from intelli_checks.probes import layer_users

        return layer_users.gather(self.target, self.survey, self.channels_endpoints[0], self.budget(3.0))

    @fact
    def senders(self) -> tuple[Sender, ...]:
        """Local processes that send tasks, as their own environment makes them; raises Skip where they are not here."""
        from intelli_checks.probes import senders

        if self.offline:
            raise Skip("whom they reach is asked of servers")
        return senders.gather(self.target, self.survey)

    @fact
    def database_users(self) -> tuple[DatabaseUser, ...]:
        """Which database each local process of the project uses, as far as its environment tells."""
        from intelli_checks.probes import database_users

        return () if self.offline else database_users.gather(self.target, self.survey, self.budget(8.0))

    @fact
    def web_processes(self) -> tuple[WebProcess, ...]:
        """Every process of the web servers that run in the project's folder on this machine."""
        from intelli_checks.probes import web_process

        return web_process.processes(self.target)

    @fact
    def web_server(self) -> Server:
        """The web server, as one GET sees it; raises Skip where nobody said where it is."""
        from intelli_checks.probes import websocket_server

        return websocket_server.look(self, self.budget(8.0))

    @fact
    def handshakes(self) -> Handshakes:
        """What the server makes of WebSocket handshakes with its own, a foreign and no origin."""
        from intelli_checks.probes import websocket_server

        return websocket_server.shake(self, self.budget(5.0))

    @fact
    def emission(self) -> Emission:
        """Which group an open socket joins, and whether a message into the layer is read."""
        from intelli_checks.probes import websocket_events

        return websocket_events.gather(self, self.budget(12.0))

    @fact
    def idle_socket(self) -> Attempt:
        """A socket that was left alone for nine seconds."""
        from intelli_checks.probes import websocket, websocket_server

        shaken, where = self.handshakes, websocket_server.url(self.target, self.handshakes.route.path)
        headers = websocket_server.headers(self.target)
        return websocket.attempt(where, shaken.own.origin, self.budget(12.0), headers=headers, hold=websocket.IDLE)

    @fact
    def flow(self) -> Flow:
        """What became of real jobs; raises Skip where no `[flow]` describes one."""
        from intelli_checks.probes import flow

        return flow.gather(self, self.budget(115.0))
