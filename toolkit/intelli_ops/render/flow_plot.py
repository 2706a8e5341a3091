"""A picture of what each hop of a job costs."""

from __future__ import annotations

from pathlib import Path

from intelli_checks.probes.flow import Flow
from intelli_checks.probes.flow_timeline import hops
from intelli_ops.usage import UsageError, install


def plot(flow: Flow, path: Path) -> None:
    """Write one box per hop, in milliseconds since the request, to `path`; its suffix decides the format.

    Raises UsageError where matplotlib (the extra `plot`) is missing, or cannot write such a file.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(f"--plot wants matplotlib: {install('matplotlib')}") from error
    seen: dict[str, list[float]] = {}
    for run in flow.runs:
        for hop in hops(flow.plan, run):
            seen.setdefault(hop.name, []).append(hop.at * 1000)
    names = sorted(seen, key=lambda name: sorted(seen[name])[len(seen[name]) // 2])
    figure = Figure(figsize=(9, 1 + 0.5 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)  # never a window: this may run where there is no screen
    axes = figure.subplots()
    axes.boxplot([seen[name] for name in names], orientation="horizontal")
    axes.set_yticks(range(1, len(names) + 1), names)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds since the request")
    axes.set_title(f"{flow.plan.method} {flow.plan.path}: {len(flow.runs)} jobs")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--plot {path}: {error}") from error
