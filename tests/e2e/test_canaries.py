"""A canary in every place where a project keeps a secret, and every command there is: none may sing."""

from __future__ import annotations

import base64
import html
import json
import re
import secrets
import sys
import threading
import zipfile
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

import psutil
import pytest
import typer
from typer.core import TyperGroup

from intelli_ops import cli as command_line
from intelli_ops.supervisor.state import State

SETTINGS = """
import os, pathlib
for line in pathlib.Path(__file__).with_name("dotenv").read_text().splitlines():
    os.environ.setdefault(*line.split("=", 1))
DEBUG = True
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "shop.asgi"
EMAIL_HOST_PASSWORD = "{email}"
MY_DB_URL = "postgres://shop:{database}@db.internal/shop"
email_dsn = "smtp://robot:{smtp}@mail.internal"
SENTRY_DSN = "https://{sentry}@sentry.internal/1"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "PASSWORD": "{sql}"}}}}
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.redis.RedisCache",
           "LOCATION": "redis://:{cache}@cache.internal/3"}}}}
CELERY_BROKER_URL = os.environ["SHOP_BROKER"]
CELERY_RESULT_BACKEND = os.environ["SHOP_BROKER"].replace("/0", "/2")
CELERY_BROKER_TRANSPORT_OPTIONS = {{"sentinel_kwargs": {{"password": "{sentinel}"}}}}
CELERY_BEAT_SCHEDULE = {{"pay": {{"task": "shop.pay", "schedule": 3600, "args": ["{beat}"]}}}}
CELERY_VAULT_ACCESS = "{unknown}"
CHANNEL_LAYERS = {{"default": {{"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {{
    "hosts": [{{"address": os.environ["SHOP_BROKER"].replace("/0", "/1"), "client_name": "shop"}}],
    "symmetric_encryption_keys": ["{encryption}"]}}}}}}
SECRET_KEY = "{django}"
# CELERY_TASK_ALWAYS_EAGER = True
# CELERY_TASK_EAGER_PROPAGATES = True
"""
CELERY = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from celery import Celery
from django.conf import settings
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")

@app.task(name="shop.pay")
def pay(card): ...
"""
PLACES = ["broker", "environment", "dotenv", "email", "database", "smtp", "sentry", "sql", "cache", "sentinel", "beat",
          "unknown", "encryption", "django", "argument", "token", "web", "config"]  # fmt: skip
RUN = secrets.token_hex(4)
"""Another run at the same time, whose command lines are read as well, has other canaries."""
CANARIES = {place: f"canary-of-{place}-{RUN}" for place in PLACES} | {"awkward": f'c@nary/"Hörse<&>|%{RUN}'}

TARGETED = ["--project", "."]
FAST = [*TARGETED, "--timeout", "8"]
FAMILIES = ["redis", "celery", "channels", "websocket", "django", "flow", "host"]
FORMATS = ["text", "json", "junit", "github", "nagios", "openmetrics"]
# What is tried with each command there is; a command that is not named here fails the test below.
TRIED: dict[str, list[list[str]]] = {
    "check": [
        [*FAMILIES, "-v", "--save", "facts.json", "--stage", "deep", *TARGETED, "--timeout", "20"],
        *([*FAMILIES, "--from", "facts.json", "-v", "--format", fmt] for fmt in FORMATS),
        ["django", "--output", "/nonexistent/file", "--debug", *FAST],
        ["lab.bent", "--debug", *TARGETED],
        ["celery.app", "--app", "shop.broken", "-v", *FAST],
        ["redis", "--via", "sh -c 'echo $SHOP_TOKEN >&2; exit 1'", "celery.app"],
    ],
    "explain": [["redis.broker"], ["redis://:{web}@h/1"]],
    "checks": [["--json"]],
    "config show": [["--origin", *TARGETED], ["--json", "--origin", *TARGETED]],
    "probe": [
        ["ready", "--node", "w@h", "--timeout", "0.3"],
        ["live", "--heartbeat", "none"],
        ["ready", "--url", "https://u:{web}@127.0.0.1:1/?token={web}"],
        ["ready", "--url", "http://u:{web}@127.0.0.1:1/?token={web}"],
    ],
    "channels": [FAST],
    "queues": [FAST, ["--json", *FAST]],
    "tasks list": [FAST, ["--json", *FAST]],
    "tasks show": [["1", *FAST], ["1", "--json", *FAST]],
    "bundle": [["--output", "bundle.zip", *FAST]],
    "eager status": [FAST],
    "eager on": [["--dry-run", *FAST]],
    "eager off": [["--dry-run", *FAST], FAST],
    "eager run": [["--settings", "shop.settings", "--", sys.executable, "-c", "print('ran')"]],
    "render": [["systemd", *FAST], ["compose", *FAST], ["k8s", *FAST]],
    "start-workers": [["--dry-run", *FAST], ["--dry-run", "--app", "shop.broken", *FAST]],
    "stop-workers": [TARGETED],
    "restart-workers": [TARGETED],
    "workers status": [TARGETED, ["--json", *TARGETED]],
    "workers scale": [["mail=2", *TARGETED]],
    "workers logs": [TARGETED],
    "up": [["--project", "."]],
    "demo": [["--project", "."]],
    "down": [["--project", "."]],
    "jobs submit": [["photo.png", "--image-url", "http://u:{web}@127.0.0.1:1/a.png"]],
    "jobs watch": [["0e7a9c1e-0000-4000-8000-000000000000", "--timeout", "1"]],
    "jobs list": [[], ["--json"]],
    "jobs artifacts": [["0e7a9c1e-0000-4000-8000-000000000000", "--out", "files"]],
    "jobs cancel": [["http://u:{web}@h/1"]],
}  # fmt: skip


def commands(group, name: str = "") -> list[str]:
    """Every command of the command line, groups opened."""
    if not isinstance(group, TyperGroup):
        return [name]
    found = [(one, group.get_command(None, one)) for one in group.list_commands(None)]
    return [leaf for one, command in found for leaf in commands(command, f"{name} {one}".strip())]


def test_every_command_is_tried():
    assert set(commands(typer.main.get_command(command_line.app))) == set(TRIED)


def in_base64(raw: bytes) -> list[str]:
    """What `raw` looks like in base64 whatever stands before and after it."""
    shifted = (base64.b64encode(b"\0" * shift + raw).decode() for shift in range(3))
    return [text[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6] for shift, text in enumerate(shifted)]


def leaks(said: str) -> list[str]:
    """The names of the canaries that can be heard in `said`, as they are or in a disguise."""
    plain = {said, unquote(said), html.unescape(said), said.replace("\\/", "/")}
    plain |= {re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), text).replace('\\"', '"') for text in plain}
    found = []
    for name, canary in CANARIES.items():
        shapes = [canary, canary[3:], canary[:-3], canary.encode().hex(), *in_base64(canary.encode())]
        if any(shape in text for shape in shapes for text in plain):
            found.append(name)
    return found


def as_credentials(canary: str) -> str:
    return base64.b64encode(b"user:" + canary.encode()).decode()


@pytest.mark.parametrize("disguise", [str, quote, json.dumps, html.escape, as_credentials])
def test_a_canary_is_heard_through_every_disguise(disguise):
    for name, canary in CANARIES.items():
        assert leaks(f"before {disguise(canary)} after") == [name]


class Eavesdropper:
    """Reads the command line of every process there is, again and again: that is where others would read it."""

    def __init__(self, *allowed: str) -> None:
        self.heard: set[str] = set()
        self.allowed = allowed
        """Typed by whoever ran the command, so already there."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        while not self._over.wait(0.1):
            for process in psutil.process_iter():
                try:
                    words = process.cmdline()
                except psutil.Error:
                    continue
                self.heard |= {word for word in words if word not in self.allowed and leaks(word)}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def broker(intelli_redis_server):
    """A Redis whose password is a canary, with a message in it whose argument is another."""
    server = intelli_redis_server(password=CANARIES["broker"])
    message = {
        "body": base64.b64encode(json.dumps([[CANARIES["argument"]], {}, {}]).encode()).decode(),
        "headers": {"task": "shop.pay", "id": "1", "argsrepr": f"('{CANARIES['argument']}',)", "kwargsrepr": "{}"},
        "properties": {"delivery_tag": "1", "delivery_info": {"routing_key": "celery"}, "body_encoding": "base64"},
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }
    server.client().lpush("celery", json.dumps(message))
    server.client().hset("unacked", "1", json.dumps([message, "celery", "celery"]))
    server.client().zadd("unacked_index", {"1": 1})
    return server


@pytest.fixture
def shop(cli, broker):
    """The project, in the folder where `cli` runs; what it is told by its environment."""
    package = cli.directory / "shop"
    package.mkdir()
    (package / "settings.py").write_text(SETTINGS.format_map(CANARIES))
    (package / "dotenv").write_text(f"SHOP_LICENCE={CANARIES['dotenv']}\n")
    (package / "celery.py").write_text(CELERY)
    (package / "__init__.py").write_text("from .celery import app as celery_app\n")
    (package / "broken.py").write_text("from django.conf import settings\nraise ValueError(settings.MY_DB_URL)\n")
    (cli.directory / "manage.py").write_text("")
    (cli.directory / "photo.png").write_bytes(b"no picture")
    (cli.directory / "intelli-ops.toml").write_text(
        f'web = "http://u:{CANARIES["config"]}@127.0.0.1:1"\napp = "shop"\nsettings = "shop.settings"\n'
    )
    logs = State(cli.directory, "workers").folder("logs")
    (logs / "mail.log").write_text(f"connected to redis://:{CANARIES['web']}@h/1\n")
    cli.planted = {path for path in cli.directory.rglob("*") if path.is_file()}
    cli.secrets = {
        "SHOP_BROKER": broker.url(0),
        "SHOP_TOKEN": CANARIES["environment"],
        "INTELLI_OPS_TOKEN": CANARIES["token"],
        "INTELLI_OPS_WEB": f"http://u:{quote(CANARIES['awkward'], safe='')}@127.0.0.1:1",
        "CELERY_BROKER_URL": broker.url(0),
    }
    return cli


def written(cli) -> str:
    """Every file that the commands left, recordings and state included."""
    files = (path for path in cli.directory.rglob("*") if path.is_file() and path not in cli.planted)
    return "".join(unpacked(path) for path in files if path.suffix != ".pyc")


def unpacked(path: Path) -> str:
    """A file as text; of an archive everything in it."""
    if not zipfile.is_zipfile(path):
        return path.read_text(errors="replace")
    with zipfile.ZipFile(path) as archive:
        return "".join(f"{name}\n{archive.read(name).decode('utf-8', 'replace')}" for name in archive.namelist())


@pytest.mark.timeout(300)  # `check` alone is a dozen runs
@pytest.mark.parametrize("command", TRIED)
def test_no_canary_sings(shop, command: str):
    for tried in TRIED[command]:
        words = [*command.split(), *(word.format_map(CANARIES) for word in tried)]
        with Eavesdropper(*words) as eavesdropper:
            done = shop(*words, env=shop.secrets)
        said = done.stdout + done.stderr
        assert said.strip() or command == "eager off", words  # an empty diff
        assert leaks(said) == [], said
        assert leaks(written(shop)) == [], words
        assert eavesdropper.heard == set(), words
        assert done.returncode in {0, 1, 2, 3}, said
    if command == "bundle":
        assert "report" in written(shop)
    if command == "check":  # the project was really asked, and the Redis behind the password
        facts = Path(shop.directory, "facts.json").read_text()
        assert '"shop.pay"' in facts
        assert "RedisFacts" in facts
