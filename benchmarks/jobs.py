"""Many jobs at once: is every task done exactly once, every event there, no log with an error; and how fast is it?

python benchmarks/jobs.py [--jobs 200] [--images 3] [--algorithms histogram,describe] [--clients 4]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import System, ms, reference_system, show, wait

from intelli_fixtures.images import gradient
from intelli_ops.jobs.api import ApiError, JobsApi
from intelli_ops.jobs.follow import ENDED, Follower

JOB_SECONDS = 220.0
ERRORS = re.compile(r"level='(?:error|critical)'|Traceback \(most recent call last\)|\[(?:ERROR|CRITICAL)")
BARE = """
import json, sys
import psutil
from pathlib import Path
import numpy as np
from PIL import Image
from apps.jobs import imaging
from apps.jobs.ai.local import describe_locally
from apps.jobs.algorithms import ALGORITHMS

def spent():  # with the process that decodes
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in [me, *me.children(recursive=True)])

folder, names = Path(sys.argv[1]), sys.argv[3:]
work = 0.0
for number in range(-1, int(sys.argv[2])):  # the first round pays for imports and font caches
    for source in sorted(folder.glob("*.png")):
        began = spent()
        target = folder / "normal" / source.name
        target.parent.mkdir(exist_ok=True)
        imaging.normalise(source, target, imaging.ImageLimits())
        for name in names:
            if name == "describe":
                describe_locally(target)
            else:
                with Image.open(target) as picture:
                    ALGORITHMS[name].run(np.asarray(picture.convert("RGB")))
        if number >= 0:
            work += spent() - began
print(json.dumps(work / int(sys.argv[2])))
"""


def bare(system: System, folder: Path, algorithms: list[str], repeats: int = 5) -> float:
    """Processor seconds that the algorithms alone need for one job's images, in one process, without the system."""
    ran = subprocess.run(
        [sys.executable, "-c", BARE, str(folder), str(repeats), *algorithms],
        cwd=system.backend, env={**system.environment, "MPLBACKEND": "Agg"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(ran.stdout))


def submit(api: JobsApi, files: list[Path], algorithms: list[str]) -> tuple[str, float]:
    """One job's id and the seconds its POST took."""
    began = time.perf_counter()
    job = api.submit(files, (), algorithms, str(uuid.uuid4()))
    return str(job["id"]), time.perf_counter() - began


def wrong(api: JobsApi, id_: str, tasks: int) -> Iterator[str]:
    """What is not as it must be with one job, from its record and from its events, replayed over the WebSocket."""
    job = api.job(id_)
    if job["status"] != "succeeded" or len(job["tasks"]) != tasks:
        yield f"{id_} ended {job['status']} with {len(job['tasks'])} tasks"
    told = Follower(api.base, id_, seq=0)
    done: Counter[str] = Counter()
    try:
        for message in told.follow(30):
            if message.get("name") == "task.succeeded":
                done[message["data"]["task"]["id"]] += 1
    except ApiError as gap:
        yield f"{id_}: {gap}"
    if told.seq != job["seq"]:
        yield f"{id_}: {told.seq} events on the WebSocket, {job['seq']} in the record"
    if set(done.values()) != {1} or set(done) != {task["id"] for task in job["tasks"]}:
        yield f"{id_}: {sorted(done.values())} successes for {tasks} tasks"


def complaints(system: System) -> list[str]:
    """Every line of every log that tells of an error."""
    logs = sorted((system.state / "logs").rglob("*.log"))
    if not logs:
        raise RuntimeError(f"no logs in {system.state}")
    return [
        f"{log.name}: {line}"
        for log in logs
        for line in log.read_text("utf-8", "replace").splitlines()
        if ERRORS.search(line)
    ]


def main() -> None:
    """Submit, wait, verify, print the table; exit 1 when anything was not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--algorithms", default="histogram,describe")
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    algorithms = options.algorithms.split(",")
    tasks = options.images * (len(algorithms) + 1)
    with reference_system() as system:
        files = [system.folder / f"photo{number}.png" for number in range(options.images)]
        for number, file in enumerate(files):
            gradient(320 + 64 * number, 240).save(file)
        alone = bare(system, system.folder, algorithms)
        api, before, began = JobsApi(system.record["web"], timeout=60), system.processor(), time.perf_counter()
        with ThreadPoolExecutor(options.clients) as pool:
            posted = list(pool.map(lambda _: submit(api, files, algorithms), range(options.jobs)))
            accepted = time.perf_counter() - began
            left = [id_ for id_, _ in posted]

            def all_ended() -> bool:
                time.sleep(0.5)  # asking must not become the load: nor does it, one job at a time
                while left and api.job(left[0])["status"] in ENDED:
                    left.pop(0)
                return not left

            wait(all_ended, JOB_SECONDS, f"{options.jobs} jobs to end")
            seconds, spent = time.perf_counter() - began, system.processor() - before
            faults = [fault for id_, _ in posted for fault in wrong(api, id_, tasks)]
        faults += complaints(system)
    posts = [took for _, took in posted]
    done = options.jobs * tasks
    bare_spent = options.jobs * alone
    verdict = f"NO: {len(faults)}" if faults else "yes"
    rows = [
        ("tasks done exactly once, events gapless, logs without errors", verdict),
        ("all jobs accepted after", f"{accepted:.1f} s ({options.jobs / accepted:.1f} jobs/s)"),
        ("POST p50 / p95", f"{ms(statistics.median(posts))} / {ms(statistics.quantiles(posts, n=20)[-1])}"),
        ("everything done after", f"{seconds:.1f} s"),
        ("throughput", f"{done / seconds:.1f} tasks/s, {options.jobs / seconds:.1f} jobs/s"),
        ("processor time of the whole system, Redis and the API included", f"{ms(spent / done)} per task"),
        ("of it the decoder and the algorithms alone", f"{ms(alone / tasks)} per task"),
        ("overhead", f"{ms((spent - bare_spent) / done)} per task; {spent / bare_spent:.2f} x the bare time in all"),
    ]
    note = "Load, system and checking share one machine; processor time counts the system alone."
    show(f"{options.jobs} jobs, {done} tasks", ("what", "measured"), rows, note)
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
