"""The WebSocket against a live server; the flow is driven from here, so no worker is needed."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

import pytest
from stack import BACKEND
from websockets.exceptions import ConnectionClosed, InvalidStatus

from intelli_fixtures.processes import until


def drive(stack, code: str) -> str:
    """Run code against the stack's own database, in a process of its own."""
    argv = [sys.executable, "manage.py", "shell", "-v0", "-c", "from apps.jobs import flow\n" + code]
    env = {**os.environ, **stack.env}
    done = subprocess.run(argv, cwd=BACKEND, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ingest(stack, job):
    task = next(task["id"] for task in job["tasks"] if task["kind"] == "ingest")
    drive(stack, f"flow.image_ready(flow.claim('{task}'), 4, 3)")


@pytest.fixture
def job(stack, intelli_images):
    stack.serve()
    made = stack.submit([intelli_images.odd["one-row"]], ["histogram"])
    yield made
    drive(stack, f"flow.cancel('{made['id']}')")


def test_snapshot_then_every_event_then_a_replay_of_what_was_missed(stack, job):
    first = stack.watch(job["id"])
    snapshot = first.receive()
    assert (snapshot["type"], snapshot["seq"], snapshot["job"]["id"]) == ("snapshot", 1, job["id"])
    ingest(stack, job)
    live = first.collect(lambda frame: frame.get("name") == "image.ready")
    assert [frame["name"] for frame in live] == ["job.started", "task.started", "task.succeeded", "image.ready"]
    assert [frame["seq"] for frame in live] == [2, 3, 4, 5]
    again = stack.watch(job["id"], after=3)
    assert [again.receive() for _ in range(2)] == live[2:]
    future = stack.watch(job["id"], after=99)
    assert future.receive()["type"] == "snapshot"


def test_events_arrive_without_the_channel_layer(stack, job):
    client = stack.watch(job["id"])
    client.receive()
    stack.redis.kill()
    ingest(stack, job)
    frames = client.collect(lambda frame: frame.get("name") == "image.ready", timeout=30)
    assert [frame["seq"] for frame in frames] == [2, 3, 4, 5]
    stack.redis.start()


def test_an_idle_socket_stays_open(stack, job):
    client = stack.watch(job["id"])
    client.receive()
    with pytest.raises(TimeoutError):
        client.receive(timeout=8)  # redis-py 8 would have closed it after 5.8 s
    ingest(stack, job)
    assert client.receive()["seq"] == 2


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_a_foreign_origin_is_refused(stack, job, origin):
    with pytest.raises(InvalidStatus, match="403"):
        stack.sockets.connect(f"{stack.live.ws_url}/ws/jobs/{job['id']}/", origin=origin)


def test_other_peoples_jobs_and_unknown_paths_are_refused(stack, job):
    code = """
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token
print('token=' + Token.objects.create(user=get_user_model().objects.create_user('bob')).key)"""
    token = drive(stack, code).split("token=")[1].strip()
    url = f"{stack.live.ws_url}/ws/jobs/{job['id']}/"
    with pytest.raises(InvalidStatus, match="403"):
        stack.sockets.connect(url, headers={"Authorization": f"Token {token}"})
    with pytest.raises(InvalidStatus, match="403"):
        stack.sockets.connect(f"{stack.live.ws_url}/ws/nothing/")


def test_signing_out_ends_the_feed(stack, intelli_images):
    stack.serve()
    code = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from rest_framework.authtoken.models import Token
user = get_user_model().objects.create_user('carol')
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = 'django.contrib.auth.backends.ModelBackend'
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print('out=' + Token.objects.create(user=user).key + ' ' + session.session_key)"""
    token, session = drive(stack, code).split("out=")[1].split()
    job = stack.submit([intelli_images.odd["one-row"]], ["histogram"], Authorization=f"Token {token}")
    cookie = {"Cookie": f"sessionid={session}"}
    client = stack.sockets.connect(f"{stack.live.ws_url}/ws/jobs/{job['id']}/", headers=cookie)
    client.receive()
    drive(stack, f"from django.contrib.sessions.models import Session; Session.objects.filter(pk='{session}').delete()")
    with pytest.raises(ConnectionClosed) as closed:
        client.receive()
    assert closed.value.rcvd.code == 4401
    drive(stack, f"flow.cancel('{job['id']}')")


def test_a_talkative_client_is_closed(stack, job):
    client = stack.watch(job["id"])
    for _ in range(20):
        client.send({})
    with pytest.raises(ConnectionClosed) as closed:
        client.collect(lambda frame: False)
    assert closed.value.rcvd.code == 4400


def test_readiness_names_what_is_missing(stack, job):
    assert stack.request("GET", "/health/ready").status == 200
    stack.redis.kill()
    answer = stack.request("GET", "/health/ready")
    assert answer.status == 503
    checks = json.loads(answer.data)["checks"]
    assert checks["database"] == "ok"
    assert "ok" not in {checks["broker"], checks["channel_layer"]}
    assert str(stack.redis.port) not in answer.data.decode()
    stack.redis.start()
    until(lambda: stack.request("GET", "/health/ready").status == 200, 20, "ready again")


def test_an_open_socket_leaves_the_server_ready(stack, job):
    assert stack.watch(job["id"]).receive()["type"] == "snapshot"
    assert [stack.request("GET", "/health/ready").status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_a_body_that_drips_is_cut_off(stack, server):
    stack.env["INTELLI_MAX_BODY_SECONDS"] = "2"
    stack.live = stack.servers.start(BACKEND, server=server, env=stack.env)
    head = "POST /api/jobs/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n"
    began, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", stack.live.port), timeout=0.2) as connection:
        connection.sendall(head.encode())
        while not answer and time.monotonic() - began < 20:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"0")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 2 <= time.monotonic() - began < 10
    assert stack.request("GET", "/health/live").status == 200


@pytest.mark.parametrize("announced", [True, False])
def test_an_endless_body_is_cut_off(stack, announced):
    stack.serve(INTELLI_MAX_BODY_BYTES="200000")
    length = "Content-Length: 100000000" if announced else "Transfer-Encoding: chunked"
    kind = "Content-Type: multipart/form-data; boundary=x"
    head = f"POST /api/jobs/ HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n{length}\r\n\r\n"
    piece = b"0" * 65536 if announced else b"10000\r\n" + b"0" * 65536 + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", stack.live.port), timeout=10) as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 50_000_000  # the rest sat in socket buffers
    assert stack.request("GET", "/health/live").status == 200
