"""Hosts of a channel layer in whatever spelling channels_redis takes, objects of redis-py among them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from intelli_checks.probes.inside import channels_side

SECRET, OTHER = "hush-hush-hush", "c0ntents-of-an-object"
OBJECTS = f"""
from redis.backoff import NoBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as Lost

CHANNEL_LAYERS["default"]["CONFIG"]["hosts"] = [
    {{
        "address": "redis://layer.example:6380",
        "db": 3,
        "password": "{SECRET}",
        "socket_timeout": 15,
        "health_check_interval": 5,
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [Lost],
    }},
    {{"address": "redis://:in-the-url@layer.example/4", "db": 9, "password": "{SECRET}"}},
    {{"address": "unix:///run/redis.sock", "password": "{SECRET}"}},
    {{"host": "layer.example", "credential_provider": UsernamePasswordCredentialProvider("u", "{OTHER}")}},
]
"""


def surveyed(ask, project):
    folder = project("live")
    settings = folder / "backend/portal/settings.py"
    settings.write_text(settings.read_text() + OBJECTS)
    return ask(folder)


def test_objects_among_a_host_s_options_stay_where_they_are(ask, project):
    told = surveyed(ask, project)
    assert told.errors == ()
    (layer,) = told.layers
    assert layer.problem is None
    assert layer.options[0] == {"socket_timeout": 15, "health_check_interval": 5}


def test_what_stands_beside_the_address_counts_unless_the_url_says_it(ask, project):
    hosts = surveyed(ask, project).layers[0].hosts
    assert [(host.address, host.database, host.password) for host in hosts] == [
        ("layer.example:6380", 3, SECRET),
        ("layer.example:6379", 4, "in-the-url"),
        ("/run/redis.sock", 0, SECRET),
        ("layer.example:6379", 0, None),
    ]


def test_no_password_of_a_host_is_printed(ask, project):
    told = repr(surveyed(ask, project))
    assert SECRET not in told
    assert OTHER not in told
    assert "in-the-url" not in told


@pytest.mark.parametrize("host", [[None], [(None, 6379)], [{"address": None}], [{"host": None}]])
def test_a_host_from_a_variable_that_is_not_set_is_a_problem_of_the_layer(host):
    settings = {"CHANNEL_LAYERS": {"default": {"BACKEND": "json.JSONDecoder", "CONFIG": {"hosts": host}}}}
    (_, (layer,)), *_ = channels_side.layers(SimpleNamespace(settings=settings))
    assert "is the variable set" in layer["hosts_error"]


def test_layers_that_nobody_parsed_are_a_problem():
    (_, (layer,)), *_ = channels_side.layers(SimpleNamespace(settings={"CHANNEL_LAYERS": "{}"}))
    assert layer["hosts_error"] == "CHANNEL_LAYERS is str, not dict"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"CONFIG": {"hosts": {"address": "redis://r"}}}, "a table where channels_redis wants a list"),
        ({"CONFIG": {"hosts": "redis://r"}}, "a string where channels_redis wants a list"),
        ({"CONFIG": {"hosts": ("127.0.0.1", 6379)}}, "one address where channels_redis wants a list"),
        ({"CONFIG": {"hosts": ["localhost:6379"]}}, "none that redis-py takes: ValueError: Redis URL must specify"),
        ({"CONFIG": {"hosts": [["redis://r"]]}}, "none that redis-py takes: IndexError"),
        ({"CONFIG": {"hosts": [{"address": ("r", 6379)}]}}, "none that redis-py takes: AttributeError"),
        ({"CONFIG": {"hosts": [{"host": "r", "pasword": "x"}]}}, "unexpected keyword argument 'pasword'"),
        ({"CONFIG": {"symmetric_encryption_keys": "key"}}, "symmetric_encryption_keys must be"),
        ({"CONFIG": {"hosts": [("r", 6379), "rediss://r:6380/1", "unix:///r.sock", {"host": "r", "db": 1}]}}, None),
        ({"CONFIG": {"hosts": [{"master_name": "m", "sentinels": [("s", 26379)]}]}}, None),
        ({"CONFIG": {"hosts": ["redis://:a/b@r:6379/0"]}}, None),
        ({"CONFIG": {"expire": 60}}, "RedisChannelLayer takes no 'expire' in CONFIG"),
        ({"hosts": ["redis://r"]}, "hosts stands beside CONFIG"),
        ({"LOCATION": "redis://r"}, "LOCATION stands beside CONFIG"),
        ({"CONFIG": {"hosts": ["redis://r"]}, "OPTIONS": {}}, None),
        ({"CONFIG": {"hosts": ["redis://r"], "prefix": "shop"}}, None),
        ({"ROUTING": "shop.routing.channel_routing"}, None),
    ],
)
def test_what_a_layer_does_not_take_or_never_sees_is_a_problem(config, words):
    settings = {"CHANNEL_LAYERS": {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", **config}}}
    (_, (layer,)), *_ = channels_side.layers(SimpleNamespace(settings=settings))
    assert words in layer["hosts_error"] if words else "hosts_error" not in layer


def test_an_entry_nobody_can_dial_is_not_dialled():
    config = {"hosts": [("127.0.0.1", 6379), "127.0.0.1:6380"]}
    settings = {"CHANNEL_LAYERS": {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}}}
    (_, (layer,)), *_ = channels_side.layers(SimpleNamespace(settings=settings))
    assert [host["url"] for host in layer["hosts"]] == ["redis://127.0.0.1:6379/0"]
