"""Who answers the control mailbox, and what each node says about itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from intelli_checks.probes import pidbox
from intelli_checks.probes.clients import Client, listing
from intelli_checks.probes.layout import SEPARATOR, Layout
from intelli_checks.probes.nodes import Node, Request, parse_node
from intelli_checks.probes.resp import Connection
from intelli_checks.probes.survey import Survey

TASK_ATTRIBUTES = ("acks_late", "time_limit", "soft_time_limit", "rate_limit")
COMMANDS: Mapping[str, Mapping[str, Any]] = {
    "stats": {},
    "active_queues": {},
    "active": {"safe": True},
    "reserved": {},
    "scheduled": {},
}
"""What changes from one look to the next."""
UNACKNOWLEDGED = ("reserved", "scheduled")
"""What a worker holds and has not started: messages Redis still keeps for it (`kombu.transport.redis.QoS`)."""
PROFILE: Mapping[str, Mapping[str, Any]] = {
    "registered": {"taskinfoitems": list(TASK_ATTRIBUTES)},
    "conf": {},
}
"""What stays as long as the worker lives; asked once, as these are the long answers."""
UNTOLD = 12 * 1024 * 1024
"""Bytes of unacknowledged messages that are too much to be asked for."""
SAMPLE = 50
CONTENT_TYPES = {
    "json": "application/json",
    "pickle": "application/x-python-serialize",
    "yaml": "application/x-yaml",
    "msgpack": "application/x-msgpack",
}
"""kombu's serializers."""


@dataclass(frozen=True, slots=True)
class WorkerFleet:
    """Everybody who listens on one mailbox, at one moment."""

    listeners: int
    nodes: tuple[Node, ...] = ()
    others: tuple[str, ...] = ()
    """Nodes that answer ping and nothing else: Celery's beat since 5.7."""
    silent: int = 0
    bound: tuple[str, ...] = ()
    """Names bound to the mailbox that did not answer; workers that were killed stay bound."""
    clients: tuple[Client, ...] | None = None
    """Connections to the broker except ours; None where CLIENT LIST is not allowed."""
    opaque: int = 0
    """Answers in a serializer other than JSON."""
    untold: bool = False
    """Whether what the workers hold is too much to be asked for: nothing follows from what is missing in it."""
    taken: float = 0.0
    """Redis's own clock when the round began, seconds since the epoch."""
    seconds: float = 0.0
    namesakes: Mapping[str, tuple[frozenset[str], ...]] = field(default_factory=dict)
    """Name that several nodes have -> the tasks each of them knows; nothing tells which answer is whose."""
    database: int = 0
    prefix: str = ""
    """Key prefix under which they were found, which the project may not know; so the three below."""
    fanout: str = "/{db}."
    control_exchange: str = "celery"
    separator: str = SEPARATOR

    def found(self, layout: Layout) -> Layout:
        """The layout under which these workers answered."""
        return layout.but(
            prefix=self.prefix,
            fanout=self.fanout,
            control_exchange=self.control_exchange,
            separator=self.separator,
        )

    @property
    def held(self) -> frozenset[str]:
        return frozenset().union(*(node.held for node in self.nodes))

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(queue for node in self.nodes for queue in node.queues)

    def consumers(self, queue: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if queue in node.queues)

    def holders(self, id_: str) -> list[tuple[Node, Request]]:
        """Everybody who has a task of this id in hand."""
        return [
            (node, request)
            for node in self.nodes
            for request in (*node.active, *node.reserved, *node.scheduled)
            if request.id == id_
        ]

    @property
    def duplicates(self) -> tuple[str, ...]:
        """Names more than one node answers to."""
        return tuple(name for name, times in Counter(node.name for node in self.nodes).items() if times > 1)

    @property
    def consuming(self) -> tuple[Client, ...]:
        """Connections on this database over which a worker takes messages."""
        return tuple(client for client in self.clients or () if client.consumes and client.database == self.database)

    @property
    def unexplained(self) -> int:
        """Consuming connections nobody who answered accounts for: silent, draining or deaf workers, other programs."""
        idle = sum(not node.queues for node in self.nodes)  # its consumers cancelled, it keeps the connection
        left = min(idle, sum(not client.blocked for client in self.consuming))
        return max(0, len(self.consuming) - left - (len(self.nodes) - idle))

    @property
    def accounted(self) -> bool:
        """Whether what no answering node holds is held by nobody."""
        told = not self.silent and not self.opaque and not self.untold
        return told and self.clients is not None and not self.unexplained


def gather(connection: Connection, layout: Layout, timeout: float, *, sure: bool = False) -> WorkerFleet:
    """One round; raises DialError or ReplyError as the connection does.

    Where the layout is `sure`, and Redis keeps no unacknowledged message, nobody is asked which of them are his: every
    answer costs a worker two milliseconds, and thirty of them share the cores with what they work on. Nor are they
    asked where that would be megabytes: they tell each message with all its arguments.
    """
    now = redis_time(connection)
    count, sizes = _unacknowledged(connection, layout)
    untold = count * sum(sizes) > UNTOLD * max(1, len(sizes))
    spared = untold or (sure and not count)
    commands = {name: COMMANDS[name] for name in COMMANDS if not (spared and name in UNACKNOWLEDGED)}
    members = bindings(connection, layout)
    layout = layout.but(separator=separator_of(members) or layout.separator)
    said = pidbox.ask(connection, layout, commands, timeout=timeout)
    names = bound_names(members, layout)
    clients = listing(connection)
    answered = {name for name, _ in said.to(pidbox.BARRIER)}
    workers = {name for name, _ in said.to("stats")}
    return WorkerFleet(
        listeners=said.listeners,
        nodes=tuple(nodes_of(said)),
        others=tuple(sorted(answered - workers - {""})),
        silent=said.silent,
        bound=tuple(sorted(names - answered)),
        clients=clients,
        opaque=said.opaque,
        untold=untold or bool(said.cut),
        taken=now,
        seconds=said.seconds,
        database=layout.dsn.database,
        prefix=layout.prefix,
        fanout=layout.fanout,
        control_exchange=layout.control_exchange,
        separator=layout.separator,
    )


def _unacknowledged(connection: Connection, layout: Layout) -> tuple[int, list[int]]:
    """How many messages Redis keeps for the workers, and the sizes of some."""
    table, index = layout.key(layout.unacked), layout.key(layout.unacked_index)
    count = connection.pipeline([("HLEN", table)])[0]
    if not isinstance(count, int) or not count:
        return 0 if count == 0 else 1, []
    tags = connection.pipeline([("ZRANGE", index, 0, SAMPLE - 1)])[0]
    known = [tag for tag in tags if isinstance(tag, bytes)] if isinstance(tags, list) else []
    sizes = connection.pipeline(("HSTRLEN", table, tag) for tag in known)
    return count, [size for size in sizes if isinstance(size, int) and size]


def profiled(connection: Connection, layout: Layout, fleet: WorkerFleet, timeout: float) -> WorkerFleet:
    """The same fleet, each node with its tasks and settings."""
    names = [node.name for node in fleet.nodes]  # namesakes count twice: both will answer
    said = pidbox.ask(connection, fleet.found(layout), PROFILE, timeout=timeout, destination=names) if names else None
    if said is None:
        return fleet
    told = tuple(nodes_of(said, "registered"))
    tasks = {name: tuple(frozenset(one.registered) for one in told if one.name == name) for name in fleet.duplicates}
    return replace(fleet, nodes=_joined(fleet.nodes, told), namesakes=tasks)


def carried(fleet: WorkerFleet, known: WorkerFleet) -> WorkerFleet:
    """A later look at the fleet, with the profiles of the first one."""
    return replace(fleet, nodes=_joined(fleet.nodes, known.nodes), namesakes=known.namesakes)


def _joined(nodes: tuple[Node, ...], profiles: tuple[Node, ...]) -> tuple[Node, ...]:
    by_name = {profile.name: profile for profile in profiles}
    return tuple(_told(node, profile) if (profile := by_name.get(node.name)) else node for node in nodes)


def _told(node: Node, profile: Node) -> Node:
    return replace(node, registered=profile.registered, conf=profile.conf, profiled=profile.profiled)


def redis_time(connection: Connection) -> float:
    """Redis's clock in seconds since the epoch; 0 where TIME is not allowed."""
    reply = connection.pipeline([("TIME",)])[0]
    if isinstance(reply, list) and len(reply) == 2 and all(isinstance(part, bytes) for part in reply):
        return int(bytes(reply[0])) + int(bytes(reply[1])) / 1e6  # type: ignore[arg-type] # both are bytes, tested above
    return 0.0


def bindings(connection: Connection, layout: Layout) -> list[str]:
    """The members of the mailbox's binding: routing key, pattern and queue of each node, joined by the separator."""
    reply = connection.pipeline([("SMEMBERS", layout.binding(layout.mailbox))])[0]
    return (
        [member.decode("utf-8", "replace") for member in reply if isinstance(member, bytes)]
        if isinstance(reply, list)
        else []
    )


def separator_of(members: Iterable[str]) -> str:
    """The separator the workers use, or an empty string.

    A mailbox has neither routing key nor pattern, so each member begins with the separator twice. A reply binding with
    another separator would break the worker's look-up, and the project's `sep` is not known from a broker URL alone.
    """
    for member in members:
        for size in range(1, len(member) // 2):
            if member[:size] == member[size : 2 * size]:
                return member[:size]
    return ""


def bound_names(members: Iterable[str], layout: Layout) -> set[str]:
    """Node names in the mailbox's binding."""
    suffix = f".{layout.mailbox}"
    names = [member.split(layout.separator)[-1] for member in members]
    return {name.removesuffix(suffix) for name in names if name.endswith(suffix)}


def nodes_of(said: pidbox.Round, every: str = "stats") -> Iterable[Node]:
    """Who answered the command `every` and all others, in order of name; namesakes' answers are paired by their order.

    What a node has not told when time is up is not empty: it counts as silent.
    """
    answers: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for answer in said.answers:
        answers[answer.node][answer.command].append(answer.body)
    for name in sorted(answers.keys() - {""}):  # an answer that could not be read has no name
        for position in range(min(len(answers[name][every]), len(answers[name][pidbox.BARRIER]))):
            bodies = {command: said[position] for command, said in answers[name].items() if position < len(said)}
            yield parse_node(name, bodies)


def accepted_content(fleet: WorkerFleet, queue: str, project: Survey | None) -> frozenset[str]:
    """Content types the consumers of `queue` accept; Celery's default is JSON alone."""
    # A worker tells what differs from Celery's defaults: silence of one that told anything means the default.
    told = [node.conf.get("accept_content") or ["json"] for node in fleet.consumers(queue) if node.conf]
    if not told and project:
        told = [project.conf.get("accept_content") or ["json"]]
    names = {str(name) for entry in told or [["json"]] if isinstance(entry, (list, tuple)) for name in entry}
    return frozenset(CONTENT_TYPES.get(name, name) for name in names)
