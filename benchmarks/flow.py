"""One job at a time through the reference system: what each hop costs from the request on, at best and at worst.

python benchmarks/flow.py [--repeat 60] [--plot FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys

from common import ROOT, clean_environment, reference_system, show, tool

DEADLINE = 220


def main() -> None:
    """Let `intelli-ops check flow` run the jobs and print what it says of each hop; exit 1 when one broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=60)
    parser.add_argument("--plot", help="picture of the hops")
    options = parser.parse_args()
    with reference_system() as system:
        shutil.copy(ROOT / "intelli-ops.toml", system.backend)
        asked = [*tool(), "check", "flow.job", "--stage", "deep", "--format", "json", "--timeout", str(DEADLINE)]
        asked += ["--repeat", str(options.repeat), *(["--plot", options.plot] if options.plot else [])]
        done = subprocess.run(
            asked, cwd=system.backend, env=clean_environment(), capture_output=True, text=True,
            timeout=DEADLINE + 30, check=False,
        )  # fmt: skip
    report = json.loads(done.stdout)
    (job,) = (check for check in report["checks"] if check["id"] == "flow.job")
    if job["outcome"] != "passed":
        sys.exit(json.dumps(job, indent=1))
    hops = sorted(((found["subject"], found["facts"]) for found in job["findings"]), key=lambda hop: hop[1]["p50_ms"])
    rows = [
        (name, *(f"{facts[column]} ms" for column in ("floor_ms", "p50_ms", "p95_ms", "worst_ms")))
        for name, facts in hops
    ]
    note = "Milliseconds since the request was sent; the floor is the fastest of all jobs."
    show(f"One job, {options.repeat} times", ("hop", "floor", "p50", "p95", "worst"), rows, note)


if __name__ == "__main__":
    main()
