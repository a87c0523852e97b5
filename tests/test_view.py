"""Views: parts and turns of photos, wherever photos are read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sameplace import describe
from sameplace.errors import ImageError
from sameplace.images import View, read_image

UPSIDE_DOWN, ON_ITS_SIDE = 3, 6


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """24 x 16 pixels, no two alike, so that every pixel tells where it comes from."""
    pixels = np.arange(24 * 16 * 3, dtype=np.uint32).reshape(16, 24, 3) * 2654435761 >> 24
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_view_of_all_of_a_photo_is_the_photo(photo: Path) -> None:
    assert (read_image(View(path=photo), (16, 24)) == read_image(photo, (16, 24))).all()


def test_a_part_is_cut_out_of_the_pixels(photo: Path) -> None:
    part = read_image(View(path=photo, box=(3.0, 2.0, 13.0, 9.0)), (7, 10))
    assert (part == read_image(photo, (16, 24))[2:9, 3:13]).all()


def test_edges_are_rounded_and_cut_to_the_photo(photo: Path) -> None:
    part = read_image(View(path=photo, box=(-5.0, 1.6, 4.4, 99.0)), (14, 4))
    assert (part == read_image(photo, (16, 24))[2:16, 0:4]).all()


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4])
def test_a_turn_is_a_quarter_counter_clockwise_after_the_cut(photo: Path, turns: int) -> None:
    expected = np.rot90(read_image(photo, (16, 24))[2:9, 3:13], turns)
    assert (read_image(View(path=photo, box=(3.0, 2.0, 13.0, 9.0), turns=turns), expected.shape[:2]) == expected).all()
    whole = np.rot90(read_image(photo, (16, 24)), turns)
    assert (read_image(View(path=photo, turns=turns), whole.shape[:2]) == whole).all()


@pytest.mark.parametrize("orientation", [UPSIDE_DOWN, ON_ITS_SIDE])
def test_a_part_is_measured_on_the_upright_photo(tmp_path: Path, photo: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(photo).save(tmp_path / "held.png", exif=exif)
    height, width = (24, 16) if orientation == ON_ITS_SIDE else (16, 24)
    upright = read_image(tmp_path / "held.png", (height, width))
    part = read_image(View(path=tmp_path / "held.png", box=(3.0, 2.0, 13.0, 9.0)), (7, 10))
    assert (part == upright[2:9, 3:13]).all()


def test_no_pixel_outside_a_part_is_mixed_in(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:48, 16:48] = 200
    Image.fromarray(pixels).save(tmp_path / "square.png")
    assert (read_image(View(path=tmp_path / "square.png", box=(16.0, 16.0, 48.0, 48.0)), (8, 8)) == 200).all()


def test_a_part_that_is_not_in_the_photo_says_so(photo: Path) -> None:
    with pytest.raises(ImageError, match=r"24 x 16 pixels; check that list and photo belong together"):
        read_image(View(path=photo, box=(30.0, 0.0, 40.0, 10.0)), (8, 8))


def test_views_are_described_and_named(photo: Path, tiny_describer) -> None:
    missing = View(path=photo.with_name("missing.png"), turns=1)
    part = View(path=photo, box=(3.0, 2.0, 13.0, 9.0))
    (batch,) = describe([part, missing], tiny_describer)
    assert batch.rows.tolist() == [0]
    assert (batch.descriptors == tiny_describer.describe(read_image(part, tiny_describer.size)[None])).all()
    assert batch.failures[0].path.endswith("missing.png (turned by 90 degrees)")
