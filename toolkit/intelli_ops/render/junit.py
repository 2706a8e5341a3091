"""JUnit XML in the dialect that CI servers agree on: one test case per check, one suite per family."""

from __future__ import annotations

import re
from itertools import groupby
from xml.etree import ElementTree as ET

from intelli_checks.model import Outcome, Result, Severity
from intelli_ops.render import View
from intelli_ops.render.text import gist, told

# XML 1.0 knows no other characters; one NUL from a task name would make the whole file unreadable.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(view: View) -> str:
    """A document in which skipped is not passed, and broken (error) is not failed (failure)."""
    root = ET.Element("testsuites", name="intelli-ops", time=f"{view.report.seconds:.3f}")
    for family, results in groupby(view.report.results, key=lambda result: result.check.family):
        _suite(root, family, list(results), view)
    _count(root)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode" if view.symbols else "us-ascii")
    document = text if isinstance(text, str) else text.decode("ascii").partition("\n")[2]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _suite(root: ET.Element, family: str, results: list[Result], view: View) -> None:
    seconds = sum(result.seconds for result in results)
    suite = ET.SubElement(root, "testsuite", name=family, timestamp=view.report.started_at, time=f"{seconds:.3f}")
    for result in results:
        case = ET.SubElement(
            suite, "testcase", classname=f"intelli-ops.{family}", name=result.check.id, time=f"{result.seconds:.3f}"
        )
        _verdict(case, result, view.fail_level)
    _count(suite)


def _verdict(case: ET.Element, result: Result, fail_level: Severity) -> None:
    if result.mute is not None:
        _child(case, "skipped", f"muted: {result.mute}", _body(result))
    elif result.outcome is Outcome.SKIPPED:
        _child(case, "skipped", result.reason or "")
    elif result.outcome is Outcome.ERRORED:
        _child(case, "error", result.reason or "", _body(result))
    elif result.outcome is Outcome.FAILED or (result.outcome is Outcome.WARNED and fail_level <= Severity.WARNING):
        _child(case, "failure", gist(result), _body(result))
    elif body := _body(result):
        ET.SubElement(case, "system-out").text = _xml(body)


def _child(case: ET.Element, tag: str, message: str, body: str = "") -> None:
    ET.SubElement(case, tag, message=_xml(message)).text = _xml(body) or None


def _body(result: Result) -> str:
    rows = []
    for finding in result.findings:
        rows.append(f"{finding.severity.name.lower()}: {told(finding)}")
        if finding.hint:
            rows.append(f"fix: {finding.hint}")
    return "\n".join(rows)


def _count(element: ET.Element) -> None:
    """JUnit wants the totals as attributes of the suites."""
    element.set("tests", str(len(element.findall(".//testcase"))))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(len(element.findall(f".//{tag}"))))


def _xml(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
