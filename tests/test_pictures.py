"""Files of every kind become upright RGB pictures, or one sentence."""

import struct
import zlib

import numpy as np
import pytest
from corpus import encoded, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from emotion_detective.inference.pictures import open_picture


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1"])
def test_modes_become_rgb_as_transformers_does_it(mode):
    picture = noise(31, 17).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    expected = ImageOps.exif_transpose(picture).convert("RGB")
    assert open_picture(picture).tobytes() == expected.tobytes()


def test_16_bits_give_what_8_bits_give():
    gray = np.asarray(noise(40, 30).convert("L"))
    deep = encoded(Image.fromarray(gray.astype(np.uint16) * 257), "PNG")
    np.testing.assert_array_equal(np.asarray(open_picture(deep))[..., 0], gray)


def test_float_pictures_from_0_to_1_keep_their_grays():
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    opened = open_picture(encoded(Image.fromarray(ramp), "TIFF"))
    assert np.abs(np.asarray(opened)[..., 0] - ramp * 255).max() <= 1


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (30, 30), color) for color in ("red", "blue")]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_picture(animation).getpixel((5, 5)) == (255, 0, 0)


def test_path_bytes_and_picture_give_the_same(tmp_path):
    path = tmp_path / "a.jpg"
    noise(50, 40).save(path)
    pictures = [open_picture(source) for source in (path, str(path), path.read_bytes())]
    assert len({picture.tobytes() for picture in pictures}) == 1
    assert open_picture(pictures[0]).tobytes() == pictures[0].tobytes()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_cost_the_picture():
    data = encoded(noise(30, 20), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff junk")
    assert open_picture(data).size == (30, 20)


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_cut_files_are_refused_in_a_sentence(suffix):
    data = encoded(noise(200, 200), suffix)
    with pytest.raises(ValueError, match=r"cannot be read|can be read"):
        open_picture(data[: len(data) // 2])


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\x03\x04", b"\x7fELF"]
)
def test_what_is_no_picture_is_refused_with_the_formats(data):
    with pytest.raises(ValueError, match=r"no picture that can be read; the formats are JPEG, "):
        open_picture(data)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]))
def test_flipped_bytes_give_a_picture_or_a_value_error(data, suffix):
    file = bytearray(encoded(noise(40, 30), suffix))
    for _ in range(data.draw(st.integers(1, 20))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = open_picture(bytes(file))
    except ValueError:
        return
    assert picture.mode == "RGB" and min(picture.size) >= 1


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("rows_a_strip", [1, 1000])
def test_a_tiff_of_many_strips_is_read(compression, rows_a_strip):
    picture = noise(1000, 1000)
    tags = {278: rows_a_strip}  # RowsPerStrip
    data = encoded(picture, "TIFF", compression=compression, tiffinfo=tags)
    assert open_picture(data).tobytes() == picture.tobytes()


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match=r"There is no file 'nowhere\.png'; check the path"):
        open_picture("nowhere.png")


@pytest.mark.parametrize("size", [(30_000, 4), (9_000, 9_000), (50_000, 50_000)])
def test_pictures_over_the_limits_are_refused_before_they_are_decoded(size):
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = encoded(Image.new("L", (1, 1)), "PNG")
    bomb = png[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    with pytest.raises(ValueError, match=r"64 million.*[Ss]ave it smaller"):
        open_picture(bomb)


def test_a_file_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr("emotion_detective.inference.pictures.MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(ValueError, match="The file has 3 MB and the limit is 1; save it smaller"):
        open_picture(encoded(noise(1000, 1000), "BMP"))
