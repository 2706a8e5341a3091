"""`queues`, `tasks` and `bundle` on a live system: what they show is what is there."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from intelli_checks import text
from intelli_ops.cli import run
from intelli_ops.commands import queues, tasks


@pytest.fixture
def said(lab, capsys: pytest.CaptureFixture[str]):
    """Run the command line on the laboratory's broker, as JSON; exit code and document."""

    def ask(*words: str) -> tuple[int, object]:
        capsys.readouterr()
        code = run([*words, "--json", "--broker", lab.url, "--project", str(lab.folder), "--timeout", "20"])
        return code, json.loads(capsys.readouterr().out)

    return ask


def rows(lab, *declared: str) -> dict[str, queues.Row]:
    return {row.queue: row for row in queues.table(lab.context(lab.survey(*declared)))}


def test_a_queue_that_nobody_consumes_stands(lab):
    lab.worker("one", "-c", "1", queues="ai")
    lab.send("noop", queue="charts", times=3)
    found = rows(lab, "ai", "charts")
    assert (found["charts"].waiting, found["charts"].consumers, found["charts"].trend) == (3, (), "standing")
    assert (found["ai"].waiting, found["ai"].consumers, found["ai"].trend) == (0, ("one@lab",), "empty")


def test_what_a_worker_holds_counts_as_unacked_in_its_queue(lab):
    lab.worker("one", "-c", "1", "--prefetch-multiplier", "1", queues="ai")
    lab.send("nap", 30, times=3)
    lab.active(1)
    row = rows(lab, "ai")["ai"]
    assert (row.waiting, row.unacked, row.trend) == (2, 1, "standing")


def test_a_queue_that_fills_and_one_that_drains(lab):
    ctx = lab.context(lab.survey("ai"))
    lab.send("noop", times=2)
    before = ctx.depths
    lab.send("noop", times=20)
    growing = queues.trend(before.queues["ai"], ctx.depths_later.queues["ai"], 1.0)
    draining = queues.trend(ctx.depths_later.queues["ai"], before.queues["ai"], 1.0)
    assert (growing, draining) == ("growing 20/s", "draining 20/s, 0 s left")
    assert ctx.depths_later.taken - before.taken > 0.9


def test_without_a_project_a_broker_is_enough(lab, said):
    lab.worker("one", "-c", "1", queues="ai")
    lab.send("noop", queue="lost", times=1)
    code, document = said("queues")
    assert code == 0
    assert {row["queue"]: row["waiting"] for row in document["queues"]} == {"lost": 1, "ai": 0}


def test_a_worker_that_does_not_know_a_task_is_named(lab):
    lab.worker("one", "-c", "1", queues="ai")
    table = {row.name: row for row in tasks.table(lab.context(lab.survey("ai", tasks=("shop.noop", "shop.new"))))}
    assert table["shop.noop"].unknown_to == ()
    assert table["shop.new"].unknown_to == ("one@lab",)


def test_a_task_is_found_wherever_it_is(lab, said):
    lab.worker("one", "-c", "1", "--prefetch-multiplier", "1", queues="ai")
    (runs,) = lab.send("nap", 30)
    lab.active(1)
    waits = lab.send("noop", times=3)
    (lost,) = lab.send("noop", queue="charts")
    where = {id_: said("tasks", "show", id_) for id_ in (runs, waits[0], waits[2], lost)}
    assert [told["where"] for _, told in where.values()] == ["held", "waiting", "waiting", "waiting"]
    assert "runs on one@lab" in where[runs][1]["lines"][0]
    assert "0 before it" in where[waits[0]][1]["lines"][0]
    assert "2 before it" in where[waits[2]][1]["lines"][0]
    assert "NOBODY who answers consumes charts" in " ".join(where[lost][1]["lines"])
    assert {code for code, _ in where.values()} == {0}


def test_a_task_that_ended_and_one_nobody_ever_heard_of(lab, said):
    lab.worker("one", "-c", "1", queues="ai")
    (id_,) = lab.send("noop")
    lab.wait(lambda: lab.redis_client().get(f"celery-task-meta-{id_}"), "its result")
    code, told = said("tasks", "show", id_, "--results", lab.url)
    assert (code, told["where"], told["state"]) == (0, "ended", "SUCCESS")
    code, told = said("tasks", "show", str(uuid4()), "--results", lab.url)
    assert (code, told["where"], told["state"]) == (1, "nowhere", "PENDING")
    code, told = said("tasks", "show", id_)
    assert (code, told["where"]) == (3, "unknown")
    assert "--results URL" in told["lines"][0]


def test_a_delivered_message_whose_worker_died_says_when_it_comes_back(lab, said):
    child = lab.worker("one", "-c", "1", queues="ai")
    (id_,) = lab.send("nap", 60)
    lab.active(1)
    child.kill()
    lab.wait(lambda: not lab.fleet().nodes, "the worker to be gone")
    _, told = said("tasks", "show", id_)
    assert told["where"] == "delivered"
    assert "delivered again in" in told["lines"][0]


def test_where_no_results_are_kept_pending_is_for_ever(lab):
    from intelli_checks.probes import trace
    from intelli_ops import whereabouts

    lab.conf["result_backend"] = "disabled://"
    (id_,) = lab.send("noop")
    ctx = lab.context(lab.survey("ai"))
    told = whereabouts.tell(trace.gather(ctx, id_, 5.0), ctx)
    assert told.where == "waiting"
    assert "PENDING for ever" in " ".join(told.lines)


def test_a_bundle_is_private_complete_and_can_be_judged_again(lab, tmp_path: Path, capsys):
    lab.worker("one", "-c", "1", queues="ai")
    path = tmp_path / "b.zip"
    assert run(["bundle", "-o", str(path), "--broker", lab.url, "--project", str(lab.folder)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {"README.txt", "report.txt", "report.json", "facts.json", "target.json", "versions.json"}
    facts = tmp_path / "facts.json"
    facts.write_text(texts["facts.json"])
    capsys.readouterr()
    run(["check", "--from", str(facts), "--format", "json"])
    again, then = (json.loads(text)["checks"] for text in (capsys.readouterr().out, texts["report.json"]))
    for id_ in ("redis.broker", "celery.workers", "celery.queues"):
        assert outcome(again, id_) == outcome(then, id_) in {"passed", "warned"}


def outcome(checks: list[dict[str, str]], id_: str) -> str:
    return next(check["outcome"] for check in checks if check["id"] == id_)


def test_names_that_are_no_text_break_nothing(lab):
    """A key of any bytes is a list like another, and JSON lets a name hold half a character."""
    lab.send("noop", queue="charts")
    client = lab.redis_client()
    client.lpush(b"other\x80", client.lindex("charts", 0).replace(b'"task": "', b'"task": "\\ud800'))
    named = {row.queue: row.waiting for row in queues.table(lab.context(lab.survey("charts")))}
    assert named == {"charts": 1, "other\udc80": 1}
    assert "\\xdc80" in text.safe(max(named))
