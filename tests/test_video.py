"""Videos give their frames upright, at a steady rate, by their own clock, and say in one sentence why they do not."""

import os
import struct
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.errors import ImageError, MissingExtra
from sameplace.images import read_image
from sameplace.images.mp4 import AGE_OF_MOV
from sameplace.images.video import START, began, check_video, clock, frame_named, frames, is_video, length, still
from sameplace.pages import picture

cv2 = pytest.importorskip("cv2")

RATE = 10.0
SIZE = 48, 64  # height and width


def written(path, pictures, rate=RATE, code="MJPG"):
    """A video of RGB pictures, which are all of one size."""
    height, width, _ = pictures[0].shape
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), rate, (width, height))
    for pixels in pictures:
        writer.write(np.ascontiguousarray(pixels[..., ::-1]))
    writer.release()
    return path


def grey(level, size=SIZE):
    return np.full((*size, 3), level, np.uint8)


def halves(left, right, size=SIZE):
    pixels = np.empty((*size, 3), np.uint8)
    pixels[:, : size[1] // 2], pixels[:, size[1] // 2 :] = left, right
    return pixels


def turned(path, to):
    """The same MP4 with a header that asks for a quarter turn clockwise, as phones held upright write it."""
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 44
    assert struct.unpack(">9i", content[matrix : matrix + 36])[0] == 1 << 16
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE[0] << 16, 0, 1 << 30)
    to.write_bytes(content)
    return to


@pytest.fixture
def ramp(tmp_path):
    """Five seconds of a picture that grows lighter."""
    return written(tmp_path / "ramp.avi", [grey(5 * number) for number in range(50)])


@pytest.mark.parametrize(("every", "wanted"), [(1.0, [0, 1, 2, 3, 4]), (2.5, [0, 2.5]), (60.0, [0]), (0.25, np.arange(20) / 4)])
def test_frames_come_at_the_rate_that_was_asked_for_with_their_times(ramp, every, wanted):
    found = list(frames(ramp, SIZE, every=every))
    shown = np.ceil(np.array(wanted) * RATE - 1e-9)  # the first frame at that time or after
    assert [frame.seconds for frame in found] == pytest.approx(shown / RATE)
    assert [frame.pixels.mean() for frame in found] == pytest.approx(5 * shown, abs=3)
    assert found[0].name == f"{ramp} @ 00:00.{'0' if every >= 0.5 else '000'}"


def test_a_frame_is_the_photo_that_it_shows(tmp_path):
    red, blue = (200, 20, 20), (20, 20, 200)
    (frame,) = frames(written(tmp_path / "still.avi", [halves(red, blue)]), SIZE)
    assert np.abs(frame.pixels[:, :24] - np.array(red, float)).max() < 12
    assert np.abs(frame.pixels[:, 40:] - np.array(blue, float)).max() < 12
    np.testing.assert_array_equal(read_image(frame.content, SIZE), frame.pixels)


def test_frames_are_turned_upright_as_the_container_says(tmp_path):
    light = written(tmp_path / "flat.mp4", [halves(250, 5)] * 12, code="mp4v")
    (flat, *_), (upright, *_) = (list(frames(video, (64, 64))) for video in (light, turned(light, tmp_path / "upright.mp4")))
    np.testing.assert_allclose(upright.pixels.mean(axis=(1, 2)), flat.pixels.mean(axis=(0, 2)), atol=8)
    assert upright.pixels[:24].min() > 200 > 50 > upright.pixels[-24:].max()


def test_a_long_video_needs_no_more_memory_than_a_short_one(tmp_path):
    peaks = []
    for seconds in (5, 50):
        video = written(tmp_path / f"{seconds}.avi", [grey(7)] * (10 * seconds))
        tracemalloc.start()
        assert sum(1 for _ in frames(video, (480, 640), every=0.1)) == 10 * seconds
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_frame_is_found_again_by_its_name(ramp, tmp_path):
    light = written(tmp_path / "odd @ 00:01.0.avi", [grey(number) for number in range(0, 250, 5)])
    for video, every in ((ramp, 1.0), (light, 0.3)):
        for frame in frames(video, SIZE, every=every):
            path, seconds = frame_named(frame.name)
            assert path == video
            np.testing.assert_allclose(still(path, seconds, 64), frame.pixels, atol=2)
    assert still(ramp, 0.0, 32).shape == (24, 32, 3)
    assert frame_named("gone.avi @ 00:01.0") is None
    assert frame_named(str(ramp)) is None
    (tmp_path / "empty.avi").write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty.avi is empty"):
        still(tmp_path / "empty.avi", 0.0, 64)
    with pytest.raises(ImageError, match=r"ramp.avi has no frame at 01:00.0; was it replaced"):
        still(ramp, 60.0, 64)


def test_a_page_shows_the_frames_of_a_video(ramp):
    shown = [picture(f"{ramp} @ 00:0{second}.0", 32) for second in (1, 4)]
    assert all('width="32" height="24"' in one for one in shown)
    assert shown[0] != shown[1]
    assert "is no longer there" in picture(f"{ramp}.gone @ 00:01.0", 32)


def test_a_video_is_known_by_its_first_bytes_or_its_name(ramp, tmp_path):
    (tmp_path / "renamed").write_bytes(ramp.read_bytes())
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    assert [is_video(tmp_path / name) for name in ("ramp.avi", "renamed", "photo.jpg", "photo.heic", "gone.MOV", "gone.jpg")] == [
        True, True, False, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "start",
    [
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",  # Canon's CR3
        b"GIF89a\x40\0\x40\0",
        b"GIF87a\x40\0\x40\0",
        b"\xff\xd8\xff\xe1\x47\x10Exif\0\0",  # 18 kB of EXIF
        b"II*\0\x47\0\0\0",
        b"MM\0*\x47\0\0\0",
        b"RIFF\x47\0\0\0WEBPVP8 ",
    ],
)
def test_no_photo_is_taken_for_a_video_whatever_bytes_stand_where_packets_would_begin(start, tmp_path):
    content = bytearray(start.ljust(START + 100, b"\x47"))
    (tmp_path / "photo").write_bytes(content)
    assert not is_video(tmp_path / "photo")
    with pytest.raises(ImageError, match="is no video that can be read"):
        check_video(tmp_path / "photo")


def test_a_transport_stream_is_a_video_and_one_g_or_two_are_none(tmp_path):
    stream = written(tmp_path / "walk.ts", [grey(number) for number in range(30)], code="mp4v")
    packets = [stream.read_bytes()[start : start + 188] for start in range(0, 188 * 9, 188)]
    (tmp_path / "plain").write_bytes(b"".join(packets))
    (tmp_path / "stamped").write_bytes(b"".join(b"\0\0\0\7" + packet for packet in packets))  # as camcorders write M2TS
    (tmp_path / "two").write_bytes(b"".join(packets[:2]) + bytes(500))
    assert [is_video(tmp_path / name) for name in ("plain", "stamped", "two")] == [True, True, False]
    assert [frame.seconds for frame in frames(stream, SIZE)] == pytest.approx([0.0, 1.0, 2.0], abs=0.15)


def test_an_mp4_tells_when_it_began_and_another_video_does_not(tmp_path):
    moment = datetime(2024, 6, 12, 14, 3, tzinfo=UTC).timestamp()
    video = written(tmp_path / "walk.mp4", [grey(9)] * 3, code="mp4v")
    assert began(video) is None
    content = bytearray(video.read_bytes())
    at = content.find(b"mvhd") + 8
    content[at : at + 4] = struct.pack(">I", int(moment) + AGE_OF_MOV)
    video.write_bytes(content)
    assert began(video) == moment
    assert began(written(tmp_path / "walk.avi", [grey(9)] * 3)) is None
    assert began(tmp_path / "gone.mp4") is None


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=20))
def test_no_header_is_so_broken_that_it_is_not_read_to_an_end(tmp_path_factory, start, end):
    file = tmp_path_factory.mktemp("header") / "broken.mp4"
    for middle in (b"", b"\0\0\0\x40moov", b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff", b"\0\0\0\0moov\0\0\0\x10mvhd"):
        file.write_bytes(start + middle + end)
        assert began(file) is None or began(file) > 0


def test_what_is_no_video_is_one_sentence_with_its_cure(ramp, tmp_path):
    film = written(tmp_path / "whole.mp4", [halves(200, number) for number in range(50)], code="mp4v").read_bytes()
    cases = {
        "empty.mp4": (b"", "is empty; copy it again"),
        "noise.mp4": (bytes(range(256)) * 20, "is no video that can be read"),
        "playlist.mp4": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is no video that can be read"),
        "cut.mp4": (film[: len(film) // 2], "is broken or cut off"),
        "head.mp4": (film[:40], "is broken or cut off"),
    }
    for name, (content, told) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=told) as raised:
            list(frames(tmp_path / name, SIZE))
        assert str(raised.value).startswith(name)
        assert "\n" not in str(raised.value)
    with pytest.raises(ImageError, match="There is no video at"):
        list(frames(tmp_path / "gone.mp4", SIZE))
    with pytest.raises(ImageError, match="is a folder"):
        list(frames(tmp_path, SIZE))
    with pytest.raises(ImageError, match="64 x 48 pixels, but at most 3,000 are read; convert it"):
        list(frames(ramp, SIZE, pixel_limit=3000))
    with pytest.raises(ValueError, match="every=0; 1 is usual"):
        list(frames(ramp, SIZE, every=0.0))


def test_ffmpeg_does_not_talk_past_the_sentence(tmp_path):
    (tmp_path / "cut.mp4").write_bytes(written(tmp_path / "whole.mp4", [grey(3)] * 20, code="mp4v").read_bytes()[:-300])
    code = "import sys, sameplace.images.video as v\ntry: list(v.frames(sys.argv[1], (8, 8)))\nexcept Exception as e: print(e)"
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cut.mp4")], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("cut.mp4 is broken or cut off")
    assert told.stderr == ""


def test_of_a_video_that_was_cut_off_the_frames_come_that_are_there(ramp, tmp_path):
    content = ramp.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    following = frames(tmp_path / "cut.avi", SIZE)
    assert [next(following).seconds for _ in range(2)] == [0.0, 1.0]
    with pytest.raises(ImageError, match=r"cut.avi was cut off: it ends after 00:0[12]\.\d of 00:05\.0"):
        list(following)


def trimmed(path, to, seconds, left):
    """The same MP4 with its beginning hidden by the edit list, as phones trim videos."""
    content = bytearray(path.read_bytes())
    for kind, place in (("mvhd", 20), ("tkhd", 24), ("elst", 12)):  # thousandths of a second
        at = content.find(kind.encode()) + place
        content[at : at + 4] = struct.pack(">I", int(1000 * left))
    at, scale = content.find(b"elst") + 16, content.find(b"mdhd") + 16
    content[at : at + 4] = struct.pack(">I", int(seconds * struct.unpack(">I", content[scale : scale + 4])[0]))
    to.write_bytes(content)
    return to


def test_a_video_whose_beginning_was_trimmed_is_whole(tmp_path):
    whole = written(tmp_path / "whole.mp4", [grey(2 * number) for number in range(100)], code="mp4v")
    video = trimmed(whole, tmp_path / "trimmed.mp4", 6.0, 4.0)
    found = list(frames(video, SIZE))
    assert [frame.pixels.mean() for frame in found] == pytest.approx([120, 140, 160, 180], abs=5)
    assert [length(one) for one in (whole, video)] == [10.0, 4.0]


def test_a_header_that_knows_no_length_or_that_of_the_sound_promises_no_more_than_what_is_stored(tmp_path):
    content = bytearray(written(tmp_path / "whole.mp4", [grey(9)] * 30, code="mp4v").read_bytes())
    at = content.find(b"mvhd") + 20
    for units in (0, 2**32 - 1, 60_000):
        content[at : at + 4] = struct.pack(">I", units)
        (tmp_path / "other.mp4").write_bytes(content)
        assert length(tmp_path / "other.mp4") == 3.0
        assert len(list(frames(tmp_path / "other.mp4", SIZE))) == 3


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems refuse such names")
def test_a_name_that_is_not_utf_8_is_one_sentence_and_does_not_end_the_process(ramp, tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    (odd / "walk.avi").write_bytes(ramp.read_bytes())
    code = (
        "import os, sys, sameplace.images.video as v\n"
        "video = os.fsdecode(os.fsencode(sys.argv[1]))\n"
        "for ask in (lambda: list(v.frames(video, (8, 8))), lambda: v.still(video, 0.0, 8)):\n"
        "    try: ask()\n"
        "    except v.ImageError as error: print(error)\n"
        "print(v.length(video))"
    )
    told = subprocess.run([sys.executable, "-c", code, str(odd / "walk.avi")], capture_output=True, text=True, check=False)
    assert told.returncode == 0
    *sentences, seconds = told.stdout.splitlines()
    assert len(sentences) == 2
    assert all(one.endswith("is not written in UTF-8, as OpenCV needs it; rename the video or its folder.") for one in sentences)
    assert seconds == "0.0"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_no_broken_byte_gets_past_one_sentence(tmp_path_factory, seed, broken):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("broken")
    content = bytearray(written(folder / "fine.mp4", [halves(20 * number, 99) for number in range(12)], code="mp4v").read_bytes())
    for place in rng.integers(0, len(content), broken):
        content[place] = rng.integers(256)
    (folder / "broken.mp4").write_bytes(content)
    found, told = [], ""
    try:
        found += frames(folder / "broken.mp4", SIZE, every=0.1)
    except ImageError as error:
        told = str(error)
    assert "\n" not in told
    assert found or told
    assert all(frame.pixels.shape == (*SIZE, 3) for frame in found)


def test_without_opencv_the_extra_is_named(ramp, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"Reading videos needs .* pip install 'sameplace\[video\]'"):
        list(frames(ramp, SIZE))


def test_opencv_is_loaded_by_nobody_who_asks_for_no_video():
    code = (
        "import sys, sameplace, sameplace.atlas, sameplace.images.video as v; v.is_video('a.mp4'); assert 'cv2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONWARNINGS": ""})


@given(st.floats(0, 1e5), st.sampled_from([1, 3]))
def test_a_time_is_written_so_that_it_can_be_read_again(seconds, digits):
    *hours, minutes, rest = clock(seconds, digits).split(":")
    assert int(minutes) < 60
    assert float(rest) < 60
    assert int(hours[0] if hours else 0) * 3600 + int(minutes) * 60 + float(rest) == pytest.approx(seconds, abs=0.51 * 10**-digits)
