"""Pixels: whatever people photograph with and save as, upright and in colour; whatever is broken, one sentence."""

import contextlib
import io
import re
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from sameplace.errors import ImageError
from sameplace.images import PIXEL_LIMIT, read_image

quick = settings(deadline=None, max_examples=100)


def photo(width=120, height=90):
    """Soft colours and a few hard edges, and no symmetry."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([255 * across, 255 * down, 127 + 120 * np.sin(9 * across + 4 * down)], axis=-1)
    pixels[height // 5 : height // 3, width // 6 : width // 2] = (250, 30, 60)
    pixels[height // 2 :, width // 2 : width // 2 + width // 8] = (10, 90, 20)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def exif(**tags):
    written = Image.Exif()
    for name, value in tags.items():
        written[ExifTags.Base[name]] = value
    return written.tobytes()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def off(pixels, others):
    """Mean and worst difference in levels of 0..255."""
    differences = np.abs(pixels.astype(int) - np.asarray(others).astype(int))
    return differences.mean(), differences.max()


PNG = saved(photo(), "PNG")


@quick
@given(st.integers(1, 300), st.integers(1, 300))
def test_any_size_wanted_is_the_size_got(height, width):
    pixels = read_image(PNG, (height, width))
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8


def test_the_whole_photo_is_squashed_and_nothing_cut_off():
    halves = Image.new("RGB", (400, 100), "red")
    halves.paste("blue", (200, 0, 400, 100))
    pixels = read_image(saved(halves, "PNG"), (64, 64))
    assert np.all(pixels[:, :28] == (255, 0, 0))
    assert np.all(pixels[:, 36:] == (0, 0, 255))


def test_a_fine_pattern_becomes_its_mean_and_no_moire():
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(read_image(saved(Image.fromarray(stripes), "PNG"), (30, 30)).astype(int) - 127).max() <= 6


def test_a_path_and_its_bytes_are_the_same_photo_whatever_its_name(tmp_path):
    path = tmp_path / "png.jpg"
    path.write_bytes(PNG)
    np.testing.assert_array_equal(read_image(path, (48, 64)), read_image(PNG, (48, 64)))
    np.testing.assert_array_equal(read_image(str(path), (48, 64)), read_image(PNG, (48, 64)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(form, orientation):
    options = {"quality": 95} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    stored = saved(photo(), form, exif=exif(Orientation=orientation), **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stored))).resize((40, 30), Image.Resampling.BICUBIC)
    mean, worst = off(read_image(stored, (30, 40)), upright)
    assert worst <= 2  # Pillow rounds between its two passes, and here they change places
    assert mean < 0.2


@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_a_jpeg_decoded_small_is_nearly_the_one_decoded_whole(orientation):
    stored = saved(photo(1603, 1201), "JPEG", quality=92, exif=exif(Orientation=orientation))
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(stored))).resize((80, 70), Image.Resampling.BICUBIC)
    mean, worst = off(read_image(stored, (70, 80)), whole)
    assert mean < 0.25
    assert worst < 12


@quick
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([1, 3, 5, 8]))
def test_a_jpeg_is_never_decoded_smaller_than_twice_what_is_wanted(height, width, orientation):
    decoded = []
    stored = saved(photo(410, 330), "JPEG", exif=exif(Orientation=orientation))

    class Watched(JpegImageFile):
        def load(self):
            decoded.append(self.size)
            return super().load()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sameplace.images.reading.READERS", ((Watched, re.compile(b"")),))
        read_image(stored, (height, width))
    across, down = decoded[0]
    wanted_across, wanted_down = (height, width) if orientation >= 5 else (width, height)
    assert (across, down) == (410, 330) or (across >= 2 * wanted_across and down >= 2 * wanted_down)


# Ways to store the same colours, with the mean difference in levels that each one may cost.
SAVED_AS = {
    "jpeg": (saved(photo(), "JPEG", quality=95), 3),
    "progressive jpeg": (saved(photo(), "JPEG", quality=95, progressive=True), 3),
    "cmyk jpeg": (saved(photo().convert("CMYK"), "JPEG", quality=95), 3),
    "cmyk tiff": (saved(photo().convert("CMYK"), "TIFF"), 1),
    "webp": (saved(photo(), "WEBP", quality=95), 4),
    "palette": (saved(photo().quantize(256), "PNG"), 8),
    "opaque alpha": (saved(photo().convert("RGBA"), "PNG"), 0.1),
    "tiff": (saved(photo(), "TIFF", compression="tiff_lzw"), 0.1),
    "bmp": (saved(photo(), "BMP"), 0.1),
    "gif": (saved(photo().quantize(256), "GIF"), 8),
    "ppm": (saved(photo(), "PPM"), 0.1),
}


@pytest.mark.parametrize(("stored", "allowed"), SAVED_AS.values(), ids=SAVED_AS)
def test_the_same_colours_are_read_however_they_are_stored(stored, allowed):
    assert off(read_image(stored, (45, 60)), read_image(PNG, (45, 60)))[0] <= allowed


RAMP = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (8, 1))
GREY_AS = {
    "8 bit": saved(Image.fromarray((RAMP * 255).round().astype(np.uint8)), "PNG"),
    "16 bit png": saved(Image.fromarray((RAMP * 65535).round().astype(np.uint16)), "PNG"),
    "16 bit tiff": saved(Image.fromarray((RAMP * 65535).round().astype(np.uint16)), "TIFF"),
    "32 bit tiff": saved(Image.fromarray((RAMP * 65535).round().astype(np.int32)), "TIFF"),
    "float 0..1": saved(Image.fromarray(RAMP), "TIFF"),
    "float 0..255": saved(Image.fromarray(RAMP * 255), "TIFF"),
    "float 0..65535": saved(Image.fromarray(RAMP * 65535), "TIFF"),
    "float -3..40000000": saved(Image.fromarray(RAMP * 40000003 - 3), "TIFF"),
    "grey and alpha": saved(Image.fromarray((RAMP * 255).round().astype(np.uint8)).convert("LA"), "PNG"),
    "grey jpeg": saved(Image.fromarray((RAMP * 255).round().astype(np.uint8)), "JPEG", quality=100),
}


@pytest.mark.parametrize("stored", GREY_AS.values(), ids=GREY_AS)
def test_grey_of_any_depth_keeps_its_levels_and_is_not_clipped(stored):
    pixels = read_image(stored, (8, 256))
    assert off(pixels, np.repeat((RAMP * 255).round()[:, :, None], 3, axis=2))[1] <= 1


def test_a_dark_16_bit_photo_stays_dark():
    dark = saved(Image.fromarray(np.full((8, 8), 257 * 3, dtype=np.uint16)), "PNG")
    assert np.all(read_image(dark, (8, 8)) == 3)


def test_colours_of_16_bits_keep_their_upper_eight():
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0" + struct.pack(">HHH", 0xFF80, 0x8000, 0x0180))
    stored = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(read_image(stored, (1, 1)), [[[0xFF, 0x80, 0x01]]])


def test_levels_that_are_no_number_are_black():
    holes = RAMP.copy()
    holes[:, 100:] = np.nan
    pixels = read_image(saved(Image.fromarray(holes), "TIFF"), (8, 256))
    assert np.all(pixels[:, 110:] == 0)
    assert pixels[0, 90, 0] == 90


def test_black_and_white_is_grey_between_when_small():
    checks = (np.indices((64, 64)).sum(axis=0) % 2).astype(bool)
    assert np.abs(read_image(saved(Image.fromarray(checks), "PNG"), (8, 8)).astype(int) - 127).max() <= 2


def test_what_is_transparent_shows_mid_grey_whatever_colour_hides_there():
    layer = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    layer.paste((0, 0, 255, 255), (10, 0, 20, 10))
    palette = Image.new("P", (20, 10), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (10, 0, 20, 10))
    for stored in (saved(layer, "PNG"), saved(layer, "WEBP", lossless=True), saved(palette, "PNG", transparency=0)):
        pixels = read_image(stored, (10, 20))
        assert np.all(pixels[:, :8] == 128)
        assert np.all(pixels[:, 12:] == (0, 0, 255))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_of_moving_pictures_the_first_is_read(form):
    first, second = Image.new("RGB", (16, 16), (200, 40, 40)), Image.new("RGB", (16, 16), (40, 200, 40))
    options = {"lossless": True} if form == "WEBP" else {}
    stored = saved(first, form, save_all=True, append_images=[second], duration=100, **options)
    assert off(read_image(stored, (4, 4)), np.full((4, 4, 3), (200, 40, 40)))[1] <= 3


BROKEN = {
    "empty": (b"", "is empty; copy it again"),
    "text": (b"Dear diary, today", "no image that can be read.*export it as JPEG"),
    "html": (b"<!DOCTYPE html><p>404", "no image that can be read.*export it as JPEG"),
    "cut jpeg": (SAVED_AS["jpeg"][0][:2000], "broken or cut off .*; copy it again"),
    "cut png": (PNG[: len(PNG) // 2], "broken or cut off .*; copy it again"),
    "cut webp": (SAVED_AS["webp"][0][:900], "broken or cut off .*; copy it again"),
    "cut tiff": (SAVED_AS["tiff"][0][:900], "broken or cut off .*; copy it again"),
    "cut bmp": (SAVED_AS["bmp"][0][:900], "broken or cut off .*; copy it again"),
    "cut gif": (SAVED_AS["gif"][0][:1500], "broken or cut off .*; copy it again"),
    "only a signature": (b"\xff\xd8\xff", "broken or cut off .*; copy it again"),
    "no width": (png_that_claims(0, 10), "broken or cut off .*; copy it again"),
    "bomb": (png_that_claims(50_000, 50_000), "has 50,000 x 50,000 pixels, but at most 100,000,000 are read; make it smaller"),
}


@pytest.mark.parametrize(("stored", "sentence"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_photo_is_refused_in_one_sentence(stored, sentence, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(stored)
    with pytest.raises(ImageError, match=sentence) as refusal:
        read_image(path, (32, 32))
    assert "photo.jpg" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ImageError, match=sentence):
        read_image(stored, (32, 32))


def test_a_path_without_a_photo_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"no photo at .*gone.jpg; check the path"):
        read_image(tmp_path / "gone.jpg", (32, 32))
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path, (32, 32))
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image("nul\0byte.jpg", (32, 32))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([PNG, *(stored for stored, _ in SAVED_AS.values()), *GREY_AS.values()]), st.data())
def test_whatever_the_bytes_there_are_pixels_or_an_image_error(stored, data):
    position = data.draw(st.integers(0, min(len(stored) - 1, 1500)))
    harm = data.draw(st.sampled_from(["cut", "change", "drop"]))
    if harm == "cut":
        stored = stored[: data.draw(st.integers(0, len(stored)))]
    elif harm == "change":
        stored = stored[:position] + data.draw(st.binary(min_size=1, max_size=4)) + stored[position + 4 :]
    else:
        stored = stored[:position] + stored[position + data.draw(st.integers(1, 50)) :]
    with contextlib.suppress(ImageError):
        assert read_image(stored, (16, 24), pixel_limit=200_000).shape == (16, 24, 3)


def test_a_large_baseline_jpeg_is_read_small_where_other_large_images_are_refused():
    large = photo(1600, 1200)
    assert read_image(saved(large, "JPEG"), (64, 64), pixel_limit=200_000).shape == (64, 64, 3)
    for stored in (saved(large, "JPEG", progressive=True), saved(large, "PNG")):
        with pytest.raises(ImageError, match="raise pixel_limit"):
            read_image(stored, (64, 64), pixel_limit=200_000)
        assert read_image(stored, (64, 64), pixel_limit=2_000_000).shape == (64, 64, 3)
    with pytest.raises(ImageError, match="at most 1,500,000 are read"):  # ten times the limit is the end for these too
        read_image(saved(large, "JPEG"), (64, 64), pixel_limit=150_000)
    with pytest.raises(ImageError, match="at most 200,000 are read"):  # too many are left where the reduction must stop
        read_image(saved(large, "JPEG"), (600, 600), pixel_limit=200_000)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read where Linux tells it")
def test_a_200_megapixel_jpeg_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (16384, 12288), (90, 120, 30)).save(path)
    script = """
import re, sys
from pathlib import Path
from sameplace.images import read_image
peak = lambda: int(re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1]) // 1024
before = peak()
read_image(sys.argv[1], (224, 224))
print(peak() - before)
"""
    answer = subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, text=True).stdout
    assert int(answer) < 50  # megabytes; decoded whole it has 800


def test_large_images_are_measured_by_the_limit_given_and_not_by_pillows():
    before = Image.MAX_IMAGE_PIXELS
    claims = png_that_claims(30_000, 10_000)  # far over what makes Pillow itself refuse
    with pytest.raises(ImageError, match="30,000 x 10,000"):
        read_image(claims, (8, 8))
    with pytest.raises(ImageError, match="broken or cut off"):  # allowed, but it holds no pixels
        read_image(png_that_claims(300, 100), (8, 8), pixel_limit=30_000)
    assert before == Image.MAX_IMAGE_PIXELS
    assert PIXEL_LIMIT == 100_000_000


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr("sameplace.images.reading.LARGE_PIXELS", 10_000)
    inside, most = 0, 0
    lock = threading.Lock()

    class Watched(JpegImageFile):
        def load(self):
            nonlocal inside, most
            if not self.tile:  # decoded already
                return super().load()
            with lock:
                inside += 1
                most = max(most, inside)
            answer = super().load()
            with lock:
                inside -= 1
            return answer

    monkeypatch.setattr("sameplace.images.reading.READERS", ((Watched, re.compile(b"")),))
    large = saved(photo(700, 500), "JPEG")
    with ThreadPoolExecutor(6) as threads:
        pixels = list(threads.map(lambda _: read_image(large, (300, 300)), range(24)))
    assert most == 1
    assert all((one == pixels[0]).all() for one in pixels)


def test_a_file_read_at_once_and_one_read_bit_by_bit_are_the_same_photo(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    path.write_bytes(SAVED_AS["jpeg"][0])
    at_once = read_image(path, (40, 50))
    for limit in (1, 1000, path.stat().st_size, path.stat().st_size + 1):
        monkeypatch.setattr("sameplace.images.reading.SMALL_BYTES", limit)
        np.testing.assert_array_equal(read_image(path, (40, 50)), at_once)


def test_broken_exif_costs_neither_the_photo_nor_a_warning():
    good = exif(Make="A camera with a long name", Orientation=6)
    broken = saved(photo(), "JPEG", quality=95, exif=good[:-12])
    with pytest.warns(UserWarning, match="EXIF|Truncated"):  # what Pillow says by itself
        Image.open(io.BytesIO(broken)).getexif()
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        assert read_image(broken, (40, 30)).shape == (40, 30, 3)
    assert not remarks


def test_many_threads_read_the_same_as_one_and_leave_no_trace():
    broken = saved(photo(), "JPEG", exif=exif(Make="A camera with a long name")[:-12])
    sources = [PNG, broken, *(stored for stored, _ in SAVED_AS.values()), *GREY_AS.values(), b"no photo"] * 4

    def read(source):
        try:
            return read_image(source, (24, 32)).tobytes()
        except ImageError as error:
            return str(error)

    filters = list(warnings.filters)
    alone = [read(source) for source in sources]
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(8) as threads:
            together = list(threads.map(read, sources))
    assert together == alone
    assert not remarks
    assert list(warnings.filters) == filters
    assert threading.active_count() < 8


HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def test_heic_without_its_extra_names_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'sameplace\[heic\]'"):
        read_image(HEIC_START, (8, 8))


def test_heic_is_read_upright_where_the_extra_is_installed():
    heif = pytest.importorskip("pillow_heif")
    with pytest.raises(ImageError, match="broken or cut off"):
        read_image(HEIC_START, (8, 8))
    stream = io.BytesIO()
    heif.from_pillow(photo()).save(stream, quality=95, exif=exif(Orientation=6))
    turned = photo().transpose(Image.Transpose.ROTATE_270).resize((30, 40), Image.Resampling.BICUBIC)
    assert off(read_image(stream.getvalue(), (40, 30)), turned)[0] < 4


@pytest.mark.data
def test_real_photos_are_read_like_pillow_reads_them_whole(data_folder):
    photos = sorted(data_folder.glob("penn_campus/images/*"))[:20] + sorted(data_folder.glob("gardens_point/*/*"))[::50]
    assert len(photos) > 20
    for path in photos:
        with Image.open(path) as image:
            whole = ImageOps.exif_transpose(image).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        assert off(read_image(path, (224, 224)), whole)[0] < 0.5
