"""The description by a model: one chat completion with the picture as a data URL."""

import base64
import http.client
import io
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from PIL import Image

from apps.jobs.ai.answers import Answer, parse, refusal
from apps.jobs.ai.model import AiConfig, AiError, Description, Pace
from apps.jobs.ai.retrying import persistently
from apps.jobs.outbound import Deadline, Origin, body, exchange

JPEG_QUALITY = 85


def describe_remotely(image: Path, config: AiConfig, pace: Pace) -> Description:
    """Ask the configured endpoint; see `describe`."""
    url = _endpoint(config)
    payload = json.dumps(_question(image, config)).encode()
    answer, attempts = persistently(lambda deadline: _ask(url, payload, config, deadline, pace), config, pace)
    data: dict[str, Any] = {"attempts": attempts, "finish_reason": answer.finish_reason, "usage": answer.usage}
    return Description(answer.text, provider=str(url.hostname), model=answer.model or config.model, data=data)


def _endpoint(config: AiConfig) -> SplitResult:
    try:
        url = urlsplit(config.base_url.rstrip("/") + "/chat/completions")
        usable = url.scheme in {"http", "https"} and url.hostname and "@" not in url.netloc and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise AiError(
            "bad_config", "the base URL must be http(s)://host[:port]/path, without credentials", retryable=False
        )
    return url


def _question(image: Path, config: AiConfig) -> dict[str, Any]:
    picture = {"type": "image_url", "image_url": {"url": _data_url(image, config.longest_side)}}
    content = [{"type": "text", "text": config.prompt}, picture]
    message = {"role": "user", "content": content}
    return {"model": config.model, "messages": [message], "max_tokens": config.max_tokens}


def _data_url(path: Path, longest: int) -> str:
    """A JPEG small enough for every provider; models shrink larger pictures themselves, and charge for it."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((longest, longest))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _ask(url: SplitResult, payload: bytes, config: AiConfig, deadline: Deadline, pace: Pace) -> Answer:
    """One attempt. `from None` everywhere: a chained error of the transport may quote what was sent."""
    host, port = str(url.hostname), url.port or {"http": 80, "https": 443}[url.scheme]
    origin = Origin(url.scheme, host, port, (host,))
    context = ssl.create_default_context(cafile=config.ca_file) if url.scheme == "https" else None
    path = url.path + (f"?{url.query}" if url.query else "")
    request = ("POST", path, _headers(config), payload)
    try:
        with exchange(origin, deadline, request, connect_seconds=config.connect_seconds, context=context) as response:
            received = b"".join(body(response, config.max_answer_bytes))
    except OverflowError:
        raise AiError(
            "too_large", f"the answer has more than {config.max_answer_bytes} bytes", retryable=False
        ) from None
    except TimeoutError:
        raise AiError("timeout", "the endpoint did not answer in time", retryable=True) from None
    except ssl.SSLError:
        raise AiError("tls_failed", "the certificate or TLS of the endpoint is not valid") from None
    except (OSError, http.client.HTTPException, ValueError):
        raise AiError("unreachable", "the endpoint cannot be reached or broke the connection", retryable=True) from None
    if response.status != 200:
        raise refusal(response.status, response.getheader("Retry-After"), received, pace.now())
    return parse(received)


def _headers(config: AiConfig) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "intelli-jobs/1.0"}
    return headers | ({"Authorization": f"Bearer {config.api_key}"} if config.api_key else {})
