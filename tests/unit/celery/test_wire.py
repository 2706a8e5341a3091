"""What comes over the wire is read as it was written, and nothing hostile breaks the reader."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelli_checks.dsn import Dsn
from intelli_checks.probes import denials, messages, nodes, pidbox, queues, results, trace, workers
from intelli_checks.probes.clients import parse
from intelli_checks.probes.layout import Layout
from intelli_checks.probes.processes import is_celery
from intelli_checks.probes.resp import Cut

BROKER = Dsn("redis://h/3")
BROKEN_BODY = {
    "body": "%%%",
    "properties": {"delivery_tag": "x", "delivery_info": {"routing_key": "ai"}, "body_encoding": "base64"},
    "content-type": "application/json",
}


def test_the_layout_follows_the_transport_options():
    conf = {
        "broker_transport_options": {
            "global_keyprefix": "web:",
            "sep": ":",
            "priority_steps": [5, 0],
            "fanout_prefix": False,
        },
        "control_exchange": "shop",
        "task_default_queue": "jobs",
    }
    layout = Layout.of(BROKER, conf)
    assert layout.lists("ai") == ("web:ai", "web:ai:5")
    assert layout.channel(layout.mailbox) == "web:shop.pidbox"
    assert Layout.of(BROKER).channel("celery.pidbox") == "/3.celery.pidbox"
    assert Layout.of(BROKER, {"broker_transport_options": {"fanout_prefix": "x."}}).channel("e") == "x.e"
    assert Layout.of(BROKER).lists("ai") == ("ai", "ai\x06\x163", "ai\x06\x166", "ai\x06\x169")


def test_an_envelope_is_a_message_our_own_reader_accepts():
    raw = pidbox.envelope(
        [[1], {}, {}], exchange="", routing_key="ai", headers={"task": "t", "id": "i", "retries": 2, "sent_at": 12.5}
    )
    message = messages.decode(raw.encode())
    assert (message.fault, message.task, message.id, message.retries, message.sent_at) == ("", "t", "i", 2, 12.5)
    assert message.content_type == "application/json"


def test_of_a_message_too_large_to_keep_all_but_the_body_is_known():
    headers = {"task": "t", "id": "i", "retries": 2}
    raw = pidbox.envelope([["x" * 500], {}, {}], exchange="", routing_key="ai", headers=headers).encode()
    message = messages.decode(Cut.of(raw[300:], len(raw)))
    assert message == messages.decode(raw)
    table = json.dumps([json.loads(raw), "", "ai"]).encode()
    assert queues._delivered("tag", 1.0, Cut.of(table[300:], len(table))).message.task == "t"


@pytest.mark.parametrize(("options", "known"), [({}, True), ({"global_keyprefix": "********"}, False)])
def test_without_a_project_a_masked_prefix_of_results_is_not_guessed(options, known):
    conf = {"result_backend": "redis://h/3", "result_backend_transport_options": options}
    store = results.store(None, None, workers.WorkerFleet(1, (nodes.Node("w@h", conf=conf),)), BROKER)
    assert (store is not None) is known


def test_an_answer_too_large_to_read_is_counted():
    said = pidbox.Round({"1": "reserved"})
    said.take(Cut.of(b"...", 40_000_000))
    assert (said.cut, said.answers) == (1, [])


@pytest.mark.parametrize(("count", "size", "asked"), [(3, 900, True), (40, 600_000, False), (30_000, 900, False)])
def test_workers_are_not_asked_for_megabytes_of_arguments(count, size, asked, monkeypatch):
    class Redis:
        """Answers as Redis does; nobody listens on it."""

        def pipeline(self, commands, keep=None):
            known = {"HLEN": count, "ZRANGE": [b"tag"], "HSTRLEN": size}
            return [known.get(command[0]) for command in commands]

    commands = {}
    monkeypatch.setattr(pidbox, "ask", lambda _, __, asked, **___: commands.update(asked) or pidbox.Round({}))
    monkeypatch.setattr(workers, "listing", lambda _: ())
    fleet = workers.gather(Redis(), Layout.of(BROKER), 1.0)
    assert ("reserved" in commands, "scheduled" in commands, fleet.untold) == (asked, asked, not asked)
    assert fleet.accounted is asked


def test_a_task_is_found_in_a_message_too_large_to_keep():
    class Redis:
        """Keeps of a large reply what it was told to keep."""

        def pipeline(self, _, keep=None):
            large = b"x" * 100 + b'"id": "wanted"'
            return [[large if keep is None else Cut.of(large[-20:], len(large)), b'"id": "next"']]

    assert trace._search(Redis(), "ai", "wanted", math.inf) == (1, 1)


def test_of_a_message_whose_headers_are_too_large_as_well_only_the_size_is_known():
    assert messages.decode(Cut.of(b'ers": {"task": "t"}}', 9_000_000)) == messages.Message(size=9_000_000)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"\x80\x04", "not JSON"),
        (b"[1]", "not a message"),
        (b"{}", "not written by kombu"),
        (b"[" * 100_000, "not JSON"),
        (json.dumps(BROKEN_BODY).encode(), "cannot be decoded"),
    ],
)
def test_what_no_worker_can_decode(raw, fault):
    assert fault in messages.decode(raw).fault


def test_protocol_1_carries_the_task_in_its_body():
    body = {"task": "old", "id": "1", "retries": 3}
    raw = pidbox.envelope(body, exchange="celery", headers={})
    assert (messages.decode(raw.encode()).task, messages.decode(raw.encode()).retries) == ("old", 3)


def test_a_pickle_is_counted_and_never_loaded():
    message = {
        "content-type": "application/x-python-serialize",
        "body": "gASVHAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOU",
    }
    assert pidbox.decode_body(message) is None


@given(st.binary(max_size=300))
def test_no_bytes_break_the_message_reader(raw):
    messages.decode(raw)


WORDS = st.sampled_from(
    ["", "id", "name", "pool", "total", "timeouts", "request", "delivery_info", "\x1b[2J", "1", "body"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*workers.COMMANDS, *workers.PROFILE]), json_values))
def test_no_answer_breaks_the_node_reader(said):
    nodes.parse_node("w", said)


@given(st.dictionaries(st.sampled_from(["body", "headers", "properties", "content-type"]), json_values))
def test_no_json_breaks_the_message_reader(message):
    messages.decode(json.dumps(message).encode())


def test_numbers_without_end_are_no_numbers():
    stats = {"pid": math.inf, "uptime": 10**400, "prefetch_count": math.nan, "pool": {"timeouts": [math.inf, 5]}}
    node = nodes.parse_node("w", {"stats": stats, "active": [{"id": "i", "time_start": 10**400}]})
    assert (node.pid, node.uptime, node.prefetch, node.timeouts, node.active[0].started) == (0, None, 0, (5.0,), None)
    raw = pidbox.envelope([[], {}, {}], exchange="", headers={"id": "i", "sent_at": 10**400, "retries": math.inf})
    message = messages.decode(raw.encode())
    assert (message.id, message.sent_at, message.retries) == ("i", None, 0)


def test_a_node_in_our_terms():
    node = nodes.parse_node(
        "w@h",
        {
            "stats": {
                "pid": 7,
                "uptime": 100,
                "prefetch_count": 8,
                "total": {"t": 3},
                "pool": {
                    "implementation": "celery.concurrency.thread:TaskPool", "max-concurrency": 2, "timeouts": [0, 60]
                },
            },
            "active_queues": [{"name": "ai"}, {"no": "name"}],
            "registered": ["t [acks_late=True rate_limit=1/m]", "evil [x] [time_limit=60]", "plain"],
            "active": [
                {"id": "1", "name": "t", "time_start": 5.0, "worker_pid": 9, "delivery_info": {"redelivered": True}}
            ],
            "scheduled": [{"eta": "2030-01-01T00:00:00", "request": {"id": "2", "type": "t"}}],
            "conf": {"CELERY_RESULT_BACKEND": "redis://h/1", "SOME_DEBUG": True, "SECRET_KEY": "x"},
        },
    )  # fmt: skip
    assert (node.pool, node.concurrency, node.prefetch, node.started, node.queues) == ("threads", 2, 8, 3, ("ai",))
    assert node.registered["evil [x]"] == {"time_limit": "60"}
    assert node.active[0].redelivered
    assert node.active[0].pid == 9
    assert node.held == {"1", "2"}
    assert node.conf == {"result_backend": "redis://h/1"}


def test_rate_limited_tasks_may_wait():
    held = {"reserved": [{"id": "1", "name": "t"}], "registered": ["t [rate_limit=1/m]"]}
    assert not nodes.parse_node("w", held).stalled
    assert nodes.parse_node("w", {"reserved": [{"id": "1", "name": "t"}]}).stalled


@pytest.mark.parametrize(
    ("member", "separator"), [("\x06\x16\x06\x16w@h.celery.pidbox", "\x06\x16"), ("::w@h", ":"), ("w", "")]
)
def test_the_separator_is_read_from_a_binding(member, separator):
    assert workers.separator_of([member]) == separator


def test_a_line_of_client_list():
    client = parse("id=3 addr=10.0.0.1:5 name= age=9 idle=7 flags=b db=2 psub=1 cmd=brpop user=default")
    assert client is not None
    assert (client.address, client.database, client.blocked, client.idle, client.patterns) == (
        "10.0.0.1:5",
        2,
        True,
        7,
        1,
    )
    assert client.consumes
    assert parse("garbage") is None


@pytest.mark.parametrize(
    ("words", "role"),
    [
        (["/venv/bin/python", "/venv/bin/celery", "-A", "config", "worker"], "worker"),
        (["python", "-m", "celery", "-A", "config", "worker", "-B"], "beat"),
        (["C:\\venv\\Scripts\\celery.exe", "-A", "config", "worker"], "worker"),
        (["[celeryd: w1@h:MainProcess] -active- (worker)"], "worker"),
        (["celery", "-A", "config", "beat"], "beat"),
        (["[celery", "beat]", "-A", "config", "beat", "-l", "INFO", ""], "beat"),
        (["[celery beat] -A config beat -l INFO", "", ""], "beat"),
        (["[celeryd: w1@h:MainProcess] -active- (-A config worker --pidfile=/run/w1.pid)", ""], "worker"),
        (["[celeryd:", "w1@h:MainProcess]", "-active-", "(-A", "config", "worker", "-B)"], "beat"),
    ],
)
def test_celery_is_recognised_by_its_command_line(words, role):
    assert is_celery(words, role)


@pytest.mark.parametrize(
    "words",
    [["vim", "celery.py"], ["celery", "-A", "x", "inspect", "ping"], [], ["worker"], ["[celery beat]", "worker"]],
)
def test_other_programs_are_not_workers(words):
    assert not is_celery(words, "worker")


def test_an_entry_of_the_acl_log():
    """As Redis 7 answers `ACL LOG` over RESP2: names and values in turns."""
    entry = [b"count", 3, b"reason", b"channel", b"context", b"toplevel", b"object", b"/0.celery.pidbox",
             b"username", b"worker", b"age-seconds", b"2.5", b"client-info", b"id=9"]  # fmt: skip
    assert denials.parse(entry) == denials.Denial("worker", "channel", "/0.celery.pidbox", 2.5, 3)


@pytest.mark.parametrize(
    ("answered", "queues"), [(("stats",), []), (("stats", "active_queues", pidbox.BARRIER), ["ai"])]
)
def test_a_worker_whose_answers_are_not_all_there_is_not_one_without_queues(answered, queues):
    """Over a slow line time was up between two of them: it was said to consume nothing at all."""
    bodies = {"stats": {"pid": 1}, "active_queues": [{"name": "ai"}], pidbox.BARRIER: {"ok": "pong"}}
    said = pidbox.Round({})
    said.answers = [pidbox.Answer("w@h", command, bodies[command]) for command in answered]
    assert [queue for node in workers.nodes_of(said) for queue in node.queues] == queues
    assert len(list(workers.nodes_of(said))) == len(queues)
