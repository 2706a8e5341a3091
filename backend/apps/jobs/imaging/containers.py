"""The containers, walked block by block: size of the canvas, frames and metadata, and no pixel.

Why not `PIL.Image.open`: for WebP it reads the whole file and sets up a decoder of the announced canvas, and for GIF
the number of frames is found by processing every one. Here a hostile file costs a few kilobytes of reads. The
decoding child uses Pillow and compares, so a file on which the two disagree is refused.

Sources: PNG third edition (W3C 2025), ITU-T T.81 annex B, GIF89a (CompuServe 1990), RFC 9649 (WebP), BITMAPINFOHEADER
(Microsoft).
"""

from collections.abc import Callable

from apps.jobs.imaging.model import BadImage, ImageInfo
from apps.jobs.imaging.reader import Reader

PNG = b"\x89PNG\r\n\x1a\n"
PNG_MODES = {(0, 1): "1", (0, 16): "I;16", (0, 0): "L", (2, 0): "RGB", (3, 0): "P", (4, 0): "LA", (6, 0): "RGBA"}
JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
BMP_MODES = {1: "1", 4: "P", 8: "P", 16: "RGB", 24: "RGB", 32: "RGB"}


def png(reader: Reader) -> ImageInfo:
    """PNG and APNG: a list of chunks from IHDR to IEND."""
    reader.skip(len(PNG))
    if reader.number(4) != 13 or reader.take(4) != b"IHDR":
        raise BadImage("corrupt", "a PNG must begin with its header chunk")
    width, height, depth, colour = reader.number(4), reader.number(4), reader.number(1), reader.number(1)
    mode = PNG_MODES.get((colour, depth)) or PNG_MODES.get((colour, 0))
    if mode is None:
        raise BadImage("corrupt", "the PNG has an unknown colour type")
    reader.skip(3 + 4)
    frames = 1
    while (chunk := _png_chunk(reader)) != b"IEND":
        if chunk.startswith(b"acTL"):
            frames = max(1, int.from_bytes(chunk[4:8]))
            reader.frames(frames)
    return ImageInfo("PNG", width, height, frames, mode)


def _png_chunk(reader: Reader) -> bytes:
    """Step over one chunk and return its name, with the frame count behind it for acTL."""
    reader.block()
    length, name = reader.number(4), reader.take(4)
    if name in {b"tEXt", b"zTXt", b"iTXt", b"eXIf"}:
        reader.metadata(length)
    if name == b"iCCP":
        reader.profile(length)
    if name == b"acTL" and length == 8:
        name += reader.take(4)
        length -= 4
    reader.skip(length + 4)
    return name


def jpeg(reader: Reader) -> ImageInfo:
    """JPEG: marker segments up to the start of frame, whichever of the coding processes it names."""
    reader.skip(2)
    profile = 0
    while True:
        reader.block()
        marker = _jpeg_marker(reader)
        if marker in {0xD9, 0xDA}:
            raise BadImage("corrupt", "the JPEG has no frame header before its data")
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # TEM, RSTn and SOI stand alone
            continue
        length = reader.number(2) - 2
        if length < 0:
            raise BadImage("corrupt", "the JPEG has a segment of impossible length")
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return _jpeg_frame(reader)
        if marker == 0xE2:
            profile += length
            reader.profile(profile)
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            reader.metadata(length)
        reader.skip(length)


def _jpeg_marker(reader: Reader) -> int:
    if reader.number(1) != 0xFF:
        raise BadImage("corrupt", "the JPEG has rubbish between its segments")
    while (marker := reader.number(1)) == 0xFF:  # fill bytes are allowed before a marker
        reader.block()
    return marker


def _jpeg_frame(reader: Reader) -> ImageInfo:
    reader.skip(1)
    height, width, components = reader.number(2), reader.number(2), reader.number(1)
    mode = JPEG_MODES.get(components)
    if mode is None:
        raise BadImage("corrupt", f"the JPEG has {components} colour components")
    return ImageInfo("JPEG", width, height, 1, mode)


def gif(reader: Reader) -> ImageInfo:
    """GIF: blocks up to the trailer, each image block a frame. A missing trailer is common and forgiven."""
    reader.skip(6)
    width, height, flags = reader.number(2, "little"), reader.number(2, "little"), reader.number(1)
    reader.skip(2 + _gif_palette(flags))
    frames = 0
    while reader.left and (kind := reader.number(1)) != 0x3B:
        reader.block()
        if kind == 0x21:
            label = reader.number(1)
            _gif_data(reader, text=label in {0xFE, 0xFF})
        elif kind == 0x2C:
            right, bottom = _gif_image(reader)
            width, height = (max(width, right), max(height, bottom)) if frames == 0 else (width, height)
            frames += 1
            reader.frames(frames)
        else:
            raise BadImage("corrupt", "the GIF has a block of unknown kind")
    if frames == 0:
        raise BadImage("corrupt", "the GIF has no picture in it")
    return ImageInfo("GIF", width, height, frames, "P")


def _gif_palette(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_image(reader: Reader) -> tuple[int, int]:
    left, top, width, height = (reader.number(2, "little") for _ in range(4))
    reader.skip(_gif_palette(reader.number(1)) + 1)
    _gif_data(reader)
    return left + width, top + height


def _gif_data(reader: Reader, *, text: bool = False) -> None:
    while length := reader.number(1):
        reader.block()
        if text:
            reader.metadata(length)
        reader.skip(length)


def webp(reader: Reader) -> ImageInfo:
    """WebP: RIFF chunks; simple lossy, simple lossless, or extended with alpha, animation and metadata."""
    reader.skip(4)
    end = 8 + reader.number(4, "little")
    reader.skip(4)
    if end > reader.size:
        raise BadImage("truncated", "the file is shorter than it says")
    found: ImageInfo | None = None
    frames = 0
    while reader.tell() + 8 <= end:
        reader.block()
        name, length = reader.take(4), reader.number(4, "little")
        following = reader.tell() + length + length % 2
        if found is None:
            found = _webp_canvas(reader, name)
        if name == b"ANMF":
            frames += 1
            reader.frames(frames)
        _webp_metadata(reader, name, length)
        reader.goto(min(following, reader.size))
    if found is None:
        raise BadImage("corrupt", "the WebP has no picture in it")
    return ImageInfo("WEBP", found.width, found.height, max(1, frames), found.mode)


def _webp_metadata(reader: Reader, name: bytes, length: int) -> None:
    if name == b"ICCP":
        reader.profile(length)
    elif name in {b"EXIF", b"XMP "}:
        reader.metadata(length)


def _webp_canvas(reader: Reader, name: bytes) -> ImageInfo:
    if name == b"VP8X":
        flags = reader.number(4, "little")
        width, height = 1 + reader.number(3, "little"), 1 + reader.number(3, "little")
        return ImageInfo("WEBP", width, height, 1, "RGBA" if flags & 0x10 else "RGB")
    if name == b"VP8L":
        reader.skip(1)
        bits = reader.number(4, "little")
        return ImageInfo("WEBP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 1, "RGBA" if bits >> 28 & 1 else "RGB")
    if name == b"VP8 ":
        reader.skip(6)
        width, height = reader.number(2, "little") & 0x3FFF, reader.number(2, "little") & 0x3FFF
        return ImageInfo("WEBP", width, height, 1, "RGB")
    raise BadImage("corrupt", "the WebP does not begin with a picture")


def bmp(reader: Reader) -> ImageInfo:
    """BMP: a fixed header. A negative height means rows from the top."""
    reader.skip(14)
    if reader.number(4, "little") == 12:
        width, height = reader.number(2, "little"), reader.number(2, "little")
    else:
        width = reader.number(4, "little")
        height = abs(int.from_bytes(reader.take(4), "little", signed=True))
    reader.skip(2)
    mode = BMP_MODES.get(reader.number(2, "little"))
    if mode is None:
        raise BadImage("corrupt", "the BMP has an unknown number of bits per pixel")
    return ImageInfo("BMP", width, height, 1, mode)


WALKERS: tuple[tuple[Callable[[bytes], bool], Callable[[Reader], ImageInfo]], ...] = (
    (lambda head: head.startswith(PNG), png),
    (lambda head: head.startswith(b"\xff\xd8\xff"), jpeg),
    (lambda head: head.startswith((b"GIF87a", b"GIF89a")), gif),
    (lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP", webp),
    (lambda head: head.startswith(b"BM"), bmp),
)
