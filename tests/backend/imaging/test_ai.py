"""Descriptions from a real endpoint that misbehaves, in no time: sleeping is recorded, not done."""

import base64
import dataclasses
import io
import json
import logging
import pickle
import traceback
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from apps.jobs.ai import CODES, AiConfig, AiError, Description, Pace, describe
from apps.jobs.ai.local import NAMED, detail, nearest_name, statistics
from apps.jobs.ai.retrying import backoff, retry_after
from apps.jobs.algorithms.arrays import luma

KEY = "sk-canary-9b1f4c"
NOW = 1_800_000_000.0


def completion(content="A cat.", **more) -> bytes:
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "odd": "x"}
    return json.dumps({"model": "eye-2", "choices": [choice], "usage": usage} | more).encode()


FILTERED = completion(choices=[{"message": {"content": "x"}, "finish_reason": "content_filter"}])


def good(talk):
    talk.answer("200 OK", completion(), Content_Type="application/json")


def status(line: str, body: bytes = b"", **headers):
    return lambda talk: talk.answer(line, body, **headers)


class Time:
    """A clock that only moves when somebody sleeps; and it is always the most that chance allows."""

    def __init__(self, chance: float = 1.0) -> None:
        self.slept: list[float] = []
        self.pace = Pace(self.slept.append, lambda: sum(self.slept), lambda: NOW, lambda: chance)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((2000, 500)).convert("RGB").save(path)
    return path


def config_for(server, **changes) -> AiConfig:
    return AiConfig(**({"base_url": f"{server.url}/v1/", "model": "eye", "api_key": KEY} | changes))


def error_of(picture: Path, config: AiConfig, pace: Pace | None = None) -> AiError:
    with pytest.raises(AiError) as caught:
        describe(picture, config, pace or Time().pace)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.__dict__)
    assert KEY not in shown
    assert caught.value.code in CODES
    return caught.value


def test_the_picture_goes_out_and_the_description_comes_back(serve, picture):
    server = serve(good)
    found = describe(picture, config_for(server), Time().pace)
    assert found.text == "A cat."
    assert (found.provider, found.model) == ("127.0.0.1", "eye-2")
    assert found.data["attempts"] == 1
    assert found.data["usage"] == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}".encode() in head.split(b"\r\n")
    question = json.loads(body)
    text, image = question["messages"][0]["content"]
    assert question["model"] == "eye"
    assert text["type"] == "text"
    kind, _, data = image["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert sent.size == (1024, 256)


def test_without_a_key_no_authorization_is_sent(serve, picture):
    server = serve(good)
    describe(picture, config_for(server, api_key=""), Time().pace)
    assert b"authorization" not in server.requests[0].lower()


def test_over_tls_only_with_a_certificate_we_trust(serve, picture, server_context, certificates):
    server = serve(good, context=server_context)
    assert describe(picture, config_for(server, ca_file=certificates.authority), Time().pace).text == "A cat."
    assert error_of(picture, config_for(server)).code == "tls_failed"


@pytest.mark.parametrize(
    "first",
    [
        status("429 Too Many Requests"),
        status("500 Internal Server Error"),
        status("503 Service Unavailable", b"<html>"),
        status("529 Overloaded"),
        lambda talk: talk.reset(),
        lambda talk: None,
        lambda talk: talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
        lambda talk: talk.send(b"-ERR unknown command\r\n"),
    ],
)
def test_what_may_pass_is_tried_again(first, serve, picture):
    server = serve(first, first, good)
    clock = Time()
    found = describe(picture, config_for(server), clock.pace)
    assert found.data["attempts"] == 3
    assert clock.slept == [1.0, 2.0], "exponential, the most that jitter allows"


@pytest.mark.parametrize(
    ("line", "body", "code"),
    [
        ("400 Bad Request", b"", "refused_request"),
        ("404 Not Found", f'{{"error": {{"message": "no model, key {KEY}"}}}}'.encode(), "refused_request"),
        ("401 Unauthorized", f"Incorrect API key provided: {KEY}".encode(), "refused_key"),
        ("403 Forbidden", b"", "refused_key"),
        ("302 Found", b"", "redirect_refused"),
        ("429 Slow", b'{"error": {"code": "insufficient_quota"}}', "quota_exhausted"),
        ("200 OK", b"<html>a proxy's page</html>", "bad_answer"),
        ("200 OK", b"[" * 100_000, "bad_answer"),
        ("200 OK", b"null", "bad_answer"),
        ("200 OK", b'{"choices": []}', "bad_answer"),
        ("200 OK", b'{"choices": [{"message": "x"}]}', "bad_answer"),
        ("200 OK", b'{"choices": {"0": 1}}', "bad_answer"),
        ("200 OK", completion(""), "bad_answer"),
        ("200 OK", completion(None), "bad_answer"),
        ("200 OK", completion(7), "bad_answer"),
        ("200 OK", completion([{"type": "text"}]), "bad_answer"),
        ("200 OK", completion(["x"]), "bad_answer"),
        ("200 OK", b"\xff\xfe\x00", "bad_answer"),
        ("200 OK", completion(choices=[{"message": {"content": "", "refusal": "no"}}]), "content_refused"),
        ("200 OK", FILTERED, "content_refused"),
    ],
)  # fmt: skip
def test_what_will_not_pass_is_not_tried_again(line, body, code, serve, picture):
    server = serve(status(line, body))
    clock = Time()
    error = error_of(picture, config_for(server), clock.pace)
    assert (error.code, error.retryable, len(server.requests), clock.slept) == (code, False, 1, [])


def test_the_key_never_follows_a_redirect(serve, picture):
    other = serve(good)
    server = serve(status("307 Temporary Redirect", Location=f"{other.url}/v1/chat/completions"))
    error_of(picture, config_for(server))
    assert other.requests == []


def test_an_answer_in_parts_is_read_and_cleaned(serve, picture):
    content = [
        {"type": "text", "text": "A \x1b[31mred\x1b[0m cat\u202e."},
        {"type": "audio"},
        {"type": "text", "text": "Two."},
    ]
    server = serve(status("200 OK", completion(content, model="m" * 9000)))
    found = describe(picture, config_for(server), Time().pace)
    assert found.text == "A [31mred[0m cat.\nTwo."
    assert len(found.model) == 100


def test_retry_after_is_waited_for_in_seconds_and_as_a_date(serve, picture):
    server = serve(
        status("429 Slow", Retry_After="7"), status("503 Busy", Retry_After=formatdate(NOW + 11, usegmt=True)), good
    )
    clock = Time()
    describe(picture, config_for(server), clock.pace)
    assert clock.slept == [7.0, 11.0]


def test_a_wait_beyond_the_budget_is_not_begun(serve, picture):
    server = serve(status("429 Slow", Retry_After="600"))
    clock = Time()
    error = error_of(picture, config_for(server, total_seconds=40), clock.pace)
    assert (error.code, error.retryable, error.retry_after) == ("rate_limited", True, 600.0)
    assert clock.slept == []


def test_attempts_and_total_time_are_bounded(serve, picture):
    server = serve(status("500 Oops"))
    clock = Time()
    assert error_of(picture, config_for(server, max_attempts=3), clock.pace).code == "server_error"
    assert len(server.requests) == 3
    clock = Time()
    config = config_for(server, max_attempts=100, total_seconds=40.0, backoff_seconds=8.0, backoff_cap_seconds=15.0)
    error_of(picture, config, clock.pace)
    assert clock.slept == [8.0, 15.0, 15.0]
    assert sum(clock.slept) <= 40


@pytest.mark.parametrize("dripped", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n"])
def test_a_slow_endpoint_is_left_after_the_attempts_time(dripped, serve, picture):
    def slow(talk):
        talk.send(dripped)
        while not talk.stop.wait(0.05):
            talk.send(b"a: b\r\n" if dripped else b"")

    server = serve(slow, slow, good)
    slept: list[float] = []
    pace = Pace(sleep=slept.append, chance=lambda: 1.0)
    found = describe(picture, config_for(server, attempt_seconds=0.4), pace)
    assert found.data["attempts"] == 3
    assert slept == [1.0, 2.0]


def test_an_endless_answer_is_cut_off(serve, picture):
    def endless(talk):
        talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not talk.stop.is_set():
            talk.send(b" " * 65536)

    assert error_of(picture, config_for(serve(endless), max_answer_bytes=100_000)).code == "too_large"


def test_nobody_listening_and_a_name_that_does_not_exist(serve, picture):
    server = serve(good)
    server.close()
    error = error_of(picture, config_for(server, max_attempts=2))
    assert (error.code, error.retryable) == ("unreachable", True)
    assert error_of(picture, AiConfig(base_url="http://no-such-host.invalid/v1", api_key=KEY)).code == "unreachable"


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "x", "http://", "http://u:p@127.0.0.1/v1", "http://[::1/v1", "http://127.0.0.1:99999/v1"]
)
def test_a_base_url_that_cannot_be_one(url, picture):
    error = error_of(picture, AiConfig(base_url=url, api_key=KEY))
    assert (error.code, error.retryable) == ("bad_config", False)


@pytest.mark.parametrize("tail", ["\n", " x", "\r\nX-Evil: 1", "\u00e9"])
def test_a_key_no_header_can_carry_is_refused_without_showing_it(tail):
    with pytest.raises(AiError) as caught:
        AiConfig(api_key=KEY + tail)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_the_key_is_in_no_repr_and_no_log(serve, picture, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    config = config_for(serve(good))
    describe(picture, config, Time().pace)
    assert KEY not in repr(config) + str(config) + caplog.text + "".join(capfd.readouterr())
    assert KEY in dataclasses.asdict(config)["api_key"], "only who asks for it gets it"


def test_errors_survive_pickling_as_task_results_need():
    error = AiError("rate_limited", "slow down", retryable=True, retry_after=3.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.message, copy.retryable, copy.retry_after) == ("rate_limited", "slow down", True, 3.0)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_retry_after_is_a_bounded_number_or_none(value):
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("0", 0), ("-5", None), ("1.5", None), ("soon", None), ("", None), (None, None), ("9" * 400, 3600),
     ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 3600)],
)  # fmt: skip
def test_retry_after_values(value, seconds):
    assert retry_after(value, NOW) == seconds


@given(st.integers(1, 50), st.floats(0, 1))
def test_backoff_stays_between_nothing_and_its_cap(attempt, chance):
    config = AiConfig()
    assert 0 <= backoff(attempt, config, chance) <= min(config.backoff_cap_seconds, 2.0 ** (attempt - 1))


def test_the_total_leaves_room_below_the_soft_limit_of_the_queue():
    assert AiConfig().total_seconds < 45


def local(folder: Path, pixels: np.ndarray) -> Description:
    path = folder / "local.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return describe(path, AiConfig())


def test_without_an_endpoint_the_numbers_speak(tmp_path, awkward):
    for pixels in awkward.values():
        found = local(tmp_path, pixels)
        assert found.provider == "local"
        assert f"{pixels.shape[1]} x {pixels.shape[0]} pixels" in found.text
        assert json.loads(json.dumps(found.data, allow_nan=False)) == found.data
        assert found == local(tmp_path, pixels), "the same words every time"


def test_the_local_words_are_true(tmp_path):
    black = local(tmp_path, np.zeros((50, 50, 3)))
    assert black.text == (
        "A square monochrome picture of 50 x 50 pixels. It is very dark, with almost no contrast and hardly any "
        "fine detail. It is all black."
    )
    halves = np.full((40, 160, 3), 255)
    halves[:, :40] = (215, 40, 40)
    text = local(tmp_path, halves).text
    assert "panoramic colour picture" in text
    assert "white (75%) and red (25%)" in text
    stripes = np.zeros((90, 40, 3))
    stripes[:, ::2] = 255
    assert "portrait" in local(tmp_path, stripes[:60]).text
    assert "tall, narrow monochrome" in local(tmp_path, stripes).text
    assert "crisp detail" in local(tmp_path, stripes).text


@pytest.mark.parametrize("name", NAMED)
def test_every_colour_name_names_its_own_colour(name):
    assert nearest_name(NAMED[name]) == name


def test_detail_is_the_laplacian_of_scipy(awkward):
    brightness = luma(awkward["noise"])
    assert detail(brightness) == pytest.approx(np.abs(scipy.ndimage.laplace(brightness, mode="nearest")).mean())


def test_blur_lowers_detail(photograph):
    blurred = scipy.ndimage.gaussian_filter(photograph, (3, 3, 0))
    assert statistics(blurred)["detail"] < 0.3 * statistics(photograph)["detail"]
