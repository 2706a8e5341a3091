"""T12 to T16 and their neighbours: who is kept out, what is too much, and what no worker will load."""

import base64
import json
import pickle
import uuid

import pytest
from stack import PROFILES
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from intelli_fixtures.processes import until

TOKEN = """
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token
print('token=' + Token.objects.create(user=get_user_model().objects.create_user('{name}')).key)
"""


def token(stack, name):
    return {"Authorization": "Token " + stack.drive(TOKEN.format(name=name)).split("token=")[1].strip()}


@pytest.fixture
def job(stack, image):
    """A job of nobody's, waiting in a system without workers; ended afterwards."""
    stack.serve()
    made = stack.submit([image], ["describe"])
    yield made
    assert stack.request("POST", f"/api/jobs/{made['id']}/cancel/").status == 200


def test_t11_to_somebody_else_a_job_looks_like_one_that_never_was(stack, image):
    stack.serve()
    alice, bob = token(stack, "alice"), token(stack, "bob")
    mine = stack.submit([image], ["describe"], **alice)["id"]
    for method, path in (("GET", "/api/jobs/{}/"), ("POST", "/api/jobs/{}/cancel/")):
        answers = [stack.request(method, path.format(job_id), headers=bob) for job_id in (mine, uuid.uuid4())]
        assert [answer.status for answer in answers] == [404, 404]
        assert answers[0].json().keys() == answers[1].json().keys()
    assert stack.request("GET", "/api/jobs/", headers=bob).json()["count"] == 0
    assert stack.request("GET", "/api/jobs/", headers=alice).json()["count"] == 1
    assert stack.request("POST", f"/api/jobs/{mine}/cancel/", headers=alice).status == 200


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://localhost.evil.example"])
def test_t13_foreign_and_absent_origins_are_refused_on_every_route(stack, job, origin):
    for path in (f"/ws/jobs/{job['id']}/", f"/ws/jobs/{uuid.uuid4()}/", "/ws/nothing/"):
        with pytest.raises(InvalidStatus, match="403"):
            connect(stack.live.ws_url + path, origin=origin, proxy=None)


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://localhost:1", "garbage"])
def test_t14_a_page_of_another_site_cannot_submit_as_nobody(stack, job, image, origin):
    """The development settings let anybody submit, which must not mean any page open in the developer's browser."""
    assert stack.post([image], ["describe"], Origin=origin).status == 403
    cancelled = stack.request("POST", f"/api/jobs/{job['id']}/cancel/", headers={"Origin": origin})
    assert cancelled.status == 403
    assert len(stack.rows("SELECT id FROM jobs_job")) == 1


def test_t14_its_own_pages_may(stack, job, image):
    again = stack.submit([image], ["describe"], Origin=stack.live.url)
    assert stack.request("POST", f"/api/jobs/{again['id']}/cancel/").status == 200


PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "DJANGO_SECRET_KEY": "only-for-this-test-" + "x" * 40,
    "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
    "DJANGO_SECURE_SSL_REDIRECT": "off",
}


def test_t15_production_throttles_submissions_and_no_header_gets_around_it(stack, image):
    stack.env |= PRODUCTION
    stack.serve(INTELLI_THROTTLE_SUBMIT="2/min")
    alice = token(stack, "alice")
    for number in range(2):
        stack.submit([image], ["describe"], **alice, **{"X-Forwarded-For": f"203.0.113.{number}"})
    refused = stack.post([image], ["describe"], **alice, **{"X-Forwarded-For": "203.0.113.9"})
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert stack.post([image], ["describe"]).status == 401
    for job_id in stack.submitted:
        stack.drive(f"from apps.jobs import flow; flow.cancel('{job_id}')")


def test_t15_nobody_cannot_choose_the_address_that_is_counted(stack, image):
    stack.serve(INTELLI_THROTTLE_SUBMIT="2/min")
    answers = [stack.post([image], ["describe"], **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    for answer in answers[:2]:
        stack.drive(f"from apps.jobs import flow; flow.cancel('{answer.json()['id']}')")


def test_t15_only_so_many_sockets_and_only_so_large_frames(stack, image):
    stack.serve(INTELLI_MAX_SOCKETS="3")
    job = stack.submit([image], ["describe"])
    sockets = [stack.watch(job["id"]) for _ in range(3)]
    with pytest.raises(InvalidStatus, match="403"):
        stack.watch(job["id"])
    with pytest.raises(ConnectionClosed) as closed:
        send_and_drain(sockets[0], {"text": "x" * 2 * 2**20})
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    until(lambda: admitted(stack, job), 5, "the place of the closed socket is free again")
    stack.serve()  # one with room for the socket that is asked afterwards how it all ended
    assert stack.request("POST", f"/api/jobs/{job['id']}/cancel/").status == 200


def send_and_drain(client, frame):
    client.send(frame)
    client.collect(lambda frame: False)


def admitted(stack, job):
    try:
        return stack.watch(job["id"])
    except InvalidStatus:
        return None


class Exploit:
    """Creates a file where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickled(message, exploit):
    """The same message as somebody with access to the broker would send it."""
    envelope = json.loads(message)
    envelope["body"] = base64.b64encode(pickle.dumps(exploit)).decode()
    envelope["content-type"] = "application/x-python-serialize"
    envelope["properties"]["delivery_tag"] = str(uuid.uuid4())
    return json.dumps(envelope)


def test_t16_a_pickled_message_is_refused_and_the_worker_lives(stack, image, tmp_path):
    stack.serve()
    job = stack.submit([image], ["describe"])
    message = stack.redis.command("LINDEX", "ingestion_io", -1)  # the sweep may have sent a second
    proof = tmp_path / "executed"
    stack.redis.command("RPUSH", "ingestion_io", pickled(message, Exploit(proof)))  # the right end is taken first
    worker = stack.worker(PROFILES["ingestion_io"])
    stack.worker(PROFILES["ai"])
    assert stack.finished(job["id"])["status"] == "succeeded"
    log = worker.child.output()
    assert "Refusing to deserialize" in log or "ContentDisallowed" in log
    assert not proof.exists()
    assert worker.child.returncode is None
