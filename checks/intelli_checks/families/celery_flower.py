"""Who may look into Flower?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.model import Finding, Skip, Stage, info, warn
from intelli_checks.probes.flower import Flower
from intelli_checks.registry import check

_OPEN = 200


@check("celery.flower", stage=Stage.READY)
def flower(ctx: Context) -> Iterator[Finding]:
    """Flower asks for credentials.

    Flower shows the arguments of every task and the broker's address, and can end workers. It listens on all addresses
    and asks nobody for a password unless `basic_auth` or `auth` is set; with FLOWER_UNAUTHENTICATED_API its API obeys
    any page that is open in a browser as well.

    Looked for on this machine: on port 5555, and where a process called flower listens.
    """
    if not ctx.flowers:
        raise Skip("no Flower is seen on this machine")
    for found in ctx.flowers:
        yield _judged(found)


def _judged(found: Flower) -> Finding:
    subject = f"flower on {found.address}:{found.port}"
    hint = "FLOWER_BASIC_AUTH=user:password in its environment, --address=127.0.0.1, and a proxy with TLS before it"
    told = {"page": found.page, "api": found.api}
    if found.api == _OPEN:
        message = "its API obeys everybody: whoever reaches it, or any page open in a browser, can end workers"
        return warn(message, hint=f"unset FLOWER_UNAUTHENTICATED_API; {hint}", subject=subject, **told)
    if found.page != _OPEN:
        return info("asks for credentials", subject=subject, **told)
    if found.local:
        return info("asks for no credentials, but it answers this machine only", subject=subject, **told)
    message = "shows tasks with their arguments to everybody who reaches this machine: no credentials are asked for"
    return warn(message, hint=hint, subject=subject, **told)
