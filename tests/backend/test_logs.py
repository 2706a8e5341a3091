"""T29: whatever a name, a path or an error brings, it makes no second log line and commands no terminal."""

from __future__ import annotations

import json
import logging

import pytest
from django.test import Client

from config.logs import logging_config

FORGED = "2026-01-01T00:00:00Z [error] payment refused"
HOSTILE = f"a.png\n{FORGED}\r{FORGED}\x1b[2J\x9b2J\u202e\u2028{FORGED}"

both_formats = pytest.mark.parametrize("json_lines", [False, True])


def written(record: logging.LogRecord, *, json_lines: bool = False) -> list[str]:
    """The lines that the handler of the settings makes of a record."""
    formatter = logging_config(json_lines=json_lines, level="INFO")["formatters"]["lines"]
    text = formatter.pop("()")(**formatter).format(record)
    assert not set("\x1b\x9b\u202e\r\u2028") & set(text)
    return text.split("\n")


@both_formats
def test_t29_a_name_makes_no_second_line(json_lines):
    record = logging.LogRecord("jobs", logging.WARNING, "x.py", 1, "image %s refused", (HOSTILE,), None)
    (line,) = written(record, json_lines=json_lines)
    assert not json_lines or json.loads(line)["event"] == f"image {HOSTILE} refused"


@both_formats
def test_t29_nor_does_the_message_of_an_error(json_lines):
    with pytest.raises(ValueError, match="payment") as caught:
        int(HOSTILE)
    trouble = (ValueError, caught.value, caught.tb)
    record = logging.LogRecord("jobs", logging.ERROR, "x.py", 1, "it failed", (), trouble)
    assert not [line for line in written(record, json_lines=json_lines) if line.startswith(FORGED)]


def test_t29_an_error_may_bring_lines_of_its_own_but_not_pass_them_off_as_ours():
    error = RuntimeError(HOSTILE)
    record = logging.LogRecord("jobs", logging.ERROR, "x.py", 1, "it failed", (), (RuntimeError, error, None))
    first, *rest = written(record)
    assert "it failed" in first
    assert all(line.startswith("    | ") for line in rest)


@pytest.mark.django_db
def test_t29_nor_does_the_path_of_a_request(caplog):
    Client().get("/nothing%0A" + FORGED.replace(" ", "%20") + "%1B%5B2J")
    records = [record for record in caplog.records if "nothing" in record.getMessage()]
    assert records
    assert [len(written(record)) for record in records] == [1] * len(records)
