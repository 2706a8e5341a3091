"""What the questions cost the broker does not grow with what lies there."""

from __future__ import annotations

MANY = 1_000_000  # in chunks: one script of a million pushes takes seconds
CHUNK = 50_000
FILL = """
for i = 1, tonumber(ARGV[1]) do redis.call('LPUSH', KEYS[1], ARGV[2]) end
"""


def test_a_million_messages_cost_what_ten_do(lab):
    from intelli_checks.probes.pidbox import envelope

    payload = envelope([[], {}, {}], exchange="", routing_key="ai", headers={"task": "shop.noop", "id": "1"})
    costs = {}
    client = lab.redis_client()
    for number in (10, MANY):
        client.delete("ai")
        for _ in range(max(1, number // CHUNK)):
            client.eval(FILL, 1, "ai", min(number, CHUNK), payload)
        client.config_resetstat()
        depths = lab.context(lab.survey("ai")).depths
        assert depths.depth("ai") == number
        assert len(depths.queues["ai"].tail) == min(number, 100)
        spent = client.info("commandstats")
        costs[number] = {name: stats["usec"] for name, stats in spent.items() if name.startswith("cmdstat_l")}
    assert sum(costs[MANY].values()) < sum(costs[10].values()) + 5_000, costs


def test_who_holds_nothing_is_not_asked_what_he_holds(lab, monkeypatch):
    from intelli_checks.probes import pidbox

    asked, ask = [], pidbox.ask

    def noted(connection, layout, commands, **more):
        asked.append(set(commands))
        return ask(connection, layout, commands, **more)

    lab.worker("patient", "-c", "1")
    monkeypatch.setattr(pidbox, "ask", noted)
    assert lab.context(lab.survey("ai")).fleet.nodes[0].queues == ("ai",)
    assert not asked[0] & {"reserved", "scheduled"}
    (task,) = lab.send("noop", countdown=300)
    lab.wait(lambda: lab.redis_client().hlen("unacked"), "the message to be delivered")
    lab.wait(lambda: lab.context(lab.survey("ai")).fleet.held, "the worker to tell what it holds")
    assert [request.id for request in lab.context(lab.survey("ai")).fleet.nodes[0].scheduled] == [task]
