"""Workers whose shell had a variable that the one in which somebody looks lacks."""

from __future__ import annotations

from dataclasses import replace

from intelli_checks.dsn import Dsn
from intelli_fixtures.processes import free_port


def test_a_broker_nobody_started_is_told_from_a_variable_that_is_missing(lab, told, monkeypatch):
    port = free_port()
    survey = replace(lab.survey("ai"), broker=Dsn(f"redis://127.0.0.1:{port}/0"))
    assert told(lab.check("redis.broker", survey=survey)["redis.broker"]).endswith("refused: nothing listens there")
    worker = lab.worker("one", "-c", "1")
    (found,) = lab.check("redis.broker", survey=survey)["redis.broker"].findings
    there = Dsn(lab.url).address
    assert found.message.endswith(
        f"; worker pid {worker.pid} uses {there}, this shell's settings name 127.0.0.1:{port}"
    )
    assert "BROKER" in found.hint
    assert "redis-server" not in found.hint
    monkeypatch.setenv("BROKER", lab.url)  # then it is not the variable that differs
    assert told(lab.check("redis.broker", survey=survey)["redis.broker"]).endswith("refused: nothing listens there")


def test_a_worker_of_another_checkout_is_named(lab, told, tmp_path_factory):
    old = tmp_path_factory.mktemp("shop_old")
    (old / "shop.py").write_text((lab.folder / "shop.py").read_text())
    here, lab.folder = lab.folder, old
    worker = lab.worker("one", "-c", "1")
    lab.folder = here
    survey = lab.survey("ai")
    assert "runs the code of" not in told(lab.check("celery.stale", survey=survey)["celery.stale"])
    (old / "shop.py").write_text("# before\n" + (old / "shop.py").read_text())
    said = told(lab.check("celery.stale", survey=survey)["celery.stale"])
    assert f"worker pid {worker.pid} runs the code of {old.resolve()}, this check reads {here.resolve()}" in said
