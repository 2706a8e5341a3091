"""What `[flow]` of the configuration says about one real job: how to ask for it and where to see what becomes of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from intelli_checks.model import Skip, Unavailable
from intelli_checks.target import Target

EXAMPLE = (
    'in intelli-ops.toml: [flow] path = "/api/jobs/", json = {tag = "{tag}"}, id = "id", '
    'status_path = "/api/jobs/{id}/", status = "status", succeeded = ["done"]'
)
SAMPLE = "sample.png"
"""A file of this name that does not exist is our own small picture."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One job, described. Paths and values may contain `{id}` and `{tag}`; pointers are dotted, `*` is every item."""

    path: str
    id: str
    status_path: str
    method: str = "POST"
    accepted: tuple[int, ...] = (200, 201, 202)
    json: Any = None
    form: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Form field -> file, relative to the project."""
    status: str = "status"
    waiting: tuple[str, ...] = ("new", "queued", "pending", "created", "accepted", "waiting", "scheduled")
    """States in which no worker has touched the job."""
    succeeded: tuple[str, ...] = ("succeeded", "success", "done", "finished", "completed")
    failed: tuple[str, ...] = ("failed", "failure", "error", "cancelled", "canceled")
    error: str = ""
    """Pointer to why it failed."""
    artifact: str = ""
    """Pointer to the URLs of what the job made, or a path with `{id}`."""
    websocket: str = ""
    """Path of its events; a `${VARIABLE}` in it, and in the headers, is read from the environment."""
    event_name: str = ""
    """Pointer to a frame's name."""
    terminal: tuple[str, ...] = ()
    """Names (or values) of the frames that end the job."""
    queue: str = ""
    """Pointer to a task's queue in a frame."""
    task: str = ""
    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    cleanup: Mapping[str, str] = field(default_factory=dict)
    """method, path, and `when`: `always` or `unfinished`."""
    timeout: float = 20.0
    repeat: int = 1

    def named(self, state: str) -> str:
        """`state` as this plan writes it: APIs say SUCCESS where a plan says success."""
        known = {one.casefold(): one for one in (*self.waiting, *self.failed, *self.succeeded)}
        return known.get(state.casefold(), state)


def read(target: Target) -> Plan:
    """The plan of `target`; raises Skip where there is none, Unavailable where it cannot be meant."""
    given = dict(target.flow)
    if not given.get("path"):
        raise Skip(f"nobody said what a job is: {EXAMPLE}")
    known = set(Plan.__dataclass_fields__)
    if unknown := sorted(given.keys() - known - {"headers", "event"}):
        raise _wrong(f"[flow] has no {unknown[0]}", f"[flow] knows {', '.join(sorted(known))}, headers, event")
    if missing := [name for name in ("id", "status_path") if not given.get(name)]:
        raise _wrong(f"[flow] does not say {missing[0]}", EXAMPLE)
    return Plan(**{name: _meant(name, value) for name, value in given.items() if name in known})


def _meant(name: str, value: Any) -> Any:
    """`value` in the type its field has; one name where several may stand is a list of one."""
    wanted = Plan.__dataclass_fields__[name].type
    try:
        if str(wanted).startswith("tuple"):
            kind = int if name == "accepted" else str
            return tuple(kind(one) for one in (value if isinstance(value, list) else [value]))
        if wanted in {"int", "float"}:
            return int(value) if wanted == "int" else float(value)
    except (TypeError, ValueError):
        raise _wrong(f"[flow] {name} is {value!r}, no number", f"correct [flow] {name}") from None
    if wanted == "str" and not isinstance(value, str):
        raise _wrong(f"[flow] {name} is {value!r}, no text", f"correct [flow] {name}")
    if str(wanted).startswith("Mapping") and not isinstance(value, Mapping):
        raise _wrong(f"[flow] {name} is {value!r}, no table", f'[flow] {name} = {{ name = "value" }}')
    return value


def _wrong(message: str, hint: str) -> Unavailable:
    return Unavailable(message, hint=hint, subject="intelli-ops.toml", kind="configuration")


def select(document: Any, pointer: str) -> list[Any]:
    """Everything `pointer` leads to in `document`, `null` left out; empty when it leads nowhere.

    JSON Pointer (RFC 6901) and JSONPath begin differently and mean the same here: `/job/id`, `$.job.id`, `job.id`.
    """
    dotted = pointer[1:].replace("/", ".") if pointer.startswith("/") else pointer.removeprefix("$.")
    found = [document]
    for name in dotted.split("."):
        found = [inner for one in found for inner in _inner(one, name)]
    return [one for one in found if one is not None]


def id_of(plan: Plan, document: Any, location: str) -> str:
    """What the answer calls the job: in its body, else in the Location it names; empty when it does not say."""
    if found := select(document, plan.id):
        return str(found[0])
    before, braces, after = urlsplit(plan.status_path).path.partition("{id}")
    path = urlsplit(location).path
    if not braces or before not in path or not path.endswith(after):
        return ""
    return path[path.index(before) + len(before) : len(path) - len(after)].strip("/")


def _inner(value: Any, name: str) -> Sequence[Any]:
    if name == "*":
        return list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []
    if isinstance(value, Mapping):
        return [value[name]] if name in value else []
    if isinstance(value, list) and name.isdigit() and int(name) < len(value):
        return [value[int(name)]]
    return []


def below(base: str, path: str) -> str:
    """`path` under the address of the web server, whose own path it may already begin with."""
    if "://" in path:
        return path
    own = urlsplit(base).path.rstrip("/")
    path = f"/{path.lstrip('/')}"
    return base.rstrip("/").removesuffix(own) + (path if not own or path.startswith(f"{own}/") else own + path)


def fill(value: Any, **known: str) -> Any:
    """`value` with `{id}` and `{tag}` replaced, however deep."""
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, Mapping):
        return {name: fill(item, **known) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(item, **known) for item in value]
    return value


def body(plan: Plan, target: Target, tag: str) -> dict[str, Any]:
    """The request's body as urllib3 takes it: JSON, or a form with files."""
    if plan.json is not None:
        return {"json": fill(plan.json, tag=tag)}
    if not plan.form and not plan.files:
        return {}
    fields: list[tuple[str, Any]] = []
    for name, value in fill(plan.form, tag=tag).items():
        fields += [(name, str(item)) for item in (value if isinstance(value, list) else [value])]
    fields += [(name, (Path(file).name, _content(target, file))) for name, file in plan.files.items()]
    return {"fields": fields}


def _content(target: Target, file: str) -> bytes:
    path = target.directory / file
    if path.is_file():
        return path.read_bytes()
    if Path(file).name == SAMPLE:
        return picture()
    raise _wrong(f"[flow] files: there is no {path}", f"name a file that is there, or {SAMPLE} for a small picture")


def picture(size: int = 32) -> bytes:
    """A valid PNG: a grey ramp (ISO/IEC 15948)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * 8 + y) % 256 for x in range(size)) for y in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
