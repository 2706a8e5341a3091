"""Everything that is printed passes here: no secret, no control character from outside survives."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

MASK = "***"

# A password shorter than this is a word ("redis", "guest") that may stand in any sentence; masking it everywhere
# would garble reports, so short ones are masked only where a URL carries them.
_LONG_ENOUGH = 6

# The lookbehind lets a match start only where a word does: without it a long word costs the square of its length.
_USERINFO = re.compile(r"(?P<scheme>(?<![\w+.\-])[\w+.\-]+://)(?P<userinfo>[^\s/?#'\"@]*(?:@[^\s/?#'\"@]+)*)@")

# A password whose `/`, `?` or `#` nobody encoded ends what a parser takes for the login, and the rest of it for a host.
_WHOLE_URL = re.compile(r"(?<![\w+.\-])(?P<scheme>[\w+.\-]+)://(?P<rest>[^\s'\";,]+)")
_LOGIN_ENDS = re.compile(r"[/?#]")
_A_DATABASE_AND_OPTIONS = re.compile(r"/+\d*\?")

SECRET_NAME = re.compile(
    r"(?i)(pass(word|wd|phrase)?$|secret|token|api_?key|access_?key|account_?key|security_key|credential)"
)
"""Names of settings and variables whose value is nobody's business."""

# `name=value` and `'name': 'value'`: how queries, connection strings, keyword arguments and settings write a secret.
_NAMED = re.compile(
    r"(?i)((?:password|passwd|secret|token|api_?key|access_?key|account_?key)[\w\-]{0,40}"
    r"(?:=['\"]?| = ['\"]|['\"]: ['\"]))(?!\*{3})(?:\\.|[^&\s'\";,\\])+"
)

# C0 except newline and tab, DEL, C1, and the bidirectional overrides: what terminals obey instead of show. And halves
# of surrogate pairs, which JSON and names of files can hold and no encoding takes.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_secrets: set[str] = set()


def remember_secret(value: str | None) -> None:
    """From now on `scrub` masks this value wherever it appears: as it is, or as a URL, JSON or a repr writes it."""
    if value and len(value) >= _LONG_ENOUGH:
        _secrets.update(form for form in _forms(value) if len(form) >= _LONG_ENOUGH)


def raw_login(url: str) -> str:
    """The login of a URL whose password holds `/`, `?` or `#` as they are, which no parser takes for a login; else "".

    `user:pa/ss` in `redis://user:pa/ss@host:6379/0`; an `@` in a path or in options is none.
    """
    scheme, _, rest = url.partition("://")
    end = _LOGIN_ENDS.search(rest)
    if not end or "@" not in rest[end.start() :] or "://" in rest:
        return ""
    before, after = rest[: end.start()], rest[end.start() :]
    looks_like_a_host = re.fullmatch(r"[^:@]*|[^:@]+:\d+|\[[^\]@]*\](:\d+)?", before) is not None
    on_the_web = scheme.lower() in {"http", "https", "ws", "wss"}
    if "@" in before and (on_the_web or _A_DATABASE_AND_OPTIONS.match(after)):
        return ""
    if looks_like_a_host and (on_the_web or ":" not in before or _A_DATABASE_AND_OPTIONS.match(after)):
        return ""
    return rest[: rest.rindex("@")]


def remember_passwords(text: str) -> None:
    """Remember the password of every URL in `text`. A user alone may be an ordinary word and is only masked there."""
    for match in _WHOLE_URL.finditer(text):
        remember_secret(raw_login(match[0]).partition(":")[2])
    for match in _USERINFO.finditer(text):
        remember_secret(unquote(match["userinfo"].partition(":")[2]))


def remember_environment(environ: Mapping[str, str]) -> None:
    """Remember the passwords in variables, and what those with telling names hold; a path to a secret is none."""
    for name, value in environ.items():
        remember_passwords(value)
        if SECRET_NAME.search(name) and not os.path.exists(value):  # noqa: PTH110 - pathlib would cost a probe 5 ms
            remember_secret(value)


def _forms(value: str) -> Iterator[str]:
    yield from (value, quote(value, safe=""), quote(value), unquote(value))
    if not value.isalnum():
        from json import dumps

        yield from (dumps(value)[1:-1], dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])


def scrub(text: str) -> str:
    """Mask URL credentials, values beside telling names, and every remembered secret."""
    if "://" in text:  # most log lines have none, and a search for a word is some thirty times faster
        text = _WHOLE_URL.sub(_mask_raw_login, text)
        text = _USERINFO.sub(_mask_userinfo, text)
    if "=" in text or ": " in text:
        text = _NAMED.sub(rf"\g<1>{MASK}", text)
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def safe(text: object) -> str:
    """Text from outside, fit for a terminal: secrets masked, control characters made visible."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", scrub(str(text)))


def _mask_userinfo(match: re.Match[str]) -> str:
    user, colon, _ = match["userinfo"].partition(":")
    return f"{match['scheme']}{user if colon else ''}:{MASK}@"


def _mask_raw_login(match: re.Match[str]) -> str:
    login = raw_login(match[0])
    if not login:
        return match[0]
    user, colon, _ = login.partition(":")
    return f"{match['scheme']}://{user if colon else ''}:{MASK}{match['rest'][len(login) :]}"
