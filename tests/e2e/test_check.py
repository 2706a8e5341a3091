"""`intelli-ops check` as a process: what is printed, how it exits, and that it always comes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
SCENARIOS = {
    "healthy": ["lab.passes", "lab.other", "lab.skips"],
    "broken": ["lab.follows_too", "lab.queues", "lab.warns", "lab.passes", "lab.skips"],
    "warned": ["lab.warns", "lab.passes"],
    "unsure": ["lab.breaks", "lab.passes"],
}
FORMATS = ["text", "json", "junit", "github", "nagios", "openmetrics"]
CODES = {"healthy": 0, "broken": 1, "warned": 0, "unsure": 3}
NAGIOS_CODES = {"healthy": 0, "broken": 2, "warned": 1, "unsure": 3}


def settled(text: str, directory: Path) -> str:
    """Without what differs from run to run: durations, moments, the directory, the version."""
    text = text.replace(str(directory), "/project")
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)?", "<moment>", text)
    text = re.sub(r"(_seconds(?:\{[^}]*\})?) \d+\.\d+", r"\1 <seconds>", text)
    text = re.sub(r'("seconds": |time="?|in )\d+\.\d+', r"\g<1><seconds>", text)
    text = re.sub(r"\(\d+\.\d\d s\)", "(<seconds> s)", text)
    return re.sub(r'"version": "[^"]+"', '"version": "<version>"', text)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_format_says_the_same_with_the_right_exit_code(cli, scenario: str, fmt: str):
    code = (NAGIOS_CODES if fmt == "nagios" else CODES)[scenario]
    golden = GOLDEN / f"{scenario}.{code}.{fmt}"
    done = cli("check", *SCENARIOS[scenario], "--format", fmt)
    assert (done.returncode, done.stderr) == (code, "")
    shown = settled(done.stdout, cli.directory.resolve())
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_it_is_back_within_the_timeout_although_a_check_hangs(cli):
    began = time.monotonic()
    done = cli("check", "lab.hangs", "lab.passes", "--timeout", "0.5", "--format", "json")
    assert time.monotonic() - began < 1.5
    assert done.returncode == 3
    assert [c["outcome"] for c in json.loads(done.stdout)["checks"]] == ["passed", "errored"]


def test_a_check_that_calls_exit_breaks_only_itself(cli):
    done = cli("check", "lab.leaves", "lab.passes", "--format", "json")
    assert done.returncode == 3
    assert {c["id"]: c["outcome"] for c in json.loads(done.stdout)["checks"]} == {
        "lab.passes": "passed",
        "lab.leaves": "errored",
    }


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_prints_what_is_known_and_exits_130(cli):
    signal_file = cli.directory / "hangs"
    args = ["check", "lab.hangs", "--format", "json", "--timeout", "20"]
    with cli.start(*args, env={"LAB_SIGNAL": str(signal_file)}) as process:
        until(signal_file.exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=5)
    assert (process.returncode, err) == (130, "")
    document = json.loads(out)
    assert document["exit_code"] == 130
    assert [(c["outcome"], c["reason"]) for c in document["checks"]] == [("passed", None), ("errored", "interrupted")]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_run_that_was_stopped_for_a_while_says_so(cli):
    signal_file = cli.directory / "hangs"
    args = ["check", "lab.hangs", "--format", "json", "--timeout", "5"]
    with cli.start(*args, env={"LAB_SIGNAL": str(signal_file)}) as process:
        until(signal_file.exists)
        process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: time.monotonic() - stopped > 2.3)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=10)
    (note,) = json.loads(out)["notes"]
    assert "stood still for 2." in note


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_reader_that_has_gone_is_no_drama(cli):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        done = cli("check", "lab.passes", stdout=gone)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["check", "lab.pases"], "did you mean lab.passes"),
        (["chekc"], "did you mean check"),
        (["check", "--frmt", "json"], "--format"),
        (["check", "--format", "jsn"], "'json'"),
        (["check", "--timeout", "soon"], "soon"),
        (["check", "--timeout", "-1"], "-1"),
        (["check", "lab.passes", "--mute", "lab.nothing"], "lab.nothing"),
        (["check", "lab.warns", "--mute", "lab.warns@tomorrow"], "tomorrow"),
        (["explain", "lab.rot"], "did you mean lab.root"),
        (["checks", "lob"], "lob"),
        (["check", "lab.passes", "--output", "/nonexistent/report"], "cannot write /nonexistent/report"),
        (["check", "lab.passes", "--save", "/nonexistent/facts"], "cannot write /nonexistent/facts"),
    ],
)
def test_wrong_usage_is_explained_and_exits_2(cli, args: list[str], said: str):
    done = cli(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_json_is_one_document_on_wrong_usage_too(cli):
    done = cli("check", "nonsense", "--format", "json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"], document["outcome"]) == (2, 2, "errored")
    assert "nonsense" in document["error"]["message"]


def test_common_options_may_stand_before_the_command(cli):
    before = cli("--broker", "redis://broker.example/3", "--timeout=7", "check", "lab.passes", "--format", "json")
    assert json.loads(before.stdout)["target"]["broker"] == "redis://broker.example/3"


def test_options_come_from_the_environment_and_flags_win(cli):
    env = {"INTELLI_OPS_FORMAT": "json", "INTELLI_OPS_BROKER": "redis://from.env/1"}
    assert json.loads(cli("check", "lab.passes", env=env).stdout)["target"]["broker"] == "redis://from.env/1"
    flag = cli("check", "lab.passes", "--broker", "redis://from.flag/1", env=env)
    assert json.loads(flag.stdout)["target"]["broker"] == "redis://from.flag/1"


def test_fail_level_warning_makes_warnings_fail(cli):
    assert cli("check", "lab.warns", "--fail-level", "warning").returncode == 1
    assert cli("check", "lab.warns", "--fail-level", "warning", "--format", "nagios").returncode == 2


def test_a_muted_failure_is_shown_and_does_not_fail(cli):
    done = cli("check", "lab.queues", "lab.passes", "--mute", "lab.queues=ticket 12@7d")
    assert done.returncode == 0
    assert "1 muted" in done.stdout.splitlines()[0]
    assert "ticket 12, until 2" in done.stdout


def test_an_expired_mute_no_longer_counts_and_says_so(cli):
    done = cli("check", "lab.queues", "--mute", "lab.queues=ticket 12@2020-01-01")
    assert done.returncode == 1
    assert "the mute of lab.queues has expired" in done.stdout


def test_output_is_replaced_at_once_and_readable_by_others(cli):
    report = cli.directory / "report.prom"
    report.write_text("old")
    report.chmod(0o644)
    done = cli("check", "lab.passes", "--format", "openmetrics", "--output", str(report))
    assert (done.returncode, done.stdout) == (0, "")
    assert report.read_text().endswith("# EOF\n")
    assert report.stat().st_mode & 0o777 == 0o644
    assert list(cli.directory.glob(".report*")) == []


@pytest.mark.skipif(os.name == "nt", reason="no /dev")
def test_output_to_a_device_replaces_nothing(cli):
    redirected = cli.directory / "log"
    redirected.write_text("before\n")
    with redirected.open("a") as stdout:
        assert cli("check", "lab.passes", "--output", "/dev/stdout", stdout=stdout).returncode == 0
    assert redirected.read_text().startswith("before\n✓ PASSED")


def test_a_terminal_that_has_no_check_marks_gets_letters(cli):
    done = cli("check", "lab.passes", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.stdout.startswith("+ PASSED")
    assert done.stdout.isascii()


def test_no_colour_unless_asked(cli):
    assert "\x1b" not in cli("check", "lab.queues").stdout
    assert "\x1b[1;31m" in cli("check", "lab.queues", "--color").stdout
    assert "\x1b" in cli("check", "lab.queues", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b" not in cli("check", "lab.queues", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout


def test_watch_prints_one_document_per_round(cli):
    with cli.start("check", "lab.passes", "--format", "json", "--watch", "0.05") as process:
        assert process.stdout
        rounds = [json.loads(process.stdout.readline())["outcome"] for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=5)
    assert (rounds, process.returncode) == (["passed"] * 3, 130)


def test_wait_comes_back_when_its_time_is_over(cli):
    began = time.monotonic()
    assert cli("check", "lab.queues", "--wait", "1").returncode == 1
    assert 0.5 < time.monotonic() - began < 3


def test_a_step_summary_is_written_where_the_runner_wants_it(cli):
    page = cli.directory / "summary.md"
    done = cli("check", "lab.hostile", "--format", "github", env={"GITHUB_STEP_SUMMARY": str(page)})
    assert done.returncode == 1
    assert "| failed | lab.hostile |" in page.read_text()


@pytest.mark.parametrize("fmt", FORMATS)
def test_text_from_outside_is_shown_and_not_obeyed(cli, fmt: str):
    done = cli("check", "lab.hostile", "--format", fmt, "-v")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)
    assert "[red]markup[/red]" in done.stdout or fmt == "openmetrics"


def test_an_error_of_the_tool_itself_is_one_sentence(cli):
    args = ["check", "lab.bent"]
    done = cli(*args)
    assert "planted-password" not in done.stderr
    assert done.returncode == 3
    assert "--debug" in done.stderr
    assert "Traceback" not in done.stderr
    shown = cli(*args, "--debug")
    assert "Traceback" in shown.stderr
    assert "planted-password" not in shown.stderr


def test_help_imports_nothing_heavy(cli):
    done = cli("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {row.rpartition("|")[2].strip().partition(".")[0] for row in done.stderr.splitlines() if "|" in row}
    assert loaded >= {"typer"}
    assert loaded.isdisjoint({"celery", "kombu", "django", "redis", "libcst", "psutil", "rich", "cattrs", "urllib3"})


def test_a_check_imports_nothing_heavy_either(cli):
    done = cli("check", "lab.passes", env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {row.rpartition("|")[2].strip().partition(".")[0] for row in done.stderr.splitlines() if "|" in row}
    assert done.returncode == 0
    assert loaded.isdisjoint({"celery", "kombu", "django", "redis", "libcst", "psutil", "rich", "cattrs", "urllib3"})


def test_explain_and_checks_work_without_any_system(cli):
    assert "Cause: this check always fails." in cli("explain", "lab.root").stdout
    listed = json.loads(cli("checks", "lab", "--json").stdout)
    assert listed[0]["id"] == "lab.root"
    assert "lab.root" in cli("checks").stdout


def test_completion_offers_check_ids(cli):
    env = {"_INTELLI_OPS_COMPLETE": "complete_bash", "COMP_WORDS": "intelli-ops check lab.pa", "COMP_CWORD": "2"}
    command = shutil.which("intelli-ops", path=str(Path(sys.executable).parent))
    done = subprocess.run([command], env=cli.env(**env), capture_output=True, text=True, check=False)
    assert "lab.passes" in done.stdout


def test_recorded_facts_are_judged_again_without_the_system(cli, intelli_redis):
    url = intelli_redis.url(0)
    live = cli("check", "redis", "--broker", url, "--save", "facts.json", "--format", "json")
    recording = cli.directory / "facts.json"
    assert recording.stat().st_mode & 0o077 == 0
    recording.write_text(recording.read_text().replace(str(intelli_redis.port), "1"))  # nobody answers there
    again = cli("check", "redis", "--from", "facts.json", "--format", "json")
    assert again.returncode == live.returncode
    outcomes = [{c["id"]: c["outcome"] for c in json.loads(run.stdout)["checks"]} for run in (live, again)]
    assert outcomes[0]["redis.broker"] == "passed"
    assert outcomes[0] == outcomes[1]


def test_a_recording_that_is_none_is_wrong_usage(cli):
    (cli.directory / "facts.json").write_text("{}")
    done = cli("check", "lab.passes", "--from", "facts.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "not a recording" in done.stderr


def test_a_mute_remembers_between_runs_how_bad_it_was(cli):
    args = ["check", "lab.warns", "--fail-level", "warning", "--mute", "lab.warns=known"]
    assert cli(*args).returncode == 0
    worse = cli(*args, env={"LAB_SUBJECTS": "disk,memory"})
    assert worse.returncode == 1
    assert "void: new since it was muted: memory" in worse.stdout
