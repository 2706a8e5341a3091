"""The decoding child. Run as a file by an isolated interpreter; it imports nothing but Pillow.

Reads one JSON order from standard input and writes one JSON answer to standard output: the size written, or the code
and message of a refusal, or the errno of a failed read or write. Any other end is a crash.
"""

import io
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

WHITE = (255, 255, 255)
# zlib level 3: half the time of the default 6 for some 5 % more bytes on photographs.
COMPRESSION = 3


class Refused(Exception):
    """A picture that is not accepted, with the code of `BadImage`."""

    def __init__(self, code: str, message: str) -> None:
        """Keep both."""
        super().__init__(code, message)
        self.code = code
        self.message = message


def confine(order: dict[str, Any]) -> None:
    """Take away what decoding does not need. Windows has no such limits: there the parent's wall time must do."""
    try:
        import resource
    except ImportError:
        return
    # CPU time outlives the parent: a child whose worker was killed still ends.
    seconds = int(order["decode_seconds"]) + 1
    written = 4 * int(order["max_pixels"]) + 1024 * 1024
    for kind, most in (
        (resource.RLIMIT_AS, int(order["decode_memory_bytes"])),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, written),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # noqa: PLW2901  # lowering only
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            continue  # macOS refuses RLIMIT_AS; the other limits still hold


def decode(order: dict[str, Any]) -> dict[str, int]:
    """Decode, straighten, flatten and write; return the size written."""
    from PIL import Image, PngImagePlugin

    warnings.simplefilter("error")
    Image.MAX_IMAGE_PIXELS = order["max_pixels"]
    PngImagePlugin.MAX_TEXT_CHUNK = max(order["max_metadata_bytes"], order["max_profile_bytes"])
    PngImagePlugin.MAX_TEXT_MEMORY = order["max_metadata_bytes"] + order["max_profile_bytes"]
    with Image.open(order["source"], formats=[order["format"]]) as image:
        if list(image.size) != order["size"]:
            raise Refused("corrupt", "the headers of the file contradict each other")
        image.load()
        picture = flatten(to_srgb(eight_bits(upright(image))))
    write(picture, Path(order["target"]))
    return {"width": picture.width, "height": picture.height}


def upright(image: Any) -> Any:
    """Turn the picture as the camera's EXIF orientation says; unreadable EXIF means no turn."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  # EXIF is free-form bytes; whatever is wrong with it, the picture is still good
        return image


def eight_bits(image: Any) -> Any:
    """Scale 16-bit grey (mode I;16, or I) to 8 bits; Pillow's own conversion would clip at 255."""
    if not image.mode.startswith("I"):
        return image
    wide = image.convert("I")
    grey = wide.point(lambda value: value * (1 / 257)).convert("L")
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return grey


def to_srgb(image: Any) -> Any:
    """Apply the embedded colour profile (printing inks, wide-gamut cameras); a broken profile is ignored."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in {"RGB", "CMYK", "L"}:
        return image
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, Warning):
        return image
    return image if converted is None else converted


def flatten(image: Any) -> Any:
    """RGB on a white ground, whatever the mode and the kind of transparency."""
    from PIL import Image

    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGB", layer.size, WHITE)
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground
    return image.convert("RGB")


def write(picture: Any, target: Path) -> None:
    """Write a PNG without any metadata and wait until it is on disk: the rename that follows must not outrun it."""
    picture.info = {}
    with target.open("xb") as file:
        picture.save(file, format="PNG", compress_level=COMPRESSION)
        file.flush()
        os.fsync(file.fileno())


def refusal(error: Exception) -> dict[str, Any]:
    """Say what went wrong in the words of `BadImage`, or as an errno where the disk is to blame."""
    from PIL import Image

    text = str(error).lower()
    causes = (
        (isinstance(error, MemoryError), "decode_memory", "decoding needs more memory than is allowed"),
        (
            isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning),
            "too_many_pixels",
            "the picture has too many pixels",
        ),
        (isinstance(error, EOFError) or "truncated" in text, "truncated", "the file ends before the picture does"),
        ("too large" in text, "metadata_too_large", "the profile or text in the file is too large"),
        (True, "corrupt", "the picture is damaged"),
    )
    if isinstance(error, Refused):
        return {"code": error.code, "message": error.message}
    if isinstance(error, OSError) and error.errno is not None:
        return {"errno": error.errno}
    return next({"code": code, "message": message} for applies, code, message in causes if applies)


def main() -> None:
    """Obey one order."""
    order = json.loads(sys.stdin.buffer.read())
    confine(order)
    try:
        answer: dict[str, Any] = decode(order)
    except Exception as error:  # noqa: BLE001  # every failure of a decoder is an answer
        answer = refusal(error)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
