"""Does the channel layer belong to this system alone?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks import Finding, Skip, check, fail, info, warn
from intelli_checks.context import Context
from intelli_checks.families.declared import listed
from intelli_checks.probes.layer_users import LayerUser


@check("channels.shared", needs=["redis.channels"], after=["channels.prefix"])
def shared(ctx: Context) -> Iterator[Finding]:
    """Only this environment uses its channel layer.

    Groups are only names: where staging and production, or two projects, share Redis, database and prefix, an event
    for job_7 of the one reaches the browsers that follow job_7 of the other. Looks whose processes are connected to the
    layer's database: their folder, and where they keep rows and tasks. Shows as: users see events that are not theirs.
    Fix: a database or a prefix of its own for each. Example: REDIS_URL of staging copied from production.
    """
    # In the project's own folder runs the project: that its parts disagree on the broker is for other checks to say.
    users = [user for user in ctx.layer_users if not (user.at_home or user.prefixed or user.here)]
    if _prefixes(ctx):
        raise Skip("there are several prefixes in the database", because="channels.prefix")
    like_us = any(user.here and not _elsewhere(user) for user in ctx.layer_users)
    found = [finding for user in users if (finding := _judge(user, like_us=like_us))]
    yield from found
    if not found:
        yield info(f"{len(ctx.layer_users)} processes use the layer's database, none of another environment")


def _prefixes(ctx: Context) -> bool:
    """Whether groups of another prefix are there, too: then others may keep theirs apart, and channels.prefix says."""
    declared = {layer.prefix for layer in ctx.survey.layers}
    return any(state.prefixes - declared for state in ctx.layer_states)


def _elsewhere(user: LayerUser) -> str:
    """Where its rows or tasks are, if they are not where the project's are."""
    if user.differs:
        return f"{listed(user.differs)} differs from this project's"
    if user.own_file and not user.agrees:
        return f"its rows are in {user.own_file}"
    if user.consumed is not None:
        return f"its tasks go to database {user.consumed}"
    return f"{listed(user.added)} is set for it and not here" if user.added and not user.agrees else ""


def _judge(user: LayerUser, *, like_us: bool) -> Finding | None:
    where = _elsewhere(user)
    if not where:
        return _other_folder(user)
    only_added = not (user.differs or user.own_file or user.consumed is not None)
    sure = user.pid and (user.reads or user.same_code) and (like_us or not only_added)
    does = "reads" if user.reads else "sends into"
    return (fail if sure else warn)(
        f"another environment {does} this project's channel layer, so each gets the other's events: {_who(user)}; "
        f"{where}",
        hint=_HINT,
        subject=user.directory or user.name,
        pid=user.pid,
    )


_HINT = "give each environment a database or a prefix of its own in CHANNEL_LAYERS, then restart its web and workers"


def _other_folder(user: LayerUser) -> Finding | None:
    """A second folder may be the next release of the same system, which shares everything rightly."""
    if user.agrees or not user.reads or not user.directory:
        return None
    return warn(
        f"{_who(user)} reads this project's channel layer from another folder: another release, or another environment",
        hint=f"if it is another environment: {_HINT}",
        subject=user.directory,
        pid=user.pid,
    )


def _who(user: LayerUser) -> str:
    return f"{user.name} (pid {user.pid}) in {user.directory}" if user.pid else f"processes at {user.name}"
