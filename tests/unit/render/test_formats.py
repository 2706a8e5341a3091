"""Every machine format is read back by somebody else's parser, and says what the report says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from samples import a_report, ended, errored, of_every_kind

from intelli_checks import Report, Severity, fail, warn
from intelli_checks.report import from_dict, to_dict
from intelli_ops.render import Format, error, render, viewed
from intelli_ops.render.github import summary

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text())
NASTY = fail("a|b\n<c>&\x00]]>", hint="x %0A ::error::", subject="`q|`")


def shown(report: Report, fmt: Format, level: Severity = Severity.ERROR) -> str:
    return render(viewed(report, fmt, fail_level=level), fmt)


def muted() -> Report:
    first = replace(ended("redis.memory", fail("full", hint="free")), mute="ticket")
    return a_report(first, ended("host.disk"))


@pytest.mark.parametrize("report", [of_every_kind(), a_report(), muted(), a_report(ended("a.b", NASTY))])
def test_json_keeps_to_the_published_schema(report: Report):
    jsonschema.validate(json.loads(shown(report, Format.JSON)), SCHEMA)


def test_the_document_of_a_run_that_never_was_keeps_to_the_schema_too():
    jsonschema.validate(error.document("usage", "no such check", 2), SCHEMA)


@pytest.mark.parametrize("report", [of_every_kind(), muted()])
def test_a_report_survives_json(report: Report):
    document = to_dict(report, exit_code=1, version="1")
    assert to_dict(from_dict(json.loads(json.dumps(document))), exit_code=1, version="1") == document


def test_another_schema_version_is_refused():
    with pytest.raises(ValueError, match="schema version 1"):
        from_dict({"schema_version": 2})


@pytest.mark.parametrize(
    ("args", "environ", "wanted"),
    [
        (["check", "--format", "json"], {}, True),
        (["check", "--format=json"], {}, True),
        (["check", "--format"], {}, False),
        (["check"], {"INTELLI_OPS_FORMAT": "json"}, True),
        (["up"], {"INTELLI_OPS_FORMAT": "json"}, False),
        (["checks", "--json"], {}, True),
    ],
)
def test_who_asked_for_json(args: list[str], environ: dict[str, str], *, wanted: bool):
    assert error.wants_json(args, environ) is wanted


def test_junit_tells_skipped_broken_and_failed_apart():
    root = ET.fromstring(shown(of_every_kind(), Format.JUNIT))
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "1",
        "errors": "1",
        "skipped": "3",
    }
    assert root.find(".//testcase[@name='redis.broker']/failure").get("message") == "redis h:6379: refused"
    assert root.find(".//testcase[@name='django.settings']/system-out").text.startswith("warning: DEBUG is on")


def test_junit_counts_a_warning_as_failure_where_warnings_fail():
    assert ET.fromstring(shown(of_every_kind(), Format.JUNIT, Severity.WARNING)).get("failures") == "2"


def test_junit_survives_characters_xml_does_not_know():
    root = ET.fromstring(shown(a_report(ended("a.b", NASTY), errored("a.c", "\x0b\ufffe")), Format.JUNIT))
    assert "<c>&" in root.find(".//failure").text


def test_a_muted_problem_is_skipped_in_junit():
    assert ET.fromstring(shown(muted(), Format.JUNIT)).find(".//skipped").get("message") == "muted: ticket"


def test_openmetrics_is_read_by_prometheus():
    families = {f.name: f for f in text_string_to_metric_families(shown(of_every_kind(), Format.OPENMETRICS))}
    on = {
        (s.labels["check"], s.labels["intelli_ops_check_outcome"])
        for s in families["intelli_ops_check_outcome"].samples
        if s.value
    }
    assert ("redis.broker", "failed") in on
    assert len(on) == 8
    assert families["intelli_ops_healthy"].samples[0].value == 0
    totals = {s.labels["outcome"]: s.value for s in families["intelli_ops_checks"].samples}
    assert totals == {"passed": 2, "warned": 1, "failed": 1, "errored": 1, "skipped": 3, "muted": 0}


def test_metrics_carry_no_label_from_outside():
    harmless = a_report(ended("a.b", fail("down", hint="look")))
    assert shown(a_report(ended("a.b", NASTY)), Format.OPENMETRICS) == shown(harmless, Format.OPENMETRICS)


def test_nagios_is_one_line_with_one_bar():
    for report in (of_every_kind(), a_report(ended("a.b", NASTY)), a_report(ended("a.b", fail("x" * 5000, hint="y")))):
        line = shown(report, Format.NAGIOS)
        assert (line.count("\n"), line.count("|")) == (1, 1)
        assert len(line) < 1024
        assert line.startswith("INTELLI-OPS CRITICAL - ")


def test_github_annotations_cannot_be_forged():
    rows = shown(a_report(ended("a.b", NASTY, warn("meh", hint="look"))), Format.GITHUB).splitlines()
    assert len(rows) == 3
    assert rows[0].startswith("::error title=a.b::`q|`: a|b%0A<c>&")
    assert "%250A" in rows[0]
    assert rows[1].startswith("::warning title=a.b::")


def test_the_step_summary_shows_text_as_text():
    page = summary(viewed(a_report(ended("a.b", NASTY)), Format.GITHUB).report)
    row = page.splitlines()[4]
    assert "<c>" not in row
    assert row.replace("\\|", "").count("|") == 5
