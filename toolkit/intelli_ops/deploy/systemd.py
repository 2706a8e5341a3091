"""systemd units: one service per worker profile and a target that holds them together."""

from __future__ import annotations

from intelli_checks.fleet import WorkerProfile
from intelli_ops.deploy.plan import Plan, grace_seconds

# Source of each directive: systemd.service(5), systemd.exec(5), systemd.kill(5).
_SERVICE = """\
[Unit]
Description=Celery worker {title}: {queues}
After=network-online.target
Wants=network-online.target
PartOf={target}
StartLimitIntervalSec=120
StartLimitBurst=5

[Service]
Type=exec
User={user}
WorkingDirectory={directory}
EnvironmentFile=-{environment}
ExecStart={command}
# The main process finishes its tasks on SIGTERM; only what is left after that is killed, children included.
KillMode=mixed
TimeoutStopSec={grace}
Restart=always
# The default of 100 ms would spend the whole start limit before a broker is back.
RestartSec=2
NoNewPrivileges=true
PrivateTmp=true
PrivateDevices=true
ProtectSystem=strict
ProtectHome=read-only
ProtectControlGroups=true
ProtectKernelTunables=true
ProtectKernelModules=true
RestrictSUIDSGID=true
LockPersonality=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
ReadWritePaths={writable}
UMask=0077

[Install]
WantedBy={target}
"""

_TARGET = """\
[Unit]
Description=All Celery workers of {name}

[Install]
WantedBy=multi-user.target
"""


def render(plan: Plan) -> dict[str, str]:
    """File name to content, for /etc/systemd/system."""
    target = f"{plan.name}-workers.target"
    files = {f"{plan.title(profile)}.service": _service(plan, profile, target) for profile in plan.fleet.profiles}
    return {target: _TARGET.format(name=plan.name), **files}


def _service(plan: Plan, profile: WorkerProfile, target: str) -> str:
    return _SERVICE.format(
        title=_plain(profile.name),
        queues=_plain(", ".join(profile.queues)),
        target=target,
        user=plan.user,
        directory=_plain(str(plan.directory)),
        writable=_word(str(plan.directory)),
        environment=_plain(str(plan.directory / plan.environment_file)),
        command=" ".join(_word(word) for word in plan.command(profile)),
        grace=grace_seconds(profile),
    )


def _plain(text: str) -> str:
    """`%` starts a specifier everywhere in a unit."""
    return text.replace("%", "%%")


def _word(word: str) -> str:
    """One argument of ExecStart, where `$` expands variables, `%` specifiers, and quotes group."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("%", "%%")
    needs_quotes = not word or any(character in word for character in " \t\"';\\")
    return f'"{escaped}"' if needs_quotes else escaped
