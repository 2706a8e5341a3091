"""Reading what faulthandler leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from intelli_checks.families.declared import told_in_time
from intelli_checks.model import OutOfTime, Unavailable
from intelli_checks.probes import interview, transcript
from intelli_checks.probes.interview import Answer, hang
from intelli_checks.target import Place

DUMP = """\
some warning of the project
Timeout (0:00:05)!
Thread 0x00007f1 (most recent call first):
  File "/srv/shop/other_thread.py", line 9 in run

Thread 0x00007f2 (most recent call first):
  File "/usr/lib/python3.12/site-packages/redis/connection.py", line 61 in connect
  File "/srv/shop/settings.py", line 12 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "<intelli-ops main>", line 66 in ask
"""


def test_the_main_thread_is_read_down_to_the_projects_own_line():
    where = hang(DUMP)
    assert where is not None
    assert (where.file, where.line, where.function) == ("/srv/shop/settings.py", 12, "<module>")
    assert where.inside == "/usr/lib/python3.12/site-packages/redis/connection.py:61 in connect"


def test_no_dump_is_no_place():
    assert hang("Traceback (most recent call last):\n  File ...") is None
    assert hang("") is None


def test_control_characters_do_not_reach_the_terminal():
    where = hang(DUMP.replace("settings.py", "set\x1b[2Jtings.py"))
    assert where is not None
    assert "\x1b" not in where.file


@pytest.mark.parametrize("dump", [DUMP[: DUMP.index("File") + 4], DUMP[: DUMP.index("Thread 0x00007f2")]])
def test_an_interpreter_that_dies_while_it_tells_where_it_stood_had_no_time(dump):
    answer = Answer(stages=["settings"], stderr=dump, returncode=-11, seconds=30.0)
    with pytest.raises(Unavailable, match="was not done after 30") as told:
        transcript._heard(Place("here", ("python",), Path()), answer)
    assert "--timeout" in told.value.hint


def test_an_interpreter_that_dies_of_itself_is_told_to_have_ended():
    answer = Answer(stages=["settings"], stderr="Fatal Python error", returncode=-11, seconds=3.0)
    with pytest.raises(Unavailable, match="ended the interpreter"):
        transcript._heard(Place("here", ("python",), Path()), answer)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(stages=["settings"], stderr=DUMP, returncode=1, seconds=1.8), "was not done after 1.8 s; it was at"),
        (Answer(stages=["project"], returncode=-9, seconds=1.0), "finding the project was not done after 1.0 s"),
        (Answer(returncode=-9, seconds=0.4), "no answer after 0.4 s"),
    ],
    ids=["in the settings", "before them", "not even begun"],
)
def test_too_short_a_time_proves_nothing_and_says_what_to_type(answer, told):
    with pytest.raises(OutOfTime, match=told) as late:
        transcript._heard(Place("here", ("python",), Path()), answer)
    assert "intelli-ops check --timeout 60" in late.value.hint


def test_an_import_that_hangs_is_no_lack_of_time():
    answer = Answer(stages=["settings"], stderr=DUMP, returncode=1, seconds=18.0)
    with pytest.raises(Unavailable, match="hangs at") as hung:
        transcript._heard(Place("here", ("python",), Path()), answer)
    assert not isinstance(hung.value, OutOfTime)


def test_task_modules_that_had_no_time_break_nothing():
    answer = Answer(stages=["settings", "tasks"], stderr=DUMP, returncode=1, seconds=1.8)
    error = transcript._heard(Place("here", ("python",), Path()), answer).errors[0]
    with pytest.raises(OutOfTime, match="importing the task modules was not done"):
        told_in_time(error)


def test_an_import_that_works_on_is_slow_and_does_not_hang():
    """A large project on a machine with too much to do."""
    answer = Answer(stages=["settings"], stderr=DUMP, returncode=1, seconds=18.0, share=0.3)
    with pytest.raises(OutOfTime, match=r"was not done after 18.0 s; it was at .*settings\.py:12"):
        transcript._heard(Place("here", ("python",), Path()), answer)


@pytest.mark.parametrize(("code", "works"), [("import time; time.sleep(60)", False), ("while True: pass", True)])
def test_whether_an_interpreter_works_is_seen(code, works):
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        pulse = interview._Pulse(process.pid, 2.0)
        pulse.start()
        pulse.join()
        process.kill()
    assert pulse.share is not None
    assert (pulse.share > transcript.WORKING) is works
