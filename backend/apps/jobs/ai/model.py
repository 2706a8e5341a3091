"""Configuration, answer and error of this package, and the clock it lives by."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

AiErrorCode = Literal[
    "bad_config",
    "unreachable",
    "tls_failed",
    "timeout",
    "rate_limited",
    "quota_exhausted",
    "server_error",
    "refused_key",
    "refused_request",
    "redirect_refused",
    "too_large",
    "bad_answer",
    "content_refused",
]
CODES: tuple[AiErrorCode, ...] = get_args(AiErrorCode)

PROMPT = "Describe this picture in at most three plain sentences: what it shows, then its light and colours."
HEADER_SAFE = re.compile(r"[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class AiConfig:
    """The endpoint, and how patient to be with it. Seconds everywhere.

    Attributes:
        base_url: of the API, for example `http://127.0.0.1:11434/v1`; `/chat/completions` is appended. Empty: no
            endpoint.
        model: its name there.
        api_key: sent as bearer token to `base_url` only; empty: none is sent.
        prompt: what is asked about every picture.
        connect_seconds: one attempt to connect.
        attempt_seconds: one attempt altogether.
        total_seconds: all attempts and the waiting between them. Below the soft limit of the task, or the task is
            interrupted before it can say what went wrong.
        max_attempts: requests sent at most.
        backoff_seconds: longest wait before the second attempt; doubles with each.
        backoff_cap_seconds: longest wait between attempts.
        max_answer_bytes: size of an answer.
        max_tokens: length asked of the model.
        longest_side: pictures are shrunk to this many pixels before they are sent.
        ca_file: PEM file of the authorities trusted for https; the system's otherwise.
    """

    base_url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    prompt: str = PROMPT
    connect_seconds: float = 5.0
    attempt_seconds: float = 20.0
    total_seconds: float = 40.0
    max_attempts: int = 4
    backoff_seconds: float = 1.0
    backoff_cap_seconds: float = 15.0
    max_answer_bytes: int = 1024 * 1024
    max_tokens: int = 300
    longest_side: int = 1024
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a key no header can carry here: `http.client` would put it into its own error message."""
        if not HEADER_SAFE.fullmatch(self.api_key):
            raise AiError("bad_config", "the API key has spaces, line ends or non-ASCII characters")


@dataclass(frozen=True, slots=True)
class Description:
    """What is known about a picture. `provider` is the host of the endpoint, or "local". `data` is JSON-safe."""

    text: str
    provider: str
    model: str
    data: dict[str, Any]


class AiError(RuntimeError):
    """No description.

    Attributes:
        code: one of `CODES`, stable.
        message: one sentence; never the key, never text the server sent.
        retryable: whether the same request may work later.
        retry_after: seconds the server asked to wait, if it did.
    """

    def __init__(
        self, code: AiErrorCode, message: str, *, retryable: bool = False, retry_after: float | None = None
    ) -> None:
        """Keep all four; the text of the exception has the code in front. Made anew from two by pickle."""
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Code and message."""
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Pace:
    """Sleep, clocks and chance; replaced in tests, which take no time."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
