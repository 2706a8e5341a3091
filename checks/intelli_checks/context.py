"""What a check may ask: the target it points at and the facts gathered about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from intelli_checks.model import Skip, Unavailable
from intelli_checks.target import Target

if TYPE_CHECKING:
    from intelli_checks.probes.host_facts import HostFacts
    from intelli_checks.probes.redis import Endpoint
    from intelli_checks.probes.redis_facts import RedisFacts
    from intelli_checks.probes.survey import Audit, Survey

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

    def __init__(self, target: Target, *, deadline: float | None = None) -> None:
        self.target = target
        self.deadline = time.monotonic() + target.timeout if deadline is None else deadline
        self.gathered: dict[str, Future[Any]] = {}

    @property
    def remaining(self) -> float:
        """Seconds left until the run's deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def budget(self, seconds: float) -> float:
        """At most `seconds`, and no more than what is left."""
        return min(seconds, self.remaining)

    @fact
    def surveys(self) -> Mapping[str, Survey]:
        """What the project declares, at each place it was asked; raises Skip where there is no project."""
        from intelli_checks.probes import survey

        return survey.gather(self.target, self.budget(self.target.timeout))

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
        """The Redis that is the broker, sentinels already asked; raises Skip where it is not a Redis."""
        from intelli_checks.probes import redis_roles

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

        return redis.gather(self.broker_endpoint, self.budget(2.5))

    @fact
    def redis_results(self) -> RedisFacts:
        """What the result store's Redis tells about itself."""
        from intelli_checks.probes import redis

        return redis.gather(self.results_endpoint, self.budget(2.5))

    @fact
    def redis_channels(self) -> tuple[RedisFacts | Unavailable, ...]:
        """What each Redis of the channel layers tells about itself, or why it does not."""
        from intelli_checks.probes import redis

        return redis.gather_all(self.channels_endpoints, self.budget(2.5))

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
