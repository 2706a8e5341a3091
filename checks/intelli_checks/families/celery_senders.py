"""Do those who send tasks really send them?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.model import Finding, fail
from intelli_checks.registry import check


@check("celery.eager_processes", needs=["celery.eager"])
def eager_processes(ctx: Context) -> Iterator[Finding]:
    """No running process of this project has EAGER mode on for itself.

    The settings may read EAGER mode from a variable. It is off here and in the workers, and on in a web server that was
    started with the variable set: its tasks run inside it, and no broker, queue or worker ever shows anything.

    Shows as: requests that take as long as their tasks, idle workers, ids that stay PENDING, checks that pass.

    Fix: unset the variable where the process is started, then restart it. Example: `EAGER=1 daphne shop.asgi:app`.
    """
    for switch in ctx.switches:
        yield fail(
            f"EAGER mode is on in {switch.program} (pid {switch.pid}), which was started with {switch.variable} set: "
            "it runs its tasks itself",
            hint=f"unset {switch.variable} where pid {switch.pid} is started, then restart it",
            subject=f"pid {switch.pid}",
            variable=switch.variable,
        )
