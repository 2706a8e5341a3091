"""A safe copy of an image, decoded and written by a child process under limits.

Why a child: decoders are native code fed by strangers. A bomb that slips the caps, a decoder that loops or crashes
costs that process and not the worker, which holds other tasks and the broker connection. Why not multiprocessing:
pool workers are daemonic and may not have such children, and a fork of a threaded process is not safe.
"""

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, cast

from apps.jobs.imaging import children
from apps.jobs.imaging.inspecting import inspect
from apps.jobs.imaging.model import CODES, BadImage, BadImageCode, ImageInfo, ImageLimits

DECODER = Path(__file__).with_name("decoder.py")


def normalise(source: Path, target: Path, limits: ImageLimits | None = None) -> ImageInfo:
    """Write `source` as an 8-bit RGB PNG at `target`: first frame, upright, on white, without metadata.

    Colours are converted to sRGB by the embedded profile if there is a usable one. `target` appears by rename when it
    is complete, replacing what was there; on failure nothing is left behind.

    Args:
        source: any file.
        target: where the PNG goes; its folder must exist.
        limits: what is accepted, and what decoding may cost.

    Returns:
        What is at `target`: the size after rotation, format PNG, mode RGB, one frame.

    Raises:
        BadImage: the picture is refused; trying again is useless.
        OSError: reading or writing failed (a full disk, for example); trying again may help.
    """
    chosen = limits or ImageLimits()
    claimed = inspect(source, chosen)
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        answer = _decode(source, part, claimed, chosen)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return ImageInfo("PNG", answer["width"], answer["height"], 1, "RGB")


def _decode(source: Path, part: Path, claimed: ImageInfo, limits: ImageLimits) -> dict[str, Any]:
    order = {"source": str(source.resolve()), "target": str(part.resolve()), "format": claimed.format, **asdict(limits)}
    order["size"] = [claimed.width, claimed.height]
    try:
        exit_code, said = children.run(DECODER, json.dumps(order).encode(), limits.decode_seconds)
    except TimeoutError:
        raise BadImage("decode_timeout", f"decoding took longer than {limits.decode_seconds:g} s") from None
    return _judge(exit_code, said)


def _judge(exit_code: int, stdout: bytes) -> dict[str, Any]:
    """Read the child's answer; only a child that ends well and says so has succeeded."""
    try:
        answer = json.loads(stdout)
    except ValueError:
        _crashed(exit_code)
    if exit_code != 0 or not isinstance(answer, dict):
        _crashed(exit_code)
    if "errno" in answer:
        raise OSError(int(answer["errno"]), os.strerror(int(answer["errno"])))
    if "code" in answer:
        code = answer["code"] if answer["code"] in CODES else "corrupt"
        raise BadImage(cast("BadImageCode", code), str(answer.get("message", "")))
    return cast("dict[str, Any]", answer)


def _crashed(exit_code: int) -> NoReturn:
    raise BadImage("decode_crashed", f"the decoder died (exit code {exit_code}); the picture is damaged or hostile")
