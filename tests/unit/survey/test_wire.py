"""What an interpreter writes is read whatever it is: no bytes break the reader, and no flood fills its memory."""

from __future__ import annotations

import json
import sys
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from intelli_checks.probes import interview
from intelli_checks.probes.interview import Answer, hang
from intelli_checks.target import Place

MARKER = "0123456789abcdef "
RECORDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["begin", "end", "stage", "facts", "error"]), inner, max_size=4)
    ),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())
LINES = st.lists(
    st.binary(max_size=20)
    | st.tuples(st.just(MARKER.encode()), RECORDS | st.binary(max_size=20)).map(b"".join)
    | st.tuples(st.binary(max_size=5), st.just(MARKER.encode()), RECORDS).map(b"".join),
    max_size=5,
)


@given(LINES)
def test_no_output_breaks_the_reader(lines):
    answer, out = Answer(), bytearray(b"\n".join(lines) + b"\n")
    interview._take_lines(answer, out, MARKER)
    assert not out
    assert all(isinstance(error, dict) for error in answer.errors)


def test_a_record_that_was_written_into_is_an_error_of_its_stage_and_the_rest_is_read():
    answer = Answer()
    lines = ['{"begin": "tasks"}', '{"stage": "tasks", "fac oops ts": {}', '{"facts": {"uid": 1}}', '{"end": 1}']
    interview._take_lines(answer, bytearray("".join(f"{MARKER}{line}\n" for line in lines).encode()), MARKER)
    assert [error["step"] for error in answer.errors] == ["tasks"]
    assert (answer.facts, answer.ended) == ({"uid": 1}, True)


@given(st.text(max_size=300) | st.text(max_size=100).map(lambda text: f"Timeout (1)\n  File {text}"))
def test_no_dump_breaks_the_reader(stderr):
    hang(stderr)


def test_a_flood_without_a_line_end_costs_bounded_memory_and_time(tmp_path):
    flood = tmp_path / "flood.py"
    flood.write_text("import os\nwhile True: os.write(1, b'x' * 65536)\n")
    tracemalloc.start()
    try:
        answer = interview.ask(Place("here", (sys.executable, str(flood))), {"purpose": "survey"}, 3.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not answer.ended
    assert answer.seconds < 6
    assert peak < 4 * interview.MAX_ANSWER
