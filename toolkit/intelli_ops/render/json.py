"""One JSON document, as docs/report.schema.json describes it."""

from __future__ import annotations

from intelli_checks.report import to_dict
from intelli_ops.render import View
from intelli_ops.say import as_json
from intelli_ops.version import VERSION


def render(view: View) -> str:
    """The document; on one line when the view is compact, so that a stream of them stays readable."""
    document = to_dict(view.report, exit_code=view.exit_code, version=VERSION)
    indent = None if view.compact else 2
    return as_json(document, indent) + "\n"
