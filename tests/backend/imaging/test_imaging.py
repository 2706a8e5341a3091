"""What is refused and why, and what the safe copy looks like."""

import contextlib
import io
import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from apps.jobs.imaging import CODES, BadImage, ImageInfo, ImageLimits, children, inspect, normalise, normalising
from intelli_fixtures.processes import runs, until

SMALL = ImageLimits(max_pixels=10_000, max_frames=3, max_profile_bytes=1000, max_metadata_bytes=1000)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, *chunks: bytes, colour: int = 2, data: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def frames(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (8, 6), (index * 20 % 256, 5, 9)) for index in range(count)]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(data: bytes, limits: ImageLimits | None = None) -> str:
    with pytest.raises(BadImage) as caught:
        inspect(io.BytesIO(data), limits)
    assert caught.value.code in CODES
    assert caught.value.message
    return caught.value.code


def refused_copy(data: bytes, folder: Path, limits: ImageLimits | None = None) -> str:
    source = folder / "source"
    source.write_bytes(data)
    with pytest.raises(BadImage) as caught:
        normalise(source, folder / "target.png", limits)
    assert names_in(folder) == ["source"], "nothing may be left behind"
    return caught.value.code


def test_inspect_agrees_with_pillow_on_every_sample(samples):
    for path in samples.all():
        with Image.open(path) as image:
            expected = ImageInfo(str(image.format), *image.size, getattr(image, "n_frames", 1), image.mode)
        assert inspect(path) == expected, path.name


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_inspect_counts_the_frames_of_animations(kind):
    first, *rest = frames(5)
    data = encoded(first, kind, save_all=True, append_images=rest)
    assert inspect(io.BytesIO(data)).frames == 5
    assert refused(data, SMALL) == "too_many_frames"


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP"]), st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_inspect_reads_the_size_of_every_format(kind, width, height):
    info = inspect(io.BytesIO(encoded(Image.new("RGB", (width, height)), kind)))
    assert (info.format, info.width, info.height) == (kind, width, height)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0", "lossless": False}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_inspect_reads_all_three_kinds_of_webp(mode, options):
    picture = Image.effect_noise((37, 51), 40).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    info = inspect(io.BytesIO(encoded(picture, "WEBP", **options)))
    assert (info.width, info.height, info.mode) == (37, 51, mode)


@given(st.binary(max_size=200), st.sampled_from(["", "PNG", "JPEG", "WEBP", "GIF", "BMP"]), st.randoms())
@settings(max_examples=400, deadline=None)
def test_inspect_of_damaged_bytes_only_ever_says_bad_image(noise, kind, rng):
    data = bytearray(encoded(Image.linear_gradient("L").resize((20, 10)).convert("RGB"), kind) if kind else noise)
    for byte in noise[:8]:
        if data:
            data[rng.randrange(len(data))] = byte
    with contextlib.suppress(BadImage):
        inspect(io.BytesIO(bytes(data[: rng.randrange(len(data) + 1)])))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "not_an_image"),
        (b"MZ" + bytes(300), "not_an_image"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "truncated"),
        (b"\xff\xd8\xff\xd9", "corrupt"),
        (b"GIF89a", "truncated"),
        (b"RIFF\xff\xff\xff\x7fWEBPVP8 ", "truncated"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "unsupported_format"),
        (b"\xef\xbb\xbf <?xml version='1.0'?><svg/>", "unsupported_format"),
        (b"<!DOCTYPE svg PUBLIC><svg/>", "unsupported_format"),
        (b"II*\x00" + bytes(100), "unsupported_format"),
        (b"\x00\x00\x00\x20ftypavif" + bytes(100), "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (png_of(0, 5), "corrupt"),
        (png_of(9000, 9000), "too_many_pixels"),
        (png_of(2**31 - 1, 1), "side_too_long"),
        (png_of(2**31 - 1, 2**31 - 1), "side_too_long"),
    ],
)  # fmt: skip
def test_refusals(data, code):
    assert refused(data) == code


def test_caps_on_bytes_profiles_text_and_blocks():
    assert refused(png_of(4, 4), ImageLimits(max_bytes=20)) == "too_large"
    for big in (chunk(b"iCCP", bytes(2000)), chunk(b"tEXt", bytes(2000)), chunk(b"eXIf", bytes(2000))):
        assert refused(png_of(4, 4, big), SMALL) == "metadata_too_large"
    many_small = b"".join(chunk(b"tEXt", bytes(100)) for _ in range(20))
    assert refused(png_of(4, 4, many_small), SMALL) == "metadata_too_large", "counted together"
    assert refused(png_of(4, 4, chunk(b"juNK", b"") * 50), ImageLimits(max_blocks=20)) == "metadata_too_large"
    picture = Image.new("RGB", (8, 8))
    assert refused(encoded(picture, "JPEG", exif=bytes(3000)), SMALL) == "metadata_too_large"
    assert refused(encoded(picture, "JPEG", icc_profile=bytes(70_000)), SMALL) == "metadata_too_large"
    assert refused(encoded(picture, "WEBP", icc_profile=bytes(3000)), SMALL) == "metadata_too_large"
    assert refused(encoded(picture, "GIF", comment=b"x" * 3000), SMALL) == "metadata_too_large"


def test_inspect_leaves_the_file_open_and_at_its_beginning():
    file = io.BytesIO(png_of(4, 4))
    inspect(file)
    assert file.tell() == 0
    assert not file.closed


def test_every_sample_becomes_an_upright_rgb_png(samples, tmp_path):
    for path in samples.all():
        target = tmp_path / "copy.png"
        info = normalise(path, target)
        with Image.open(path) as image, Image.open(target) as copy:
            copy.load()
            assert info == ImageInfo("PNG", *copy.size, 1, "RGB") == inspect(target)
            assert copy.size == ImageOps.exif_transpose(image).size
            assert not set(copy.info) & {"exif", "icc_profile", "transparency", "comment"}
    assert names_in(tmp_path) == ["copy.png"]


def normalised(data: bytes, folder: Path) -> np.ndarray:
    (folder / "source").write_bytes(data)
    normalise(folder / "source", folder / "copy.png")
    with Image.open(folder / "copy.png") as copy:
        return np.asarray(copy)


def test_a_rotated_photograph_is_turned_the_right_way(samples, tmp_path):
    with Image.open(samples.odd["exif-rotated"]) as image:
        upright = np.asarray(image.convert("RGB").transpose(Image.Transpose.ROTATE_270)).astype(int)
    copy = normalised(samples.odd["exif-rotated"].read_bytes(), tmp_path)
    assert np.abs(copy - upright).max() == 0


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, axis=0)
    copy = normalised(encoded(Image.fromarray(ramp), "PNG"), tmp_path)
    assert np.abs(copy[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_white(mode, tmp_path):
    picture = Image.new("RGBA", (6, 2), (200, 0, 0, 255))
    picture.paste((200, 0, 0, 0), (0, 0, 3, 2))
    copy = normalised(encoded(picture.quantize() if mode == "P" else picture.convert(mode), "PNG"), tmp_path)
    assert (copy[:, :3] == 255).all()
    assert (copy[:, 3:] < 255).any(axis=2).all()


def test_cmyk_ink_becomes_the_colour_it_prints(tmp_path):
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow ink is red
    red, green, blue = normalised(encoded(picture, "JPEG", quality=95), tmp_path)[8, 8]
    assert red > 200
    assert max(green, blue) < 60


def test_an_embedded_profile_is_applied_and_a_broken_one_ignored(tmp_path):
    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGB", (4, 4), (10, 120, 200))
    for profile in (lab_like, b"no profile at all"):
        copy = normalised(encoded(picture, "PNG", icc_profile=profile), tmp_path)
        assert np.abs(copy[0, 0].astype(int) - (10, 120, 200)).max() <= 1


def test_only_the_first_frame_is_used(tmp_path):
    first, *rest = frames(4)
    copy = normalised(encoded(first, "GIF", save_all=True, append_images=rest), tmp_path)
    assert tuple(copy[0, 0]) == (0, 5, 9)


def test_a_polyglot_loses_its_tail(tmp_path):
    normalised(encoded(Image.new("RGB", (4, 4)), "PNG") + b"<script>alert(1)</script>", tmp_path)
    assert b"script" not in (tmp_path / "copy.png").read_bytes()


def test_damaged_pictures_are_refused_with_their_code(tmp_path):
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        data = encoded(noise, kind)
        assert refused_copy(data[: len(data) // 2], tmp_path) in {"truncated", "corrupt"}, kind
    flipped = bytearray(encoded(noise, "PNG"))
    flipped[len(flipped) // 2] ^= 0xFF
    assert refused_copy(bytes(flipped), tmp_path) in {"corrupt", "truncated"}


def test_text_that_inflates_is_refused_by_the_child(tmp_path):
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    assert refused_copy(png_of(4, 4, bomb, data=bytes(13 * 4)), tmp_path) == "metadata_too_large"


def test_a_bomb_costs_its_child_and_not_its_caller(tmp_path):
    """6000 x 6000 pixels in 5 kB: within the pixel cap, beyond the memory allowed here."""
    if sys.platform == "win32":
        pytest.skip("Windows has no RLIMIT_AS")
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = png_of(6000, 6000, colour=0, data=bytes(6001 * 6000))
    limits = ImageLimits(decode_memory_bytes=160 * 1024 * 1024)
    assert len(bomb) < 60_000
    assert refused_copy(bomb, tmp_path, limits) == "decode_memory"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000, "kB"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "CMYK"])
def test_the_largest_allowed_pictures_fit_the_default_memory(mode, tmp_path):
    side = 6324  # 40 megapixels less a little
    (tmp_path / "source").write_bytes(encoded(Image.new(mode, (side, side)), "JPEG" if mode == "CMYK" else "PNG"))
    assert normalise(tmp_path / "source", tmp_path / "copy.png", ImageLimits(decode_seconds=60)).width == side


def with_decoder(program: str, folder: Path, monkeypatch) -> bytes:
    """Play a child that misbehaves as only a broken native decoder can."""
    (folder / "decoder.py").write_text(program)
    monkeypatch.setattr(normalising, "DECODER", folder / "decoder.py")
    return encoded(Image.new("RGB", (4, 4)), "PNG")


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import time; time.sleep(60)", "decode_timeout"),
        ("import os; os.abort()", "decode_crashed"),
        ("print('{}', end=''); raise SystemExit(3)", "decode_crashed"),
        ("print('not json')", "decode_crashed"),
    ],
)
def test_a_child_that_hangs_or_dies(program, code, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    data = with_decoder(program, folder, monkeypatch)
    assert refused_copy(data, work, ImageLimits(decode_seconds=1.0)) == code


@pytest.fixture
def nursed(tmp_path) -> Path:
    """A decoder that tells its nursery's pid, or dies when told to."""
    decoder = tmp_path / "decoder.py"
    decoder.write_text("import os, sys\nif 'die' in sys.stdin.read(): os.abort()\nprint(os.getppid(), end='')")
    return decoder


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no nursery")
def test_a_crash_costs_its_child_and_not_the_nursery(nursed):
    first, crashed, second = (children.run(nursed, order, 10) for order in (b"{}", b'"die"', b"{}"))
    assert crashed == (-signal.SIGABRT, b"")
    assert first == second
    assert first[0] == 0
    assert first[1].isdigit()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no nursery")
def test_a_nursery_ends_with_a_worker_that_is_killed(nursed):
    worker = (
        "import os, pathlib, sys; from apps.jobs.imaging import children;"
        "print(children.run(pathlib.Path(sys.argv[1]), b'{}', 10)[1].decode(), flush=True); os.kill(os.getpid(), 9)"
    )
    argv = [sys.executable, "-c", worker, str(nursed)]
    backend = Path(children.__file__).parents[3]
    done = subprocess.run(argv, cwd=backend, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    until(lambda: not runs(int(done.stdout)), 10, "the end of the nursery")


def test_the_child_inherits_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("DJANGO_SECRET_KEY", "canary-7f3a")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    data = with_decoder(
        f"import os, sys; open({str(folder / 'seen')!r}, 'w').write(repr([dict(os.environ), sys.argv, sys.path]))",
        folder,
        monkeypatch,
    )
    (tmp_path / "source").write_bytes(data)
    with pytest.raises(BadImage, match="decode_crashed"):
        normalise(tmp_path / "source", tmp_path / "copy.png")
    assert "canary-7f3a" not in (folder / "seen").read_text()
    assert f"'{tmp_path}'" not in (folder / "seen").read_text()


def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    data = with_decoder("print('{\"errno\": 28}')", folder, monkeypatch)
    (tmp_path / "source").write_bytes(data)
    with pytest.raises(OSError, match="No space left"):
        normalise(tmp_path / "source", tmp_path / "copy.png")
    assert names_in(tmp_path) == ["elsewhere", "source"]


def test_a_missing_folder_is_an_os_error_and_not_the_pictures_fault(tmp_path, samples):
    with pytest.raises(FileNotFoundError):
        normalise(samples.odd["gray"], tmp_path / "nowhere" / "copy.png")


def test_the_package_imports_neither_django_nor_pillow():
    program = "import sys, apps.jobs.imaging; assert not {'django', 'celery', 'PIL', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3] / "backend", check=True)
