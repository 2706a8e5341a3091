"""J22 to J24: the WebSocket is cut, not read, its server or Redis restarted; the client still learns how it ended."""

import os
import signal
import socket
import time

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from intelli_fixtures.processes import until
from intelli_fixtures.proxy import proxy

ENDS = {"job.succeeded", "job.failed", "job.cancelled"}
FINAL_SECONDS = 2.0
REJOINED_SECONDS = 4.0
MEGABYTE = 2**20
UPDATES = """
from django.db import transaction
from apps.jobs import events, flow
from apps.jobs.models import Job
for _ in range(10):
    with transaction.atomic():
        job = flow._locked('{job}')
        for number in range(100):
            events.record(job, 'task.progress', {{'text': 'x' * 1000}})
        flow._save(job)
"""


def is_end(frame):
    return frame.get("name") in ENDS


def seqs(frames):
    return [frame["seq"] for frame in frames]


def test_j22_a_socket_cut_again_and_again_misses_nothing(stack, image):
    stack.serve()
    stack.worker()
    with proxy(stack.live.port) as link, stack.endpoint.held():
        job = stack.submit([image], ["describe", "histogram", "tone_curve"])
        url = f"ws://127.0.0.1:{link.port}/ws/jobs/{job['id']}/"
        # From the first event on: of a snapshot nobody knows how many of the five it holds already.
        seen = [stack.sockets.connect(f"{url}?after=0").receive()]
        for cut in range(5):
            client = stack.sockets.connect(f"{url}?after={seen[-1]['seq']}")
            seen.append(client.receive(30))
            link.down()
            with pytest.raises(ConnectionClosed):
                client.collect(lambda frame: False)
            link.up()
            if cut == 2:
                stack.redis.restart()
        stack.endpoint.open.set()
        seen += stack.sockets.connect(f"{url}?after={seen[-1]['seq']}").collect(is_end)
        assert seqs(seen) == list(range(seen[0]["seq"], seen[-1]["seq"] + 1))
        took, last = stack.timed(stack.sockets.connect(f"{url}?after={seen[-2]['seq']}").receive)
        assert (last, took < FINAL_SECONDS) == (seen[-1], True)
        took, snapshot = stack.timed(stack.sockets.connect(url).receive)
        assert (snapshot["job"]["status"], took < FINAL_SECONDS) == ("succeeded", True)
        assert stack.job(job["id"])["status"] == "succeeded"


def deaf(stack, job_id):
    """An open WebSocket that takes 4 KB and reads no further."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", stack.live.port))
    head = [f"GET /ws/jobs/{job_id}/?after=0 HTTP/1.1", "Host: localhost", "Origin: http://localhost"]
    head += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    connection.sendall("\r\n".join([*head, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]).encode())
    assert b" 101 " in connection.recv(64)
    return connection


def read_until(connection, text, seconds=30):
    """Everything up to `text`; a total deadline."""
    deadline, tail = time.monotonic() + seconds, b""
    while text not in tail:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        piece = connection.recv(65536)
        assert piece, "the server closed before it told the end"
        tail = tail[-200:] + piece


def test_j23_clients_that_stop_reading_cost_bounded_memory_and_learn_the_end(stack, image, record_property):
    stack.serve()
    job = stack.submit([image], ["describe"])
    clients = [deaf(stack, job["id"]) for _ in range(10)]
    server = psutil.Process(stack.live.child.pid)
    before = server.memory_info().rss
    stack.drive(UPDATES.format(job=job["id"]))
    reader = stack.watch(job["id"], after=0)
    reader.collect(lambda frame: frame["seq"] >= 1000)
    assert stack.request("POST", f"/api/jobs/{job['id']}/cancel/").status == 200
    reader.collect(is_end)
    grown = server.memory_info().rss - before
    record_property("grown, MB", grown // MEGABYTE)
    assert grown < 60 * MEGABYTE
    for client in clients:
        with client:
            read_until(client, b'"job.cancelled"')


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_j24_a_server_that_ends_with_open_sockets(stack, image, number):
    stack.serve()
    stack.worker()
    with stack.endpoint.held():
        job = stack.caught(image)
        clients = [stack.watch(job["id"]) for _ in range(3)]
        last = [client.receive()["seq"] for client in clients]
        os.kill(stack.live.child.pid, number)
        _took, code = stack.timed(lambda: stack.live.child.wait(10))
        assert code in {0, -number}
        for client in clients:
            with pytest.raises(ConnectionClosed):
                client.collect(lambda frame: False, timeout=10)
        stack.serve()
    frames = stack.watch(job["id"], after=last[0]).collect(is_end)
    assert seqs(frames) == list(range(last[0] + 1, frames[-1]["seq"] + 1))
    until(lambda: stack.job(job["id"])["status"] == "succeeded", 5, "the API agrees")


def members(stack, job):
    """How many sockets follow the job, as the channel layer sees it."""
    return stack.redis.command("ZCARD", f"asgi:group:job-{job['id']}", db=1)


@pytest.mark.parametrize("already_open", [1, 3])
def test_the_first_handshake_after_a_restart_of_redis_succeeds(stack, image, already_open, record_property):
    """The server's pooled connections to the layer are dead then: a consumer that joins in `connect` answers 500."""
    stack.serve()
    stack.worker()
    with stack.endpoint.held():
        job = stack.submit([image], ["describe"])
        clients = [stack.watch(job["id"]) for _ in range(already_open)]
        until(lambda: members(stack, job) == already_open, 5, "the sockets to join")
        stack.redis.restart()
        clients.append(stack.watch(job["id"]))
        assert clients[-1].receive()["job"]["id"] == job["id"]
        took, _ = stack.timed(lambda: until(lambda: members(stack, job) == len(clients), 30, "all to join again"))
        record_property("all joined again, seconds", round(took, 2))
        assert took < REJOINED_SECONDS
    for client in clients:  # none was closed, and each learns the end
        client.collect(is_end)
