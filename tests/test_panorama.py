"""Panoramas to tiles: oracles are panoramas whose colour is a known function of direction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace.errors import ImageError
from sameplace.images.panorama import Lens, Panorama, pose_heading, rays

SMALL = Lens(width=64, height=48)
yaws = st.floats(-720, 720, allow_nan=False)
pitches = st.floats(-90, 90, allow_nan=False)


def looks_of(height):
    """Where each pixel of a panorama looks: right, up, ahead."""
    yaw = ((np.arange(2 * height) + 0.5) / height - 1) * np.pi
    up = (0.5 - (np.arange(height) + 0.5) / height)[:, None] * np.pi
    return np.stack(np.broadcast_arrays(np.cos(up) * np.sin(yaw), np.sin(up), np.cos(up) * np.cos(yaw)), axis=2)


def waves(looks, frequency=3.0):
    right, up, ahead = np.moveaxis(looks, 2, 0)
    return 127.5 + 120 * np.stack(
        [np.sin(frequency * right + up), np.cos(frequency * up - ahead), np.sin(frequency * ahead + right + 1)], axis=2
    )


def drawn(height, colours=waves):
    return Panorama(np.rint(colours(looks_of(height))).astype(np.uint8))


def turned(looks, yaw_deg):
    angle = np.radians(yaw_deg)
    right, up, ahead = np.moveaxis(looks, 2, 0)
    return np.stack([right * np.cos(angle) + ahead * np.sin(angle), up, ahead * np.cos(angle) - right * np.sin(angle)], axis=2)


def tile_of(panorama, yaw, pitch, lens=SMALL):
    (tile,) = panorama.tiles([(yaw, pitch)], lens)
    return tile


def bound(height, frequency=3.0):
    """Levels that a tile of `waves` can be wrong by: half the curvature times the tents' squared spread, in both directions.

    Along a meridian the curvature is at most (frequency + 1)^2 amplitudes, plus the gradient's where the sphere bends; the squared
    spread is at most a quarter of a pixel's where sampling is bilinear (half of that on either side), and below 0.45 in the tents
    that SMALL needs at 230 rows. 1.2 levels are rounding: half of the panorama's, half of the tile's, and of the weights.
    """
    spread = 0.25 if height / np.pi / SMALL.focal <= 1 else 0.45
    return 1.2 + spread * (np.pi / height) ** 2 * 120 * ((frequency + 1) ** 2 + frequency + 1)


@given(pitches, st.floats(10, 150), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_rays_are_unit_vectors_and_the_edges_are_the_field_of_view_apart(pitch, field_of_view, width, height):
    lens = Lens(width=2 * width, height=2 * height + 1, field_of_view=field_of_view)
    looks = rays(lens, pitch)
    assert np.allclose(np.linalg.norm(looks, axis=2), 1)
    middle = looks[height].sum(axis=0)
    assert np.degrees(np.arctan2(middle[1], middle[2])) == pytest.approx(pitch, abs=1e-6)
    # The middles of the outermost pixels lie half a pixel within the edges.
    between = np.degrees(np.arccos(np.clip(looks[height, 0] @ looks[height, -1], -1, 1)))
    expected = 2 * np.degrees(np.arctan((lens.width / 2 - 0.5) / lens.focal))
    assert between == pytest.approx(expected, abs=1e-4)


@given(yaws, pitches)
@settings(deadline=None, max_examples=60)
def test_a_tile_shows_the_colours_of_its_directions_wherever_it_looks_seam_and_poles_included(yaw, pitch):
    panorama = PANORAMA
    tile = tile_of(panorama, yaw, pitch)
    expected = waves(turned(rays(SMALL, pitch), yaw))
    assert np.abs(tile - expected).max() <= bound(128)


PANORAMA = drawn(128)


@given(yaws, pitches)
@settings(deadline=None, max_examples=40)
def test_directions_make_the_round_trip(yaw, pitch):
    """A panorama that writes each pixel's direction into its colour gives back the directions of the tile's rays."""
    tile = tile_of(COMPASS, yaw, pitch)
    seen = (tile - 127.5) / 127.5
    seen /= np.linalg.norm(seen, axis=2, keepdims=True)
    cosines = (seen * turned(rays(SMALL, pitch), yaw)).sum(axis=2)
    # A level of 255 is half a degree; three channels of one level each are less than one.
    assert np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))) < 0.9


COMPASS = drawn(512, colours=lambda looks: 127.5 + 127.5 * looks)


@pytest.mark.parametrize("height", [32, 64, 128, 170, 230])
def test_the_error_falls_with_the_square_of_the_panoramas_fineness(height):
    # Finer ones are first made as coarse as the tile.
    panorama = drawn(height, colours=lambda looks: waves(looks, 6.0))
    error = np.abs(tile_of(panorama, 170.0, 30.0) - waves(turned(rays(SMALL, 30.0), 170.0), 6.0)).max()
    assert error <= bound(height, 6.0)


@pytest.mark.parametrize("pitch", [0.0, 26.5, 90.0, -90.0, -60.0])
def test_turning_the_panorama_by_whole_columns_turns_the_tile_bit_by_bit(pitch):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 180, 3), np.uint8)
    for columns in (1, 45, 90, 179):
        rolled = Panorama(np.roll(pixels, -columns, axis=1))
        assert np.array_equal(tile_of(rolled, 10.0, pitch), tile_of(Panorama(pixels), 10.0 + 2.0 * columns, pitch))


def test_the_seam_is_like_any_other_place():
    """Of noise, where one wrong pixel would show, the tile across the seam is that across the middle of a rolled panorama."""
    pixels = np.random.default_rng(1).integers(0, 256, (128, 256, 3), np.uint8)
    across = tile_of(Panorama(pixels), 180.0, 12.0)
    assert np.array_equal(across, tile_of(Panorama(np.roll(pixels, 128, axis=1)), 0.0, 12.0))


def test_looking_straight_up_one_may_turn_around():
    """Half a turn at the zenith is the same picture upside down, though every meridian meets there."""
    panorama = drawn(256)
    up, turned_up = tile_of(panorama, 0.0, 90.0), tile_of(panorama, 180.0, 90.0)
    assert np.abs(up.astype(int) - turned_up[::-1, ::-1].astype(int)).max() <= 1


def test_a_panorama_of_one_colour_gives_tiles_of_that_colour():
    for level in (0, 1, 127, 254, 255):
        panorama = Panorama(np.full((200, 400, 3), level, np.uint8))
        for lens in (Lens(width=50, height=50, field_of_view=90.0), Lens(width=8, height=8, field_of_view=150.0), SMALL):
            for tile in panorama.tiles([(33.3, 4.0), (0.0, 90.0), (200.0, -70.0)], lens):
                assert np.all(tile == level)


def test_a_tile_as_fine_as_the_panorama_is_sampled_bilinearly_pixel_by_pixel():
    """The naive loop: four neighbours, wrapped around the world, at a handful of pixels."""
    pixels = np.random.default_rng(2).integers(0, 256, (64, 128, 3), np.uint8)
    tile = tile_of(Panorama(pixels), 175.0, 20.0)
    looks = turned(rays(SMALL, 20.0), 175.0)
    for line, place in [(0, 0), (47, 63), (24, 32), (10, 50), (40, 3)]:
        right, up, ahead = looks[line, place]
        column = (np.arctan2(right, ahead) / np.pi + 1) * 64 - 0.5
        row = (0.5 - np.arcsin(up) / np.pi) * 64 - 0.5
        left, top = int(np.floor(column)), int(np.floor(row))
        a, b = column - left, row - top
        corners = [[pixels[top + down, (left + over) % 128].astype(float) for over in (0, 1)] for down in (0, 1)]
        expected = (1 - b) * ((1 - a) * corners[0][0] + a * corners[0][1]) + b * ((1 - a) * corners[1][0] + a * corners[1][1])
        assert np.abs(tile[line, place] - expected).max() <= 0.7


def test_over_the_poles_the_naive_loop_goes_on_on_the_other_side():
    pixels = np.random.default_rng(3).integers(0, 256, (64, 128, 3), np.uint8)
    lens = Lens(width=33, height=33, field_of_view=5.0)

    def pixel(row, column):
        inside, column = (row, column) if 0 <= row < 64 else ((-1 - row) % 128 if row < 0 else 127 - row, column + 64)
        return pixels[inside, column % 128].astype(float)

    for pitch in (90.0, 88.5, -89.0):
        tile, looks = tile_of(Panorama(pixels), 40.0, pitch, lens), turned(rays(lens, pitch), 40.0)
        for line in range(0, 33, 4):
            for place in range(2, 33, 5):
                right, up, ahead = looks[line, place]
                column = (np.arctan2(right, ahead) / np.pi + 1) * 64 - 0.5
                row = (0.5 - np.arctan2(up, np.hypot(right, ahead)) / np.pi) * 64 - 0.5
                left, top = int(np.floor(column)), int(np.floor(row))
                a, b = column - left, row - top
                upper = (1 - a) * pixel(top, left) + a * pixel(top, left + 1)
                lower = (1 - a) * pixel(top + 1, left) + a * pixel(top + 1, left + 1)
                assert np.abs(tile[line, place] - ((1 - b) * upper + b * lower)).max() <= 0.7


@pytest.mark.parametrize("height", [150, 175, 190, 205, 230])
def test_a_ramp_stays_that_ramp_where_the_tile_is_somewhat_coarser(height):
    """Of a straight ramp, twenty levels to a row, no average over neighbours is off: a twelfth of a pixel would be two levels."""
    panorama = drawn(height, lambda looks: np.clip(127.5 + 20 * height / np.pi * np.arcsin(looks[..., [1, 1, 1]]), 0, 255))
    lens = Lens(width=64, height=12)
    up = np.arcsin(rays(lens, 0.3)[..., 1])
    inside = np.abs(up) < 3.5 * np.pi / height
    expected = 127.5 + 20 * height / np.pi * up
    assert inside.sum() > 100
    assert np.abs(tile_of(panorama, 0.0, 0.3, lens)[..., 0] - expected)[inside].max() <= 1.3


def test_stripes_too_fine_for_a_tile_become_grey_instead_of_moire():
    stripes = np.zeros((1024, 2048, 3), np.uint8)
    stripes[:, ::2] = 255
    checks = stripes.copy()
    checks[::2] = 255 - checks[::2]
    for pixels in (stripes, checks):
        coarse = tile_of(Panorama(pixels), 3.0, 10.0, Lens(width=64, height=48, field_of_view=60.0))
        assert np.abs(coarse.astype(float) - 127.5).max() < 8


def test_what_a_coarse_tile_averages_stays_where_it_is():
    """The centre of gravity of a bright dot does not move by an eighth of a pixel, however coarse the tile is."""
    panorama = drawn(512, colours=lambda looks: 255 * np.exp(-((1 - looks[..., 2:]) * 800)).repeat(3, axis=2))
    for width in (64, 48, 40, 24):
        tile = tile_of(panorama, 0.0, 0.0, Lens(width=width, height=width, field_of_view=20.0))[..., 0].astype(float)
        places = np.arange(width) + 0.5 - width / 2
        assert abs((tile.sum(axis=0) * places).sum() / tile.sum()) < 0.02
        assert abs((tile.sum(axis=1) * places).sum() / tile.sum()) < 0.02


def test_the_published_layouts_tiles_overlap_where_they_should():
    """The right half of a tile is seen in the left half of the one 30 degrees further on, at the same directions."""
    panorama = drawn(512)
    first, second = panorama.tiles([(0.0, 0.0), (30.0, 0.0)], Lens())
    lens = Lens()
    column = int(320 + lens.focal * np.tan(np.radians(20)))  # 20 degrees right of the first is 10 left of the second
    other = int(320 - lens.focal * np.tan(np.radians(10)))
    assert np.abs(first[240, column].astype(int) - second[240, other].astype(int)).max() <= 2


def test_a_file_is_read_as_fine_as_its_tiles_can_show(tmp_path):
    panorama = drawn(1024, colours=lambda looks: waves(looks, 2.0))
    Image.fromarray(panorama.pixels).save(tmp_path / "sphere.png")
    opened = Panorama.open(tmp_path / "sphere.png", SMALL)
    assert opened.pixels.shape[0] < 400
    assert opened.pixels.shape[1] == 2 * opened.pixels.shape[0]
    expected = waves(turned(rays(SMALL, 4.0), 180.0), 2.0)
    assert np.abs(tile_of(opened, 180.0, 4.0) - expected).max() <= 2.5
    assert np.array_equal(Panorama.open(tmp_path / "sphere.png", Lens()).pixels, panorama.pixels)


def test_no_tile_is_made_where_none_is_asked_for():
    assert list(PANORAMA.tiles([])) == []


@pytest.mark.parametrize("size", [(640, 480), (100, 51), (50, 100)])
def test_what_does_not_show_the_whole_sphere_is_one_sentence(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "flat.jpg")
    with pytest.raises(ImageError, match=r"flat.jpg has .* twice as wide as high; give equirectangular"):
        Panorama.open(tmp_path / "flat.jpg")


def test_what_is_cut_off_is_one_sentence(tmp_path):
    Image.fromarray(PANORAMA.pixels).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "part.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="broken or cut off"):
        Panorama.open(tmp_path / "part.jpg")


def test_a_panorama_beyond_the_limit_is_one_sentence(tmp_path):
    header = b"P6\n30000 15000\n255\n"
    (tmp_path / "huge.ppm").write_bytes(header)
    with pytest.raises(ImageError, match=r"30,000 x 15,000 pixels, but at most 100,000,000"):
        Panorama.open(tmp_path / "huge.ppm")


@pytest.mark.parametrize("wrong", [{"width": 0}, {"height": -1}, {"field_of_view": 180.0}, {"field_of_view": 0.0}])
def test_a_lens_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="field of view between 0 and 180"):
        Lens(**wrong)


@pytest.mark.parametrize(
    "text", [b'<rdf:Description GPano:PoseHeadingDegrees="271.5"/>', b"<GPano:PoseHeadingDegrees>-88.5</GPano:PoseHeadingDegrees>"]
)
def test_the_heading_of_a_photo_sphere_is_read(tmp_path, text):
    Image.new("RGB", (8, 4)).save(tmp_path / "sphere.jpg", xmp=text)
    assert pose_heading(tmp_path / "sphere.jpg") == 271.5
    Image.new("RGB", (8, 4)).save(tmp_path / "silent.jpg")
    assert pose_heading(tmp_path / "silent.jpg") is None
