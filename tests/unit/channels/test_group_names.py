"""Names of groups as code writes them, and which of them can meet."""

from __future__ import annotations

import ast

import pytest

from intelli_checks.probes.inside.group_names import assigned, text
from intelli_checks.registry import registry

registry.load()  # a family's needs are declared by the families before it


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("'board'", "board"),
        ("f'order_{number}'", "order_*"),
        ("'order_%s' % number", "order_*"),
        ("'order_%(number)d' % found", "order_*"),
        ("'order_{}'.format(number)", "order_*"),
        ("'order_' + str(number)", "order_*"),
        ("PREFIX + name", "job_*"),
        ("self.group", "order_*"),
        ("group", None),
        ("name_of(order)", None),
        ("a + b", None),
        ("'a' if late else 'b'", None),
    ],
)
def test_a_name_is_read_as_far_as_the_code_tells_it(code, name):
    module = ast.parse(
        "PREFIX = 'job_'\n"
        "def send(group): pass\n"
        "group = 'board'\n"
        "class Consumer:\n"
        "    def connect(self):\n"
        "        self.group = f'order_{self.number}'\n"
    )
    assert text(ast.parse(code, mode="eval").body, assigned(module)) == name


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("board", "board", True),
        ("boards", "board", False),
        ("order_*", "order_7", True),
        ("order-*", "order_*", False),
        ("job_*", "*_events", True),
        ("*", "anything", True),
        ("a*c", "a*b", False),
    ],
)
def test_two_names_meet_when_some_text_fits_both(one, other, meet):
    from intelli_checks.families.channels_events import overlap

    assert overlap(one, other) is overlap(other, one) is meet


@pytest.mark.parametrize(
    ("code", "types"),
    [
        ("send({'type': 'order.moved'})", ["order.moved"]),
        ("message = {'type': 'order.moved', 'n': 1}\nsend(message)", ["order.moved"]),
        ("KIND = 'order.moved'\nsend({'type': KIND})", ["order.moved"]),
        ("KIND = 'order.moved'\nmessage = {'type': KIND}\nsend(message)", ["order.moved"]),
        ("send(message={'type': 'order.moved'})", ["order.moved"]),
        ("message = {'type': 'a.b'}\nmessage['type'] = kind()\nsend(message)", []),
        ("message = {'type': 'a.b'}\nmessage = {'type': 'c.d'}\nsend(message)", []),
        ("def tell(message={'type': 'a.b'}):\n    send(message)", []),
        ("send({'type': 'order.moved' if late else 'order.changed'})", []),
        ("send({'type': f'order.{what}'})", []),
    ],
)
def test_the_type_of_an_event_is_read_through_names_that_stand_for_one_thing(code, types):
    from intelli_checks.probes.inside.usage import uses

    found = uses(code.replace("send(", "async_to_sync(layer.group_send)(group, "))
    assert [use["type"] for use in found if use["kind"] == "event"] == types
