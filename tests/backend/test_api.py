"""The HTTP API inside one process: every bad input has its answer, nobody sees anybody else's jobs."""

import gc
import io
import json
import uuid
import zlib

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client, override_settings
from PIL import Image as Picture

from apps.jobs import submissions
from apps.jobs.models import Artifact, ImageTask, Job, Status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # Django leaves the earlier files of a request it refuses half-way to the garbage collector.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"),
]


def png(width: int = 8, height: int = 6, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def upload(content: bytes | None = None, name: str = "a.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, png() if content is None else content, content_type="image/png")


@pytest.fixture(autouse=True)
def published(monkeypatch, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    sent = []
    monkeypatch.setattr("apps.jobs.publish.publish", sent.extend)
    monkeypatch.setattr("apps.jobs.events.announce", lambda job_id: None)
    yield sent
    gc.collect()  # here, where the filter above holds


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice", password="a")


@pytest.fixture
def client_of_alice(alice) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def submit(client: Client, **fields) -> Job:
    answer = client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]} | fields)
    assert answer.status_code == 202, answer.content
    return Job.objects.get(pk=answer.json()["id"])


def problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = json.loads(answer.content)
    assert body["status"] == status
    assert {"type", "title", "status", "detail", "errors"} == set(body)
    return body


def test_accepted_means_recorded_and_the_ingestion_is_published(client, published):
    answer = client.post("/api/jobs/", {"images": [upload(), upload(name="b.png")], "algorithms": "histogram,describe"})
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["Location"] == f"/api/jobs/{body['id']}/"
    assert body["algorithms"] == ["histogram", "describe"]
    assert [task["kind"] for task in body["tasks"]] == ["ingest", "chart", "describe"] * 2
    assert {str(task) for task in published} == {task["id"] for task in body["tasks"] if task["kind"] == "ingest"}
    assert body["links"]["websocket"] == f"/ws/jobs/{body['id']}/"
    assert body["progress"] == {"total": 6, "finished": 0}


def test_trouble_behind_the_commit_refuses_no_accepted_job(client, monkeypatch):
    def deadlocked(task_ids):
        raise OperationalError("deadlock detected")

    monkeypatch.setattr("apps.jobs.publish.publish", deadlocked)
    assert client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}).status_code == 202
    assert Job.objects.get().status == Status.QUEUED


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"images": [], "algorithms": ["histogram"]}, "required"),
        ({"algorithms": []}, "required"),
        ({"algorithms": ["magic"]}, "unknown_algorithm"),
        ({"images": [upload(b"")]}, "empty"),
        ({"images": [upload(b"<svg onload=alert(1)>")]}, "unsupported_format"),
        ({"images": [], "image_urls": ["http://127.0.0.1/a.png"]}, "not_public"),
        ({"images": [], "image_urls": ["http://2130706433/a.png"]}, "not_public"),
        ({"images": [], "image_urls": ["http://[::ffff:127.0.0.1]/a.png"]}, "not_public"),
        ({"images": [], "image_urls": ["file:///etc/passwd"]}, "scheme_refused"),
    ],
)
def test_bad_input_is_refused_with_its_reason(client, fields, code):
    for files in fields.get("images", []):
        files.seek(0)
    body = problem(client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]} | fields), 400)
    assert code in {error["code"] for error in body["errors"]}
    assert not Job.objects.exists()


def test_every_refused_input_is_named(client):
    images = [upload(), upload(b"x"), upload(b"y")]
    body = problem(client.post("/api/jobs/", {"images": images, "algorithms": ["magic"]}), 400)
    assert {error["field"] for error in body["errors"]} == {"algorithms", "images[1]", "images[2]"}


@pytest.mark.parametrize(("side", "code"), [(9_000, "too_many_pixels"), (30_000, "side_too_long")])
def test_a_decompression_bomb_is_refused_by_its_header(client, side, code):
    bomb = bytearray(png())
    bomb[16:24] = side.to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")  # nothing but its size is wrong with it
    images = [upload(bytes(bomb))]
    body = problem(client.post("/api/jobs/", {"images": images, "algorithms": ["histogram"]}), 400)
    assert body["errors"][0]["code"] == code


def test_too_many_images_are_too_large(client, settings):
    settings.INTELLI_MAX_IMAGES = 2
    problem(client.post("/api/jobs/", {"images": [upload() for _ in range(3)], "algorithms": ["histogram"]}), 413)


def test_thousands_of_parts_are_too_large(client, monkeypatch):
    """While they arrive: what is counted afterwards has been stored by then."""
    monkeypatch.setattr(submissions, "read", lambda *_: pytest.fail("they were all stored"))
    images = [upload() for _ in range(300)]
    problem(client.post("/api/jobs/", {"images": images, "algorithms": ["histogram"]}), 413)


def test_a_large_file_is_refused_while_it_arrives(client, settings):
    settings.INTELLI_MAX_UPLOAD_BYTES = 1000
    problem(client.post("/api/jobs/", {"images": [upload(b"0" * 2000)], "algorithms": ["histogram"]}), 413)


def test_a_large_request_is_refused_by_its_length(client, settings):
    settings.INTELLI_MAX_BODY_BYTES = 100
    problem(client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}), 413)


@pytest.mark.parametrize(
    "body", ["{", "[]", '"x"', '{"algorithms": 1}', '{"algorithms": ["histogram"], "image_urls": 5}']
)
def test_odd_json_is_a_bad_request(client, body):
    problem(client.post("/api/jobs/", body, content_type="application/json"), 400)


def test_the_same_key_gives_the_same_job_and_another_request_a_conflict(client):
    key = {"HTTP_IDEMPOTENCY_KEY": "k1"}
    first = client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}, **key)
    again = client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}, **key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    other = {"images": [upload(png(9, 9))], "algorithms": ["histogram"]}
    problem(client.post("/api/jobs/", other, **key), 409)
    problem(client.post("/api/jobs/", other, HTTP_IDEMPOTENCY_KEY="x" * 201), 400)


def test_a_key_belongs_to_its_user(client, client_of_alice):
    key = {"HTTP_IDEMPOTENCY_KEY": "k1"}
    mine = client_of_alice.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}, **key)
    theirs = client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}, **key)
    assert mine.status_code == theirs.status_code == 202
    assert mine.json()["id"] != theirs.json()["id"]


def test_other_peoples_jobs_do_not_exist(client, client_of_alice, tmp_path):
    job = submit(client_of_alice)
    task = job.tasks.get(kind="chart")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "f").write_bytes(b"x")
    artifact = Artifact.objects.create(
        task=task, name="f", media_type="image/png", size=1, sha256="", path="artifacts/f", created_at=job.created_at
    )
    paths = [f"/api/jobs/{job.id}/", f"/api/artifacts/{artifact.id}/"]
    for path in paths:
        assert client_of_alice.get(path).status_code == 200
        problem(client.get(path), 404)
    problem(client.post(f"/api/jobs/{job.id}/cancel/"), 404)
    assert client.get("/api/jobs/").json()["count"] == 0
    assert client_of_alice.get("/api/jobs/").json()["count"] == 1
    problem(client.get(f"/api/jobs/{uuid.uuid4()}/"), 404)


@pytest.mark.parametrize("path", ["../secret", "artifacts/../../secret", "/etc/passwd", "artifacts/link", "artifacts"])
def test_an_artifact_outside_its_folder_is_not_found(client, tmp_path, path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "artifacts" / "link").symlink_to(tmp_path / "secret")
    job = submit(client)
    artifact = Artifact.objects.create(
        task=job.tasks.first(),
        name="f",
        media_type="image/png",
        size=1,
        sha256="",
        path=path,
        created_at=job.created_at,
    )
    problem(client.get(f"/api/artifacts/{artifact.id}/"), 404)


def test_a_session_needs_its_csrf_token(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    problem(client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}), 403)


def test_a_token_needs_no_csrf_token(alice):
    from rest_framework.authtoken.models import Token

    token = Token.objects.create(user=alice)
    client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Token {token.key}"})
    assert submit(client).owner == alice


@override_settings(INTELLI_ANONYMOUS=False)
def test_without_the_development_setting_nobody_is_refused(client):
    for answer in (client.get("/api/jobs/"), client.post("/api/jobs/"), client.get(f"/api/jobs/{uuid.uuid4()}/")):
        problem(answer, 401)


def test_cancel_ends_everything_once(client):
    job = submit(client)
    body = client.post(f"/api/jobs/{job.id}/cancel/").json()
    assert body["status"] == "cancelled"
    assert {task["status"] for task in body["tasks"]} == {"cancelled"}
    assert client.post(f"/api/jobs/{job.id}/cancel/").json()["seq"] == body["seq"]


def test_a_finished_job_cannot_be_cancelled(client):
    job = submit(client)
    Job.objects.update(status=Status.SUCCEEDED)
    problem(client.post(f"/api/jobs/{job.id}/cancel/"), 409)


def test_an_unchanged_job_is_not_sent_again(client):
    job = submit(client)
    etag = client.get(f"/api/jobs/{job.id}/").headers["ETag"]
    assert client.get(f"/api/jobs/{job.id}/", HTTP_IF_NONE_MATCH=etag).status_code == 304


def test_throttled_requests_are_told_when_to_come_back(client, monkeypatch):
    from apps.jobs.views import Throttled

    monkeypatch.setattr(Throttled, "THROTTLE_RATES", {"submit": "1/hour", "read": None})
    submit(client)
    answer = client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]})
    problem(answer, 429)
    assert 0 < int(answer.headers["Retry-After"]) <= 3600


def test_names_are_shown_without_folders_and_control_characters(client):
    job = submit(client, images=[upload(name="../..\\x\u202egnp.exe\n.png")])
    assert job.images.get().name == "xgnp.exe.png"
    assert not {"/", "\\", "\n"} & set(job.images.get().name)
    assert submissions.display_name("../a\\b/c\u202e\x1b\n.png") == "c.png", "of URLs nobody else cuts it"


def test_the_list_is_paged(client):
    for _ in range(3):
        submit(client)
    page = client.get("/api/jobs/?page_size=2").json()
    assert (page["count"], len(page["results"])) == (3, 2)
    problem(client.get("/api/jobs/?page=99"), 404)


def test_a_refused_submission_leaves_no_file(client, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageTask.objects, "bulk_create", lambda tasks: 1 / 0)
    client.raise_request_exception = False
    assert client.post("/api/jobs/", {"images": [upload()], "algorithms": ["histogram"]}).status_code == 500
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not Job.objects.exists()


def test_live_touches_nothing(client, django_assert_num_queries, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked somebody"))
    with django_assert_num_queries(0):
        assert client.get("/health/live").json() == {"ok": True}


def test_the_schema_and_its_page_need_no_network(client):
    assert client.get("/api/schema/").status_code == 200
    page = client.get("/api/docs/").content.decode()
    assert "cdn" not in page
    assert "/static/drf_spectacular_sidecar/" in page
