"""Paths and patterns: what is tried, and which declared route takes it."""

from __future__ import annotations

import pytest

from intelli_checks.probes.websocket_route import choose, fill, find


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("ws/jobs/<uuid:job_id>/", "/ws/jobs/00000000-0000-4000-8000-000000000000/"),
        ("ws/feed/<int:pk>/", "/ws/feed/1/"),
        (r"^ws/chat/(?P<room>\w+)/$", "/ws/chat/1/"),
        ("^ws/^rooms/(?P<x>[^/]+)/?$", "/ws/rooms/1/"),
        (r"ws/day/([0-9]{4}-[0-9]{2}-[0-9]{2})$", "/ws/day/2000-01-01"),
        ("ws/plain", "/ws/plain"),
    ],
)
def test_a_pattern_is_filled_with_something_it_takes(pattern, path):
    assert fill(pattern) == path
    assert find(path, [{"path": pattern}])


def test_a_pattern_none_of_our_guesses_fits_is_left_alone():
    assert fill(r"ws/(?P<code>[A-Z]{9}!)/$") is None


def test_routes_are_tried_in_their_order_and_the_whole_path_counts():
    routes = [{"path": "ws/<int:pk>/"}, {"path": "ws/<slug:name>/"}]
    assert find("/ws/7/", routes) == routes[0]
    assert find("/ws/seven/", routes) == routes[1]
    assert find("/ws/7", routes) is None


def test_a_path_that_was_named_is_taken_as_it_is():
    (route,) = choose("/ws/7/?token=x", ({"path": "ws/<int:pk>/", "consumer": "a.B"},))
    assert (route.path, route.name, route.consumer, route.made_up) == ("/ws/7/?token=x", "/ws/7/", "a.B", False)


def test_a_router_with_nothing_but_a_last_resort_gives_no_path():
    assert choose(None, ({"path": ""},)) == ()


def test_routes_without_identifiers_are_tried_first():
    routes = [{"path": "ws/<int:pk>/"}, {"path": "ws/board/"}, {"path": "ws/(?P<code>[A-Z]{9}!)/$"}]
    assert [route.path for route in choose(None, routes)] == ["/ws/board/", "/ws/1/"]
