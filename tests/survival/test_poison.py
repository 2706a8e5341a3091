"""J20: pictures that are none cost their sender an answer, and nobody else anything."""

import zlib

import numpy as np
import psutil
import pytest
from PIL import Image

from intelli_fixtures.processes import until

IN_TIME = 5
"""Seconds until the answer, or until the job has failed."""
GROWTH = 50 * 2**20
"""Bytes the worker and its children may grow by."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(width: int, height: int, data: bytes) -> bytes:
    """A greyscale PNG that says one thing and holds `data`."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


POISON = {
    "empty": b"",
    "wrong type": b"%PDF-1.7 and so on",
    "bomb": png(30_000, 30_000, zlib.compress(bytes(30_000))),
    "ends early": png(640, 480, zlib.compress(bytes(640 * 480 + 480)))[:60],
    "inflates to nothing": png(640, 480, b"not deflated"),
}


def memory(worker) -> int:
    """Bytes held by the worker and its pool; a decoder that is about to end counts while it is there."""
    held = 0
    for pid in (worker.child.pid, *worker.pool_pids()):
        for process in (psutil.Process(pid), *psutil.Process(pid).children()):
            try:
                held += process.memory_full_info().uss
            except psutil.NoSuchProcess:
                continue
    return held


@pytest.fixture
def poisoned(tmp_path):
    """A file of each kind, and 20 MB of noise that is a picture."""
    files = []
    for name, data in POISON.items():
        files.append(tmp_path / f"{name}.png")
        files[-1].write_bytes(data)
    files.append(tmp_path / "huge.png")
    noise = np.random.default_rng(20).integers(0, 256, (2700, 2700, 3), dtype=np.uint8)
    Image.fromarray(noise).save(files[-1], compress_level=0)
    assert files[-1].stat().st_size > 20 * 2**20
    return files


def test_j20_poison_is_refused_at_once_and_harms_nobody(stack, image, poisoned):
    stack.serve()
    worker = stack.worker()
    stack.submit([image], ["describe"])
    stack.all_succeeded()
    usual, _ = stack.timed(lambda: stack.finished(stack.submit([image], ["describe"])["id"]))
    before = memory(worker)
    for file in poisoned:
        took, ended = stack.timed(lambda file=file: answer(stack, file))
        assert ended, f"{file.stem} was taken for a picture"
        assert took < max(IN_TIME, 3 * usual), f"{file.stem} took {took:.1f} s, a picture {usual:.1f} s"
        assert memory(worker) - before < GROWTH, file.stem
    attempts = stack.rows("SELECT MAX(attempt) AS n FROM jobs_imagetask")[0]["n"]
    assert attempts == 1, "a picture that is broken stays broken: there is nothing to try again"
    last = stack.submit([image], ["describe"])
    assert stack.finished(last["id"])["status"] == "succeeded"


def answer(stack, file) -> str | None:
    """The code of the refusal, by the API or by the job; None where the picture was accepted as one."""
    response = stack.post([file], ["describe"])
    if response.status != 202:
        assert response.status in {400, 413}, response.data
        return ", ".join(error["code"] for error in response.json()["errors"]) or response.json()["title"]
    job = response.json()
    stack.submitted.append(job["id"])
    until(lambda: stack.job(job["id"])["status"] in {"failed", "succeeded"}, 30, f"the job of {file.stem} to end")
    ended = stack.job(job["id"])
    return ", ".join({task["error"]["code"] for task in ended["tasks"]}) if ended["status"] == "failed" else None
