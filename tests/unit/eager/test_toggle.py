"""off(on(x)) is x to the byte, and on is what Python then evaluates."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intelli_ops.eager.syntax import ALWAYS, NAMES, PROPAGATES, Refusal
from intelli_ops.eager.toggle import is_on, switch

# Each example parses a module several times with libcst: slow by nature, and not to be judged by the clock.
PROPERTY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])

GUIDE = b"""DEBUG = True

# Uncomment to run tasks inside the request (debugging only)
# CELERY_TASK_ALWAYS_EAGER = True
# CELERY_TASK_EAGER_PROPAGATES = True
"""

OTHER = st.sampled_from(
    [
        "DEBUG = True",
        "",
        "# a comment",
        "NAME = 'CELERY_TASK_ALWAYS_EAGER stays text'",
        '"""\n# CELERY_TASK_ALWAYS_EAGER = True\n"""',
        "HOSTS = [\n    # CELERY_TASK_ALWAYS_EAGER = True\n    'a',\n]",
        "if DEBUG_ON:\n\tLEVEL = 1\nelse:\n\tLEVEL = 2",
        "TEXT = 'naïve café ☕'",
        "A = 1; B = 2",
    ]
)


def line_of(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [
            f"# {name} = True",
            f"#{name}=True",
            f"#   {name} = False  # try me",
            f"{name} = False",
            f"{name} = (\n    False  # for now\n)",
            f"{name} = False  # never in production",
            f"C = 3; {name} = False",
        ]
    )


@st.composite
def modules(draw: st.DrawFn) -> bytes:
    lines = ["DEBUG_ON = True", *draw(st.lists(OTHER, max_size=4))]
    for name in NAMES:
        if draw(st.booleans()):
            choices = [line_of(name), st.just(f"{name} = True")] if name == PROPAGATES else [line_of(name)]
            lines.insert(draw(st.integers(0, len(lines))), draw(st.one_of(choices)))
    text = draw(st.sampled_from(["\n", "\r\n"])).join("\n".join(lines).split("\n")) + draw(st.sampled_from(["", "\n"]))
    bom = draw(st.sampled_from(["utf-8", "utf-8-sig"]))
    return text.encode(bom)


@PROPERTY
@given(modules())
def test_off_undoes_on_to_the_byte_and_python_agrees(module: bytes) -> None:
    assert not is_on(module)
    on = switch(module, on=True)
    assert is_on(on)
    assert switch(on, on=True) == on
    seen: dict[str, object] = {}
    exec(compile(on, "settings.py", "exec"), seen)
    assert (seen[ALWAYS], seen[PROPAGATES]) == (True, True)
    assert switch(on, on=False) == module


@PROPERTY
@given(modules())
def test_everything_else_is_untouched(module: bytes) -> None:
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    exec(compile(module, "settings.py", "exec"), before)
    exec(compile(switch(module, on=True), "settings.py", "exec"), after)
    for name in (ALWAYS, PROPAGATES, "__builtins__"):
        before.pop(name, None)
        after.pop(name, None)
    assert before == after


def test_the_guide_s_two_lines_are_uncommented_and_nothing_else_is_written() -> None:
    assert switch(GUIDE, on=True) == GUIDE.replace(b"# CELERY_", b"CELERY_")


def test_a_file_that_was_on_gets_its_lines_commented_out() -> None:
    on = GUIDE.replace(b"# CELERY_", b"CELERY_")
    assert switch(on, on=False) == GUIDE


def test_off_leaves_a_file_that_is_off_alone() -> None:
    for module in (b"A = 1\n", b"CELERY_TASK_EAGER_PROPAGATES = True\n", b"CELERY_TASK_ALWAYS_EAGER = False\n", GUIDE):
        assert switch(module, on=False) == module


def test_latin_1_with_a_coding_line_keeps_its_bytes() -> None:
    module = "# -*- coding: latin-1 -*-\nNAME = 'é'; CELERY_TASK_ALWAYS_EAGER = False\n".encode("latin-1")
    on = switch(module, on=True)
    assert "NAME = 'é'; CELERY_TASK_ALWAYS_EAGER = True".encode("latin-1") in on
    assert switch(on, on=False) == module


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (b"A = 1\nCELERY_TASK_ALWAYS_EAGER = env.bool('X')\n", "line 2: .*plain"),
        (b"CELERY_TASK_ALWAYS_EAGER: bool = True\n", "line 1: .*plain"),
        (b"A = CELERY_TASK_ALWAYS_EAGER = True\n", "line 1: .*plain"),
        (b"A, CELERY_TASK_ALWAYS_EAGER = 1, True\n", "line 1: .*plain"),
        (b"CELERY_TASK_ALWAYS_EAGER = 1\n", "line 1: .*plain"),
        (b"globals()['CELERY_TASK_ALWAYS_EAGER'] = True\n", "line 1: .*plain"),
        (b"globals().update(CELERY_TASK_ALWAYS_EAGER=True)\n", "line 1: .*plain"),
        (b"CELERY = {'task_always_eager': True}\n", "line 1: task_always_eager .*plain"),
        (b"CELERY_TASK_ALWAYS_EAGER = True\n\nCELERY_TASK_ALWAYS_EAGER = False\n", "line 3: .*second time"),
        (b"if DEBUG:\n    CELERY_TASK_ALWAYS_EAGER = True\n", "line 2: .*block"),
        (b"class Dev:\n    CELERY_TASK_ALWAYS_EAGER = True\n", "line 2: .*block"),
        (b"CELERY = {}\nCELERY['task_always_eager'] = True\n", "line 2: task_always_eager .*plain"),
        (b"CELERY_TASK_ALWAYS_EAGER |= True\n", "line 1: .*plain"),
        (b"app.conf.task_always_eager = True\n", "line 1: task_always_eager .*plain"),
        (b"from local import CELERY_TASK_ALWAYS_EAGER\n", "line 1: .*plain"),
        (b"from local import X as CELERY_TASK_ALWAYS_EAGER\n", "line 1: .*plain"),
        (b"print(CELERY_TASK_ALWAYS_EAGER := True)\n", "line 1: .*plain"),
        (b"try:\n    pass\nfinally:\n    CELERY_TASK_ALWAYS_EAGER = True\n", "line 4: .*block"),
        (b"", "empty"),
        (b"\xef\xbb\xbf \n\n", "empty"),
        (b"def (\n", "line 1: syntax error"),
        (b"A = 1\0\n", "NUL"),
        (b"# -*- coding: no-such -*-\n", "decoded"),
        (b"A = '\xff'\n", "decoded"),
    ],
)
def test_what_cannot_be_edited_with_certainty_is_refused_with_its_line(module: bytes, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        switch(module, on=True)


def test_e2_tabs_form_feeds_and_lone_carriage_returns_stay() -> None:
    for module in (
        b"A = 1\r# CELERY_TASK_ALWAYS_EAGER = True\rB = 2\r",
        b"if A:\n\tB = 1\n\f\nCELERY_TASK_ALWAYS_EAGER\t=\tFalse\t# no\n",
        b"A = 1 \\\n    + 2\nCELERY_TASK_ALWAYS_EAGER = \\\n    False",
    ):
        on = switch(module, on=True)
        assert is_on(on)
        assert switch(on, on=False) == module


def test_reading_the_setting_is_no_reason_to_refuse() -> None:
    module = GUIDE + b"\nif DEBUG:\n    print(globals().get)\nLIMIT = 1\n"
    assert is_on(switch(module, on=True))
