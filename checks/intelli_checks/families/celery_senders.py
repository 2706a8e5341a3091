"""Do those who send tasks really send them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from intelli_checks.context import Context
from intelli_checks.dsn import Dsn
from intelli_checks.families.wording import listed
from intelli_checks.model import Finding, fail, info, warn
from intelli_checks.probes.database_users import DatabaseUser
from intelli_checks.probes.senders import Sender
from intelli_checks.registry import check
from intelli_checks.text import safe


@check("celery.eager_processes", needs=["celery.eager"])
def eager_processes(ctx: Context) -> Iterator[Finding]:
    """No running process of this project has EAGER mode on for itself.

    The settings may read EAGER mode from a variable. It is off here and in the workers, and on in a web server that was
    started with the variable set: its tasks run inside it, and no broker, queue or worker ever shows anything.

    Shows as: requests that take as long as their tasks, idle workers, ids that stay PENDING, checks that pass.

    Fix: unset the variable where the process is started, then restart it. Example: `EAGER=1 daphne shop.asgi:app`.
    """
    for sender in ctx.senders:
        if sender.eager:
            yield fail(
                f"EAGER mode is on in {sender.program} (pid {sender.pid}), which was started with {sender.eager} set: "
                "it runs its tasks itself",
                hint=f"unset {sender.eager} where pid {sender.pid} is started, then restart it",
                subject=f"pid {sender.pid}",
                variable=sender.eager,
            )


@check("celery.senders", timeout=12.0, needs=["celery.workers"])
def senders(ctx: Context) -> Iterator[Finding]:
    """Web server and scheduler send where the workers listen, and all can still log in.

    A process that was started with another value of the variable that names the broker sends its tasks where no worker
    of this project looks; with another result store it waits where no worker writes. With another database than the
    workers of the same broker it writes rows that do not exist for them: the project is asked for its default database
    in the environment of each process on this machine.

    Shows as: workers that are idle and well, queues that are empty, and ids that stay PENDING; or tasks that end with
    DoesNotExist.

    A password that was rotated (`CONFIG SET requirepass`, `ACL SETUSER`) ends no connection: whoever was started with
    the old one works until the next reconnect, and a worker cannot store its next result.

    Fix: one environment file for all, then restart the process. Example: a web server with
    `REDIS_URL=redis://127.0.0.1:6379/1`, and workers on /0.
    """
    locked_out = [sender for sender in ctx.senders if sender.locked_out and not sender.eager]
    if locked_out:
        yield _locked_out(locked_out)
    for sender in ctx.senders:
        if sender.works or sender.eager or sender in locked_out:
            continue
        if sender.variable:
            yield _astray(ctx, sender)
        elif sender.results_variable:
            yield _waits_elsewhere(ctx, sender)
    yield from (_apart(odd, other) for odd, other in on_two_databases(ctx.database_users))


def _locked_out(senders: Sequence[Sender]) -> Finding:
    who = listed(f"{sender.program} (pid {sender.pid}, {sender.locked_out})" for sender in senders)
    return fail(
        f"the password was changed, and {who} was started with one that Redis refuses: connections from before live "
        "on, the next one fails",
        hint="give them the password of the project, then restart them: "
        f"kill {' '.join(str(sender.pid) for sender in senders)}   # their supervisor starts them anew",
        subject=listed(f"pid {sender.pid}" for sender in senders),
        pids=[sender.pid for sender in senders],
    )


def _astray(ctx: Context, sender: Sender) -> Finding:
    there = Dsn(sender.broker)
    others = {place.value for place in ctx.absence.elsewhere if place.kind == "database"}
    served = there.server == ctx.layout.dsn.server and str(there.database) in others
    report = warn if served else fail
    return report(
        f"{sender.program} (pid {sender.pid}) was started with {sender.variable}={safe(there)}: its tasks go there, "
        + ("where other workers are" if served else f"and the workers listen on {ctx.layout.dsn}"),
        hint=f"give pid {sender.pid} the {sender.variable} of the workers, then restart it"
        + ("; or give this shell its own, to look at that system" if served else ""),
        subject=f"pid {sender.pid}",
        variable=sender.variable,
    )


def _waits_elsewhere(ctx: Context, sender: Sender) -> Finding:
    ours = ctx.target.results or (ctx.project.results if ctx.project else "")
    return fail(
        f"{sender.program} (pid {sender.pid}) was started with {sender.results_variable}={safe(sender.results)}: it "
        f"looks there for results, and the workers write them to {ours}",
        hint=f"give pid {sender.pid} the {sender.results_variable} of the workers, then restart it",
        subject=f"pid {sender.pid}",
        variable=sender.results_variable,
    )


def on_two_databases(users: Iterable[DatabaseUser]) -> Iterator[tuple[DatabaseUser, DatabaseUser]]:
    """Each process that has another database than one it shares tasks with, and that one.

    A second system that runs the same code has a broker of its own.
    """
    told = set()
    known = list(users)
    pairs = [(web, worker) for web in known for worker in known if worker.works and not web.works]
    for web, worker in pairs:
        odd, other = (worker, web) if web.at_home else (web, worker)
        if web.broker == worker.broker and web.database != worker.database and odd.pid not in told:
            told.add(odd.pid)
            yield odd, other


def _apart(odd: DatabaseUser, other: DatabaseUser) -> Finding:
    pids, subject = f"{other.program} (pid {other.pid})", f"pid {odd.pid}"
    if odd.database.server and odd.database.name == other.database.name:  # a pooler, or a replica to read from
        return info(
            f"{odd.program} (pid {odd.pid}) reaches its database at {odd.database}, {pids} at {other.database}",
            subject=subject,
        )
    owner = odd if odd.variables or not other.variables else other
    why = f" ({listed(owner.variables, 3)} of pid {owner.pid})" if owner.variables else ""
    what = listed(owner.variables, 3) or "environment"
    return fail(
        f"{odd.program} (pid {odd.pid}) uses database {odd.database}, {pids} uses {other.database}{why}: rows that one "
        "writes do not exist for the other",
        hint=(
            f"unset {what} where pid {odd.pid} is started, as for pid {other.pid}; then restart it"
            if odd.variables and not other.variables
            else f"give pid {odd.pid} the {what} of pid {other.pid}, then restart it"
        ),
        subject=subject,
        variables=list(owner.variables),
    )
