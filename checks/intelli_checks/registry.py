"""Where checks are declared, found and selected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from intelli_checks.model import Check, Finding, Stage

if TYPE_CHECKING:
    from intelli_checks.context import Context

# Causes before consequences: results are reported in this order, so the first failing line is the root cause.
BUILTIN = (
    "intelli_checks.families.celery_app",
    "intelli_checks.families.places",
    "intelli_checks.families.celery_settings",
    "intelli_checks.families.redis",
    "intelli_checks.families.redis_durability",
    "intelli_checks.families.redis_memory",
    "intelli_checks.families.redis_load",
    "intelli_checks.families.redis_exposure",
    "intelli_checks.families.celery_broker",
    "intelli_checks.families.celery_workers",
    "intelli_checks.families.celery_senders",
    "intelli_checks.families.celery_pools",
    "intelli_checks.families.celery_queues",
    "intelli_checks.families.celery_delivery",
    "intelli_checks.families.celery_tasks",
    "intelli_checks.families.celery_skew",
    "intelli_checks.families.celery_earlier",
    "intelli_checks.families.celery_canary",
    "intelli_checks.families.celery_results",
    "intelli_checks.families.celery_failures",
    "intelli_checks.families.celery_beat",
    "intelli_checks.families.celery_flower",
    "intelli_checks.families.host",
    "intelli_checks.families.channels_layers",
    "intelli_checks.families.channels_asgi",
    "intelli_checks.families.channels_events",
    "intelli_checks.families.channels_use",
    "intelli_checks.families.websocket_server",
    "intelli_checks.families.channels",
    "intelli_checks.families.channels_shared",
    "intelli_checks.families.websocket",
    "intelli_checks.families.websocket_events",
    "intelli_checks.families.flow",
    "intelli_checks.families.declared_routing",
    "intelli_checks.families.declared_delivery",
    "intelli_checks.families.declared_results",
    "intelli_checks.families.django",
    "intelli_checks.families.django_data",
    "intelli_checks.families.celery_beat_rows",
)
ENTRY_POINTS = "intelli_ops.checks"

Answer: TypeAlias = "Callable[[Context], Iterable[Finding]]"


class UnknownCheck(LookupError):
    """No check or family has this name."""


class Registry:
    """Checks by id, in the order they were declared."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._loaded = False

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks.values())

    def __getitem__(self, id_: str) -> Check:
        try:
            return self._checks[id_]
        except KeyError:
            raise UnknownCheck(id_) from None

    def add(self, check: Check) -> None:
        """Declare `check`; raises ValueError for an id that is taken or a need declared later or never."""
        if check.id in self._checks:
            raise ValueError(f"check {check.id!r} is already registered")
        if missing := [other for other in (*check.needs, *check.after) if other not in self._checks]:
            raise ValueError(f"check {check.id!r} needs {missing}: declare those first")
        self._checks[check.id] = check

    def check(
        self,
        id_: str,
        /,
        *,
        stage: Stage = Stage.READY,
        timeout: float = 5.0,
        needs: Iterable[str] = (),
        after: Iterable[str] = (),
    ) -> Callable[[Answer], Answer]:
        """Register the decorated generator as the check called `id_`; its docstring is title and explanation."""

        def register(run: Answer) -> Answer:
            self.add(Check(id_, run, stage, timeout, tuple(needs), tuple(after)))
            return run

        return register

    def load(self) -> None:
        """Import the built-in checks, then every installed plugin; a broken plugin becomes one ERRORED check."""
        if self._loaded:
            return
        self._loaded = True
        for module in BUILTIN:
            import_module(module)
        from importlib import metadata  # 20 ms, and only a run needs it

        for plugin in metadata.entry_points(group=ENTRY_POINTS):
            try:
                plugin.load()
            except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
                self.add(_broken(plugin.name, plugin.value, error))

    def select(
        self,
        patterns: Iterable[str] = (),
        *,
        stage: Stage = Stage.READY,
        stages: Iterable[Stage] | None = None,
    ) -> list[Check]:
        """Checks up to `stage` (or exactly of `stages`) named by `patterns` (id or family), with all they need.

        Raises UnknownCheck for a pattern that names nothing. A check named by its id is selected whatever its stage; a
        family of deep checks only (`flow`) is meant when it is named.
        """
        allowed = frozenset(stages) if stages is not None else frozenset(s for s in Stage if s <= stage)
        wanted = tuple(patterns)
        for pattern in wanted:
            if not any(_matches(check, pattern) for check in self):
                raise UnknownCheck(pattern)
        reached = {check.id for check in self if check.stage in allowed}
        named = {check.id for check in self if check.id in wanted}
        for pattern in wanted:
            family = [check for check in self if _matches(check, pattern)]
            only_deep = Stage.READY in allowed and all(check.stage is Stage.DEEP for check in family)
            named |= {check.id for check in family if only_deep or check.id in reached}
        chosen = named if wanted else reached
        return [check for check in self if check.id in self._closure(chosen)]

    def _closure(self, chosen: set[str]) -> set[str]:
        """`chosen` and everything it needs, so that a cause is always examined before its consequence."""
        pending, closed = list(chosen), set(chosen)
        while pending:
            for need in self._checks[pending.pop()].needs:
                if need not in closed:
                    closed.add(need)
                    pending.append(need)
        return closed


def _matches(check: Check, pattern: str) -> bool:
    return check.id == pattern or check.id.startswith(f"{pattern}.")


def _broken(name: str, where: str, error: Exception) -> Check:
    def run(ctx: Context) -> NoReturn:
        raise RuntimeError(f"plugin {name!r} ({where}) did not import: {type(error).__name__}: {error}")

    run.__doc__ = f"The plugin {name} imports."
    return Check(f"plugin.{name}", run, Stage.STATIC, 1.0)


registry = Registry()
check = registry.check
