"""Has the machine what the system needs: disk, open files, memory, the right time, its ports?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks.context import Context
from intelli_checks.model import Finding, Skip, Stage, fail, info, warn
from intelli_checks.probes.host_facts import Disk, Memory, OpenFiles
from intelli_checks.registry import check

_MB = 1024 * 1024
_SERVERS = frozenset({"redis-server", "valkey-server"})
FULL, NEARLY_FULL = 0.01, 0.05
"""Shares of a disk left that fail and warn; small disks count by megabytes as well."""
FULL_MB, NEARLY_FULL_MB = 100, 1024
FILES_GONE, FILES_SCARCE = 0.95, 0.8
MEMORY_SCARCE = 0.05
GROUP_FULL = 0.95
STALLED = 20.0
SKEW, BAD_SKEW = 5.0, 60.0
"""Seconds of clock difference: from the first ETA and expiry are visibly wrong, from the second tasks get lost."""


@check("host.disk", stage=Stage.READY)
def disk(ctx: Context) -> Iterator[Finding]:
    """There is room on the disks the system writes to.

    The project, its media and, when it is on this machine, Redis' data. A full disk makes Redis refuse every write
    (MISCONF), artifacts come out empty and SQLite reports "disk I/O error".
    """
    for found in ctx.host.disks:
        yield _room(found)


@check("host.files", stage=Stage.READY)
def files(ctx: Context) -> Iterator[Finding]:
    """No process of the system is about to run out of open files.

    Each WebSocket, each Redis connection and each open file counts. At the limit `accept` fails with "Too many open
    files": new connections hang while old ones work.
    """
    for process in ctx.host.files:
        yield from _held(process)


@check("host.memory", stage=Stage.READY)
def memory(ctx: Context) -> Iterator[Finding]:
    """There is memory, and the kernel killed nobody for lack of it.

    A prefork child that the kernel kills leaves `WorkerLostError: signal 9 (SIGKILL)`, a killed main process leaves
    nothing at all.
    """
    yield from _short(ctx.host.memory)


@check("host.clock", stage=Stage.READY, needs=["redis.broker"])
def clock(ctx: Context) -> Iterator[Finding]:
    """This machine and the Redis server agree on the time.

    Celery compares ETA, expiry and the age of unacknowledged messages by each machine's own clock: a worker that is
    ahead expires tasks at once and delivers others twice.
    """
    offset = ctx.redis_broker.clock_offset
    if offset is None:
        raise Skip("the server does not tell its time")
    message = f"the broker's clock is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} this machine's"
    hint = "timedatectl status   # on both machines; start chrony or systemd-timesyncd"
    if abs(offset) >= BAD_SKEW:
        yield fail(message, hint=hint, offset_seconds=offset)
    elif abs(offset) >= SKEW:
        yield warn(message, hint=hint, offset_seconds=offset)
    else:
        yield info("the clocks agree", offset_seconds=offset)


@check("host.ports", stage=Stage.READY)
def ports(ctx: Context) -> Iterator[Finding]:
    """Who listens on the system's ports is who should.

    Two programs may listen on one port number, one on 127.0.0.1 and one on all addresses: a browser then talks to the
    other one.
    """
    by_port: dict[int, list[str]] = {}
    for listener in ctx.host.listeners:
        who = f"{listener.name or 'another user'} (pid {listener.pid or '?'})"
        by_port.setdefault(listener.port, []).append(f"{who} on {listener.address}")
    for port, owners in sorted(by_port.items()):
        names = {owner.partition(" on ")[0] for owner in owners}
        if len({listener.name for listener in ctx.host.listeners if listener.port == port}) > 1:
            yield warn(
                f"port {port} is shared by {', '.join(owners)}: who answers depends on the address",
                hint=f"ss -ltnp 'sport = :{port}'   # then stop the one that is not wanted",
                subject=f"port {port}",
            )
        else:
            yield info(f"{', '.join(sorted(names))} listens", subject=f"port {port}")


@check("host.kernel", stage=Stage.READY)
def kernel(ctx: Context) -> Iterator[Finding]:
    """The kernel's settings suit a Redis server on this machine.

    Redis warns about these at every start; none is the cause of an outage unless saving fails or connections are
    dropped under load, so they are told and not judged.
    """
    told = ctx.host.kernel
    if not any(process.name in _SERVERS for process in ctx.host.files):
        raise Skip("no Redis server is seen running on this machine")
    advice = {
        "vm.overcommit_memory": ("0", "vm.overcommit_memory is 0: a save may fail when memory is short (advised: 1)"),
        "transparent_hugepage": (
            "[always]",
            "transparent huge pages are always on: forks cost latency (advised: madvise)",
        ),
    }
    for name, (mark, message) in advice.items():
        if mark in told.get(name, "").split():
            yield info(message, subject=name, value=told[name])
    if (backlog := told.get("net.core.somaxconn", "")).isdigit() and int(backlog) < 511:
        yield info(f"net.core.somaxconn is {backlog}, below Redis' backlog of 511", subject="net.core.somaxconn")


def _room(found: Disk) -> Finding:
    share = found.free / found.total if found.total else 1.0
    megabytes = found.free // _MB
    subject = f"{found.path} ({found.used_for})"
    told = {"free_bytes": found.free, "total_bytes": found.total, "inodes_free": found.inodes_free}
    hint = f"du -xh {found.path} | sort -h | tail -20"
    if found.inodes_free is not None and found.inodes_free < FULL:
        return fail("no inodes left: no new file can be made", hint=f"df -i {found.path}", subject=subject, **told)
    if share < FULL or megabytes < FULL_MB:
        return fail(f"the disk is full: {megabytes} MB left", hint=hint, subject=subject, **told)
    if share < NEARLY_FULL or megabytes < NEARLY_FULL_MB:
        return warn(f"the disk is nearly full: {megabytes} MB ({share:.0%}) left", hint=hint, subject=subject, **told)
    return info(f"{share:.0%} free", subject=subject, **told)


def _held(process: OpenFiles) -> Iterator[Finding]:
    share = process.open / process.limit if process.limit > 0 else 0.0
    subject = f"{process.name} (pid {process.pid})"
    if share < FILES_SCARCE:
        return
    judge = fail if share >= FILES_GONE else warn
    yield judge(
        f"{process.open} of {process.limit} files and sockets are open",
        hint=f"ls -l /proc/{process.pid}/fd   # what are they? more: ulimit -n 65536 or LimitNOFILE= in the unit",
        subject=subject,
        open=process.open,
        limit=process.limit,
    )


def _short(found: Memory) -> Iterator[Finding]:
    hint = "ps aux --sort=-rss | head   # then lower concurrency, or set worker_max_memory_per_child"
    if found.group_kills:
        message = f"the kernel killed {found.group_kills} processes of this container or unit for lack of memory"
        yield warn(message, hint="dmesg | grep -i 'killed process'   # then raise the limit or lower concurrency")
    if found.group_limit and found.group_used and found.group_used >= GROUP_FULL * found.group_limit:
        yield info(
            f"{found.group_used // _MB} of {found.group_limit // _MB} MB of this group are used, caches included"
        )
    if found.available < MEMORY_SCARCE * found.total:
        yield warn(f"{found.available // _MB} MB of memory left", hint=hint, available=found.available)
    elif found.stalled is not None and found.stalled >= STALLED:
        yield warn(f"processes waited for memory {found.stalled:.0f}% of the last minute", hint=hint)
    else:
        yield info(f"{found.available // _MB} of {found.total // _MB} MB available")
