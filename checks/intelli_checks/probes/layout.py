"""Where kombu keeps things in Redis, as the project's transport options say."""

from __future__ import annotations

from collections.abc import Mapping

from intelli_checks.dsn import Dsn

TYPE_CHECKING = False  # a probe imports this module, and `typing` would add to its time
if TYPE_CHECKING:
    from typing import Any, Self

    from intelli_checks.target import Place

SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (0, 3, 6, 9)


class Layout:
    """Key and channel names of one Celery application on one Redis (kombu.transport.redis.Channel).

    A plain class, as `Dsn` is and for the same reason; treat it as frozen.
    """

    def __init__(  # noqa: PLR0913 - each is a transport option of kombu's
        self,
        dsn: Dsn,
        *,
        prefix: str = "",
        separator: str = SEPARATOR,
        steps: tuple[int, ...] = PRIORITY_STEPS,
        fanout: str = "/{db}.",
        unacked: str = "unacked",
        unacked_index: str = "unacked_index",
        visibility_timeout: float = 3600.0,
        control_exchange: str = "celery",
        default_queue: str = "celery",
        tls: Mapping[str, str] | None = None,
        via: Place | None = None,
    ) -> None:
        self.dsn = dsn
        self.prefix = prefix
        """`global_keyprefix`: stands before every key and channel."""
        self.separator = separator
        """Between a queue's name and its priority, and between the parts of a binding."""
        self.steps = steps
        self.fanout = fanout
        """Stands before the channel of a fanout exchange; empty for `fanout_prefix: False`."""
        self.unacked = unacked
        self.unacked_index = unacked_index
        self.visibility_timeout = visibility_timeout
        """Seconds until an unacknowledged message is delivered again."""
        self.control_exchange = control_exchange
        self.default_queue = default_queue
        self.tls = tls or {}
        """TLS options set beside the URL (`broker_use_ssl`)."""
        self.via = via
        """Where the URL holds, when that is not here."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # it holds mappings

    def but(self, **changes: Any) -> Layout:
        """The same with some things changed."""
        return Layout(**(vars(self) | changes))

    @classmethod
    def of(
        cls,
        dsn: Dsn,
        conf: Mapping[str, Any] | None = None,
        *,
        tls: Mapping[str, str] | None = None,
        via: Place | None = None,
    ) -> Self:
        """The layout that `conf` (Celery's lower-case settings) describes; defaults where it says nothing."""
        conf = conf or {}
        options = conf.get("broker_transport_options")
        options = options if isinstance(options, Mapping) else {}
        steps = options.get("priority_steps") or PRIORITY_STEPS
        return cls(
            dsn,
            prefix=str(options.get("global_keyprefix") or ""),
            separator=str(options.get("sep") or SEPARATOR),
            steps=tuple(sorted(int(step) for step in steps)),
            fanout=_fanout(options.get("fanout_prefix", True)),
            unacked=str(options.get("unacked_key") or "unacked"),
            unacked_index=str(options.get("unacked_index_key") or "unacked_index"),
            visibility_timeout=float(options.get("visibility_timeout") or 3600),
            control_exchange=str(conf.get("control_exchange") or "celery"),
            default_queue=str(conf.get("task_default_queue") or "celery"),
            tls=tls,
            via=via,
        )

    def key(self, name: str) -> str:
        """The Redis key behind a name of kombu's."""
        return self.prefix + name

    def lists(self, queue: str) -> tuple[str, ...]:
        """The keys that hold a queue's messages, one for each priority step, most urgent first."""
        return tuple(self.key(f"{queue}{self.separator}{step}" if step else queue) for step in self.steps)

    def base(self, name: str) -> str:
        """The queue a list belongs to when `name` ends in a separator and a priority, whoever wrote it; else empty."""
        queue, separator, step = name.rpartition(self.separator)
        if not separator:
            queue, separator, step = name.rpartition(SEPARATOR)
        return queue if separator and step.isdigit() else ""

    def channel(self, exchange: str) -> str:
        """The PUB/SUB channel of a fanout exchange."""
        return self.key(self.fanout.replace("{db}", str(self.dsn.database)) + exchange)

    def binding(self, exchange: str) -> str:
        """The set that binds an exchange to queues."""
        return self.key(f"_kombu.binding.{exchange}")

    @property
    def mailbox(self) -> str:
        """The fanout exchange every worker listens on for remote control."""
        return f"{self.control_exchange}.pidbox"


def _fanout(option: object) -> str:
    if isinstance(option, str):
        return option
    return "/{db}." if option else ""
