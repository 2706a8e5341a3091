"""`intelli-ops probe` beside `celery inspect ping`, on one worker of the running reference system.

python benchmarks/probe.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import socket

from common import Run, celery, measure, ms, paired, reference_system, show, tool


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    node = f"ai@{socket.gethostname()}"
    with reference_system() as system:

        def run(*argv: str) -> Run:
            return measure(argv, cwd=system.backend, env=system.environment)

        inspect = (*celery(), "-A", "config", "inspect", "ping")
        medians = paired(
            rounds,
            ours=lambda: run(*tool(), "probe", "ready", "--node", node),
            web=lambda: run(*tool(), "probe", "ready", "--url", f"{system.record['web']}/health/ready"),
            directed=lambda: run(*inspect, "-d", node),
            undirected=lambda: run(*inspect),
        )
    names = {
        "ours": "`intelli-ops probe ready --node NODE`",
        "web": "`intelli-ops probe ready --url URL`",
        "directed": "`celery -A config inspect ping -d NODE`",
        "undirected": "`celery -A config inspect ping`",
    }
    ours = medians["ours"]
    show(
        "One probe",
        ("command", "wall", "processor", "wall of the first : this", "processor of the first : this"),
        [
            (name, ms(one.wall), ms(one.cpu), f"1 : {one.wall / ours.wall:.1f}", f"1 : {one.cpu / ours.cpu:.1f}")
            for key, name in names.items()
            for one in (medians[key],)
        ],
        f"Medians of {rounds} whole processes each, in turns.",
    )


if __name__ == "__main__":
    main()
