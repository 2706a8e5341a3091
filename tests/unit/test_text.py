"""Nothing that is printed holds a secret or commands a terminal, whatever the text, and seeing to it is quick."""

from __future__ import annotations

import ast
import io
import json
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intelli_checks import text
from intelli_checks.dsn import UNPARSEABLE, Dsn
from intelli_checks.probes.transcript import redact
from intelli_checks.text import MASK, remember_environment, remember_secret, safe, scrub
from intelli_ops.say import as_json
from intelli_ops.sinks import Masked

SECRET = "correct-Horse-9"
COMMANDS_TO_TERMINALS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
# Everything a URL is made of, in any order: what nobody means to write is what people paste.
PIECES = st.sampled_from(
    ["redis", "rediss", "sentinel", "unix", "://", "//", ":", "@", "/", "?", "#", ";", "[", "]", "%", "=", "&", "::1",
     "host", "6379", "99999", "password", "token", "db", "\x1b", "\u202e", " ", "é", "\ud800"]
)  # fmt: skip
ALPHABET = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch):
    monkeypatch.setattr(text, "_secrets", set())


@given(st.lists(PIECES, max_size=14).map("".join))
@example("redis://[::1")
@example("sentinel://h:1;sentinel://h:x")
@example("redis://h:99999/0")
def test_no_url_makes_the_redactor_raise_or_command_a_terminal(url):
    dsn = Dsn(url)
    for shown in (str(dsn), repr(dsn), f"{dsn:>40}", json.dumps(str(dsn)), safe(url)):
        assert not COMMANDS_TO_TERMINALS.search(shown)
    for name in ("host", "port", "database", "username", "password", "unix_path", "address", "options", "is_redis"):
        getattr(dsn, name)
    assert all(isinstance(member, Dsn) for member in dsn.members)
    dsn.on_database(3)


TEMPLATES = [
    "redis://user:{}@host:6379/0", "rediss://:{}@[::1]/0", "redis://{}@host/0", "redis://h/0?password={}&db=2",
    "redis+socket:///run/r.sock?password={}", "sentinel://:{}@a:1;sentinel://:{}@b:2/0?sentinel_password={}",
    "amqp://u:{}@[::1:1//", "redis://u:p@{}@h/0", "redis://u:{}@h:notaport/0",
]  # fmt: skip

TELL_NO_PASSWORD = ["redis://{}@host/0", "redis://u:p@{}@h/0"]
"""What stands there is a user, or the end of the password."""


@pytest.mark.parametrize("template", TEMPLATES)
@given(secret=st.text(ALPHABET, min_size=6, max_size=20).filter(lambda s: len(set(s)) > 3 and not s.isspace()))
@example(secret='p@ss/"wörd<&>|%')
@example(secret=SECRET)
def test_no_password_comes_out_of_a_url(template, secret):
    text._secrets.clear()
    encoded = quote(secret, safe="")
    dsn = Dsn(template.replace("{}", encoded))
    for shown in (str(dsn), repr(dsn), f"{dsn}", str(dsn.members), str(dsn.on_database(5))):
        assert encoded not in shown
        assert secret not in shown
    if template not in TELL_NO_PASSWORD:
        assert secret not in safe(f"cannot log in with {secret} there")


@pytest.mark.parametrize(
    "said",
    [
        "host=db password={} user=shop",
        "postgres://shop:{}@db/shop",
        "{{'PASSWORD': '{}', 'NAME': 'x'}}",
        'SECRET_KEY = "{}"',
        "connect(password='{}')",
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};",
        "GET /?api_key={}&page=1",
        "aws_secret_access_key={}",
        "https://{}@sentry.example/1",
    ],
)
def test_a_secret_is_known_by_its_place(said):
    assert SECRET not in scrub(said.format(SECRET))
    assert MASK in scrub(said.format(SECRET))


@pytest.mark.parametrize(
    "said",
    [
        "no password: whoever reaches it can read tasks",
        "redis-cli CONFIG SET requirepass ...",
        "the token is wrong",
        "task_acks_late = True",
        "TOKEN_TTL: 5",
        "http://host/path?page=2",
    ],
)
def test_what_is_no_secret_stays(said):
    assert scrub(said) == said


def test_an_azure_address_is_no_list_of_hosts():
    url = f"azureblockblob://DefaultEndpointsProtocol=https;AccountName=x;AccountKey={SECRET}==;EndpointSuffix=y"
    assert SECRET not in str(Dsn(url))


def test_the_environment_is_remembered_by_its_names_and_paths_are_not(tmp_path):
    remember_environment(
        {"SHOP_API_KEY": SECRET, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path), "LANGUAGE": "english", "TOKEN": "on"}
    )
    assert scrub(f"{SECRET} {tmp_path} english on") == f"{MASK} {tmp_path} english on"


@given(st.text(st.characters(), max_size=200) | st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=9))
def test_whatever_is_said_is_harmless_and_masked_once(said):
    shown = safe(said)
    assert shown.encode().decode() == shown
    assert not COMMANDS_TO_TERMINALS.search(shown)
    assert scrub(scrub(said)) == scrub(said)


HOSTILE = st.sampled_from(["a=b", "password='x\"y", "\x7f"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["a=b", "password='x\"y", "\x7f"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_json_stays_json(value):
    shown = as_json(value)
    assert shown.isascii()
    assert not COMMANDS_TO_TERMINALS.search(shown)
    json.loads(shown)


@given(st.dictionaries(WORDS, VALUES, max_size=4))
def test_settings_of_any_shape_are_redacted(settings):
    settings["DB_PASSWORD"] = {"nested": [SECRET]}
    shown = json.dumps(redact({**settings, "api_token": SECRET, "url": f"redis://:{SECRET}@h/0"}))
    assert f'"{SECRET}"' not in shown.replace(json.dumps({"nested": [SECRET]}), "")
    json.loads(shown)


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 200_000,
        "password" * 30_000,
        "://" * 70_000,
        "x://" + "@" * 100_000,
        "p=" * 100_000,
        "secret-" * 30_000 + "=",
    ],
)
def test_no_text_takes_long_to_clean(hostile):
    began = time.process_time()
    safe(hostile)
    str(Dsn(hostile))
    assert time.process_time() - began < 2


def test_a_stream_masks_what_is_known_whoever_writes():
    remember_secret('pl@nted/"Hörse')
    out = io.StringIO()
    stream = Masked(out)
    stream.writelines(["a ", 'pl@nted/"Hörse', "\n"])
    stream.write(json.dumps({"k": 'pl@nted/"Hörse'}) + repr('pl@nted/"Hörse') + quote('pl@nted/"Hörse', safe=""))
    assert "rse" not in out.getvalue()
    assert stream.getvalue() == out.getvalue()


def test_commands_write_through_say_alone():
    """One door, so that no line can forget to be cleaned."""
    package = Path(__file__).resolve().parents[2] / "toolkit" / "intelli_ops"
    doors = {"say.py", "sinks.py", "session.py", "__main__.py", "watchdog.py", "docs.py"}
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and path.name not in doors:
                writes = ast.unparse(node.func) in {"sys.stdout.write", "sys.stderr.write", "print"}
                plain = node.args and isinstance(node.args[0], ast.Constant | ast.Name)
                assert not writes or plain or "_printable(" in ast.unparse(node), f"{path}:{node.lineno}"


def test_a_url_nobody_understands_says_so():
    assert str(Dsn(f"redis://u:{SECRET}@[::1:1/0")) == UNPARSEABLE


RAW = ["redis://:p@ss/w#rd1@h:6379/0", "redis://user:12/secret@h/0", "amqp://u:pa?ss@h//", "http://:pa#ss@h/"]
WHOLE = [
    "redis://localhost:6379/0?x=a@b", "https://x.example/@me", "http://127.0.0.1:8000/ws/@me", "redis://[::1]:6379/0?a@b",
    "redis://:***@h:6379/0?x=a@b",
]  # fmt: skip


@pytest.mark.parametrize("url", RAW)
def test_a_password_that_nobody_encoded_is_masked_to_its_end(url):
    assert Dsn(url).unencoded
    password = url.rpartition("@")[0].split(":", 2)[2]
    for piece in password.replace("#", "/").replace("?", "/").replace("@", "/").split("/"):
        assert piece not in str(Dsn(url)).removeprefix(url.partition(":")[0])
    assert scrub(f"see {url}").endswith("***@" + url.rpartition("@")[2])


@pytest.mark.parametrize("url", WHOLE)
def test_an_at_sign_in_a_path_or_in_options_is_no_password(url):
    assert not Dsn(url).unencoded
    assert scrub(url) == url


@pytest.mark.parametrize(("path", "wrong"), [("", ""), ("/0", ""), ("/0/", ""), ("/0O", "0O"), ("/?db=x", "x")])
def test_what_is_no_number_of_a_database(path, wrong):
    assert Dsn(f"redis://h:6379{path}").wrong_database == wrong
