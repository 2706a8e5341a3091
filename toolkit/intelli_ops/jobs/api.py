"""The job API over HTTP: every call ends within its deadline, every refusal arrives as a sentence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin

T = TypeVar("T")

_PAGE_LIMIT = 50


class ApiError(Exception):
    """The API did not answer, or not as it promises; the message is fit for people."""


class RefusedError(ApiError):
    """The API understood and said no."""


@dataclass(frozen=True, slots=True)
class JobsApi:
    """Calls to the job API at `base`."""

    base: str
    token: str | None = field(default=None, repr=False)
    timeout: float = 30.0
    """Seconds one call may take in all: connecting, sending, waiting and reading."""

    def submit(self, files: Iterable[Path], urls: Iterable[str], algorithms: Iterable[str], key: str) -> dict[str, Any]:
        """Submit a job; the same `key` twice is the same job."""
        fields: list[tuple[str, Any]] = [("images", _part(file)) for file in files]
        fields += [("image_urls", url) for url in urls]
        fields += [("algorithms", algorithm) for algorithm in algorithms]
        return self._json("POST", "/api/jobs/", fields=fields, headers={"Idempotency-Key": key})

    def job(self, id_: str) -> dict[str, Any]:
        """One job with its tasks and artifacts."""
        return self._json("GET", f"/api/jobs/{id_}/")

    def cancel(self, id_: str) -> dict[str, Any]:
        """Cancel what has not run yet."""
        return self._json("POST", f"/api/jobs/{id_}/cancel/")

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Every job, newest first, over at most fifty pages."""
        where: str | None = "/api/jobs/"
        for _ in range(_PAGE_LIMIT):
            if not where:
                return
            page = self._json("GET", where)
            yield from page.get("results", ())
            where = page.get("next")

    def download(self, artifact: Mapping[str, Any], path: Path) -> Path:
        """Store an artifact at `path`; raises ApiError when it is not what was promised."""
        content = self._call("GET", str(artifact["url"])).data
        if hashlib.sha256(content).hexdigest() != artifact["sha256"]:
            raise ApiError(f"artifact {artifact['id']} arrived damaged: its SHA-256 differs")
        path.write_bytes(content)
        return path

    def _json(self, method: str, where: str, **options: Any) -> dict[str, Any]:
        response = self._call(method, where, **options)
        try:
            document = json.loads(response.data)
        except ValueError as error:
            raise ApiError(
                f"{method} {where} answered {response.status} without JSON: is {self.base} the API?"
            ) from error
        if not isinstance(document, dict):
            raise ApiError(f"{method} {where} answered a {type(document).__name__} instead of an object")
        return document

    def _call(self, method: str, where: str, **options: Any) -> Any:
        response = bounded(lambda: self._send(method, urljoin(self.base, where), **options), self.timeout, where)
        if response.status >= 400:
            kind = RefusedError if response.status < 500 else ApiError
            raise kind(f"{method} {where} answered {response.status}: {_problem(response.data)}")
        return response

    def _send(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        import urllib3

        headers = {**(headers or {}), "Accept": "application/json, */*;q=0.1"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        try:
            return urllib3.request(method, url, headers=headers, timeout=self.timeout, retries=False, **options)
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(f"{self.base} does not answer: {_reason(error)}; is it up? (intelli-ops up)") from error


def bounded(call: Callable[[], T], seconds: float, what: str) -> T:
    """`call()`, given up after `seconds` in all; no timeout of an HTTP client covers name lookup and dripping bytes."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001 - carried to the caller
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True, name=what).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise ApiError(f"{what} took longer than {seconds:g} s") from None


def artifacts(job: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each artifact of a job with the task that made it."""
    for task in job.get("tasks", ()):
        for artifact in task.get("artifacts", ()):
            yield task, artifact


def collect(api: JobsApi, job: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Download every artifact of `job` to `folder`; where each went, by its id."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {image["id"]: Path(str(image.get("name") or "image")).stem for image in job.get("images", ())}
    taken: dict[str, Path] = {}
    for task, artifact in artifacts(job):
        name = _plain(f"{images.get(task.get('image'), 'image')}-{artifact['name']}")
        path = folder / name
        if path in taken.values():  # two images of one name
            path = folder / _plain(f"{str(artifact['id'])[:8]}-{name}")
        taken[str(artifact["id"])] = api.download(artifact, path)
    return taken


def _plain(name: str) -> str:
    """A file name out of one that came from elsewhere: nothing in it leads out of the folder or means something."""
    return re.sub(r"[^\w.\-]+", "_", name).lstrip(".-") or "artifact"


def _part(file: Path) -> tuple[str, bytes, str]:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    try:
        return file.name, file.read_bytes(), kind
    except OSError as error:
        raise ApiError(f"cannot read {file}: {error.strerror}") from error


def _reason(error: Exception) -> str:
    """What the operating system said, without the names of a client's classes around it."""
    cause = error.__cause__ or error.__context__
    return (cause.strerror if isinstance(cause, OSError) else None) or str(error)


def _problem(body: bytes) -> str:
    """The sentences of a problem document (RFC 9457), or the beginning of whatever came instead."""
    with contextlib.suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict):
            errors = document.get("errors")
            details = [str(e.get("message", e)) if isinstance(e, dict) else str(e) for e in errors or ()]
            said = [str(document.get("detail") or document.get("title") or ""), *details]
            return "; ".join(dict.fromkeys(said)).strip("; ")  # where there is one error, the detail repeats it
    return body[:200].decode("utf-8", "replace")
