"""Is a broker that is not Redis there, and is somebody behind it?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families.declared import spelt
from intelli_checks.families.wording import count, listed, start_command
from intelli_checks.model import Finding, Skip, Stage, fail, info, warn
from intelli_checks.probes.control import Control
from intelli_checks.probes.queues import expected
from intelli_checks.registry import check
from intelli_checks.text import safe


@check("celery.broker", stage=Stage.LIVE, needs=["celery.app", "celery.broker_url"], timeout=12.0)
def broker(ctx: Context) -> Iterator[Finding]:
    """A broker other than Redis answers, and workers behind it do.

    A Redis is looked at closely by `redis.broker` and everything after it. Any other broker is asked by the project's
    own app in the project's own interpreter: can it connect, which workers answer a broadcast, and, where the broker
    counts them (AMQP), how many messages and consumers each queue has.

    Cause: the broker is down, its URL or login is wrong, no worker was started, or none for this queue; RabbitMQ is
    short of memory or disk and takes nothing; or a queue has other arguments there than in the project
    (`x-max-priority`, `x-queue-type`), so that every worker ends when it declares it (PRECONDITION_FAILED).

    Fix: start what is missing; the finding says which.
    """
    ctx.require_broker()
    project = ctx.project
    asked = ctx.target.broker or (project.broker if project else None)
    if project is None or asked is None:
        raise Skip("the project declares no broker")
    if asked.is_redis:
        raise Skip("the broker is a Redis, which redis.broker looks at")
    if asked.scheme == "memory":
        raise Skip("memory:// lives inside one process: nobody else can be asked")
    told = ctx.control
    if not told.reached:
        yield fail(
            f"the project cannot use its broker: {told.problem or 'no answer'}",
            hint=_remedy(ctx, asked, told.problem or ""),
            subject=str(asked),
        )
        return
    if told.blocked:
        yield fail(
            "the broker takes no messages: an alarm of its memory or disk blocks everybody who sends, workers too",
            hint="rabbitmq-diagnostics alarms   # then free disk space or memory, or let the queues drain",
            subject=str(asked),
        )
    elif told.refused:
        yield from (_otherwise(name, words) for name, words in told.refused.items())
    else:
        yield from _judged(ctx, told, asked)


def _otherwise(name: str, words: str) -> Finding:
    """A worker that declares such a queue ends; one that was up before goes on."""
    found = re.search(r"(inequivalent arg .*) in vhost '([^']*)'(.*)", words)
    what, vhost = (found[1] + found[3], found[2]) if found else (words, "/")
    return fail(
        f"queue {safe(name)} exists otherwise than the project declares it ({safe(what)}): "
        "each worker that starts ends with PRECONDITION_FAILED",
        hint=f"declare it as it is; or let it drain, then: rabbitmqctl -p {safe(vhost)} delete_queue {safe(name)}",
        subject=f"queue {safe(name)}",
    )


def _remedy(ctx: Context, broker: Dsn, problem: str) -> str:
    if "No module named" in problem:
        return f"pip install 'celery[{broker.transport}]'   # in the project's environment: the transport's driver"
    if "vhost" in problem:
        return "rabbitmqctl list_vhosts   # then add_vhost NAME, or set_permissions -p NAME USER '.*' '.*' '.*'"
    if "ACCESS_REFUSED" in problem:
        return f"correct user and password in {spelt(ctx, 'broker_url')}; rabbitmqctl list_users says who exists"
    return f"see that {broker.address} listens; compare host, port and login in {spelt(ctx, 'broker_url')}"


def _judged(ctx: Context, told: Control, asked: Dsn) -> Iterator[Finding]:
    names = expected(ctx.project)
    consumed = {queue for queues in told.workers.values() for queue in queues}
    consumed |= {name for name, counted in told.queues.items() if counted and counted.consumers}
    if told.workers:
        yield info(f"{count(len(told.workers), 'worker')}: {listed(told.workers)}", workers=len(told.workers))
    asked_them = told.broadcasts or told.queues
    if not consumed and not asked_them and told.local:
        yield info(f"worker process {told.local[0].pid} runs here; this transport cannot ask it", pid=told.local[0].pid)
    elif not consumed and told.local:
        pid = told.local[0].pid
        yield warn(
            f"worker process {pid} runs here and did not answer: a busy solo worker looks like this, a frozen one too",
            hint="look at its log; then repeat",
            subject=f"pid {pid}",
        )
    elif not consumed and not asked_them:
        raise Skip("this transport cannot ask its workers: whether one is there cannot be told")
    elif not consumed:
        yield fail("no worker answers through this broker", hint=start_command(ctx), subject=str(asked))
    for name in sorted(names - consumed) if consumed else ():
        counted = told.queues.get(name)
        waiting = f": {count(counted.messages, 'message')} waiting" if counted else ""
        yield fail(
            f"no worker consumes {safe(name)}{waiting}",
            hint=start_command(ctx, [name]),
            subject=f"queue {safe(name)}",
        )
    if told.problem:
        yield warn(f"not all could be asked: {told.problem}", hint="repeat with a longer --timeout")
