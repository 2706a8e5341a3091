"""What a broker that went away and came back leaves behind."""

from __future__ import annotations

from intelli_fixtures.proxy import proxy


def test_messages_forgotten_over_a_broker_restart(durable, failing):
    durable.worker("forgetful", "-c", "1", "--prefetch-multiplier", "4")
    durable.send("nap", 8, times=4)
    durable.wait(lambda: durable.redis_client().hlen("unacked") == 4, "four messages to be taken")
    durable.wait(lambda: durable.oldest_unacked() > 2, "Redis to restart visibly later than they were taken")
    durable.redis.restart()
    durable.wait(lambda: durable.answers("forgetful@lab"), "the worker to be back", 60)

    def found() -> dict[str, str]:
        return failing(durable.check("celery.unacked", survey=durable.survey("ai")))

    durable.wait(lambda: "celery.unacked" in found(), "the orphans to be noticed", 40)
    assert "Redis restarted after they were delivered" in found()["celery.unacked"]


def test_a_half_open_connection_freezes_a_worker(lab, failing):
    with proxy(lab.redis.port) as between:
        worker = lab.worker("frozen", "-c", "1", BROKER=between.redirect(lab.url))
        for stream in ("upstream", "downstream"):
            between.add("timeout", stream=stream, timeout=0)  # 0: nothing passes and nothing closes
        lab.wait(lambda: lab.fleet().silent == 1, "the worker to fall silent", 30)

        def found() -> dict[str, str]:
            return failing(lab.check("celery.workers", survey=lab.survey("ai")))

        lab.wait(lambda: "celery.workers" in found(), "a verdict", 40)
        words = found()["celery.workers"]
    assert f"worker process {worker.pid} is alive and does not answer" in words


def test_a_clock_that_is_an_hour_ahead(lab, failing):
    lab.worker("early", "-c", "1", CLOCK_AHEAD="3600")
    lab.send("nap", 20)
    lab.active(1)
    bad = failing(lab.check(survey=lab.survey("ai")))
    assert list(bad) == ["celery.clock"]
    assert "60 min ahead of Redis" in bad["celery.clock"]
