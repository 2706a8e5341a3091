"""What endpoints answer, taken apart without trust."""

import json
import re
from dataclasses import dataclass
from typing import Any

from apps.jobs.ai.model import AiError
from apps.jobs.ai.retrying import retry_after

LONGEST_TEXT = 4_000
LONGEST_NAME = 100
USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
BUSY = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 522, 524, 529})
# A 429 that waiting does not cure: the account is empty.
QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
# C0 but line feed and tab, DEL, C1 and the marks that turn the direction of text: none belongs in a description.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer. `usage` has token counts, where the server tells them."""

    text: str
    model: str
    finish_reason: str
    usage: dict[str, int]


def parse(received: bytes) -> Answer:
    """Read a chat completion.

    Raises:
        AiError: bad_answer or content_refused.
    """
    document = _json(received)
    try:
        choice = document["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        refused = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
    except (AttributeError, KeyError, IndexError, TypeError):
        raise AiError("bad_answer", "the answer is not a chat completion") from None
    if refused:
        raise AiError("content_refused", "the model declined to describe the picture")
    if not text:
        raise AiError("bad_answer", "the answer has no text")
    return Answer(text, _name(document.get("model")), _name(choice.get("finish_reason")), _usage(document.get("usage")))


def refusal(status: int, after: str | None, received: bytes, now: float) -> AiError:
    """The error for a status other than 200. The body is only read for a code we know: it may quote the key."""
    wait = retry_after(after, now)
    if status == 429:
        if _error_code(received) in QUOTA:
            return AiError("quota_exhausted", "the account of the endpoint has no credit left")
        return AiError("rate_limited", "the endpoint asks to slow down (429)", retryable=True, retry_after=wait)
    if status in BUSY or status > 504:
        return AiError("server_error", f"the endpoint failed ({status})", retryable=True, retry_after=wait)
    if status in {401, 403}:
        return AiError("refused_key", f"the endpoint refuses the API key ({status})")
    if 300 <= status < 400:
        return AiError("redirect_refused", f"the endpoint redirects ({status}); set its final address")
    return AiError("refused_request", f"the endpoint refuses the request ({status})")


def _json(received: bytes) -> Any:
    try:
        return json.loads(received)
    except (ValueError, RecursionError):
        raise AiError("bad_answer", "the answer is not JSON") from None


def _error_code(received: bytes) -> str:
    try:
        error = _json(received)["error"]
        return str(error.get("code") or error.get("type"))
    except (AiError, AttributeError, KeyError, TypeError):
        return ""


def _text(content: Any) -> str:
    """The text of a message: a string, or parts of which the text ones count."""
    if isinstance(content, list):
        content = "\n".join(str(part["text"]) for part in content if part.get("type") == "text")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise TypeError("content is neither text nor parts")
    return CONTROL.sub("", content).strip()[:LONGEST_TEXT]


def _name(value: Any) -> str:
    return CONTROL.sub("", value)[:LONGEST_NAME] if isinstance(value, str) else ""


def _usage(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {key: value[key] for key in USAGE if type(value.get(key)) is int and 0 <= value[key] < 2**53}
