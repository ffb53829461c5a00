"""Files of every kind become upright RGB pictures, or one sentence."""

import errno
import mmap
import os
import re
import struct
import zipfile
import zlib
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from corpus import FORMATS, chunk, encoded, noise, zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import (
    jpeg2k_encode,
    jpeg8_encode,
    jpegls_encode,
    jpegxl_encode,
    png_encode,
    tiff_encode,
)
from PIL import ExifTags, Image, ImageOps

from emotion_detective.files import formats
from emotion_detective.files.pictures import open_picture, read_picture

# A notice's share of the picture.
PART = r"^The file is cut short or damaged: only (\d+)% of the picture could be read\.$"


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


def test_a_picture_of_another_opener_that_says_it_has_no_exif_is_read():
    picture = noise()
    picture.info["exif"] = None  # as pillow-heif says it in Pillow's name
    assert open_picture(picture).tobytes() == noise().tobytes()


def test_a_jpeg_without_its_last_bytes_is_read_and_said_to_be_cut(astronaut):
    whole = open_picture(encoded(astronaut, "JPEG"))
    opened = read_picture(encoded(astronaut, "JPEG")[:-1500])
    percent = int(re.search(PART, opened.notice)[1])
    assert 85 <= percent <= 97
    part = (0, 0, 512, 512 * percent // 100 - 32)
    assert opened.picture.crop(part).tobytes() == whole.crop(part).tobytes()


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "BMP", "PPM"])
def test_half_a_file_gives_half_a_picture_and_a_notice(suffix, astronaut):
    data = encoded(astronaut, suffix)
    opened = read_picture(data[: len(data) // 2])
    assert 40 <= int(re.search(PART, opened.notice)[1]) <= 60
    upper = 0 if suffix != "BMP" else 306  # stored from the bottom up
    part = (0, upper, 512, upper + 200)
    assert opened.picture.crop(part).tobytes() == open_picture(data).crop(part).tobytes()


def test_half_a_progressive_jpeg_gives_the_whole_picture_in_less_detail(astronaut):
    data = encoded(astronaut, "JPEG", progressive=True)
    opened = read_picture(data[: len(data) // 2])
    assert opened.notice.endswith("some of the picture may be missing.")
    assert mean_difference(opened.picture, astronaut) < 8


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_cut_at_its_start_is_refused_in_a_sentence(suffix):
    data = encoded(noise(200, 200), suffix)
    with pytest.raises(ValueError, match=r"broken or cut short and cannot be read; save or"):
        open_picture(data[: len(data) // 30])


@pytest.mark.parametrize("suffix", ["WEBP", "AVIF", "HEIC"])
def test_half_a_file_of_the_newer_formats_gives_its_upper_part_and_a_notice(suffix, astronaut):
    data = encoded(astronaut, suffix)
    opened = read_picture(data[: len(data) // 2])
    assert re.search(r"cut short or damaged: only (49|50)% of it is there\.$", opened.notice)
    part = (0, 0, 512, 200)
    assert mean_difference(opened.picture.crop(part), open_picture(data).crop(part)) < 1


@pytest.mark.parametrize("suffix", ["JPEG2000", "JXL"])
def test_formats_that_are_whole_or_nothing_are_refused_when_cut(suffix):
    data = encoded(noise(200, 200), suffix)
    with pytest.raises(ValueError, match=r"broken or cut short and cannot be read; save or"):
        open_picture(data[:-200])


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_shows_the_picture_and_is_told_by_its_content(suffix, astronaut):
    data = encoded(astronaut, suffix)
    opened = read_picture(data)
    assert (opened.picture.mode, opened.picture.size, opened.notice) == ("RGB", (512, 512), "")
    assert mean_difference(opened.picture, astronaut) < 4
    assert formats.is_picture("IMG_0001", data[: formats.HEAD_BYTES])


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.subtract(np.asarray(one, int), np.asarray(other, int))).mean())


def test_a_turned_heic_is_turned_once(astronaut):
    """The decoder applies the turn that phones store; EXIF states the same one again."""
    upright = astronaut.crop((0, 0, 512, 400))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    opened = open_picture(encoded(stored, "HEIC", exif=exif.tobytes()))
    assert opened.size == (512, 400)
    assert mean_difference(opened, upright) < 4


def test_the_first_picture_of_a_3d_photo_is_read(astronaut):
    data = encoded(astronaut, "MPO", save_all=True, append_images=[Image.new("RGB", (512, 512))])
    assert mean_difference(open_picture(data), astronaut) < 4


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("encode", [png_encode, tiff_encode, jpegxl_encode, jpeg2k_encode])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_16_bit_file_of_fewer_bits_is_as_bright_as_one_of_8(bits, encode, mode, astronaut):
    shown = astronaut.crop((100, 0, 300, 220)).convert(mode)
    deep = np.round(np.asarray(shown) / 255 * (2**bits - 1)).astype(np.uint16)
    opened = open_picture(bytes(encode(deep)))
    difference = np.subtract(np.asarray(opened, int), np.asarray(shown.convert("RGB"), int))
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_gray_with_transparency_in_16_bits_is_as_bright_as_in_8(bits, astronaut):
    gray = np.asarray(astronaut.convert("L"), np.uint16) << bits - 8
    clear = np.full_like(gray, 65535)
    opened = open_picture(png_encode(np.dstack([gray, clear])))
    assert mean_difference(opened, astronaut.convert("L").convert("RGB")) < 2


def as_tiff(values: np.ndarray, **options) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u4"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_tiff_of_numbers_in_colour_is_read(dtype, order, planes, astronaut):
    share = np.asarray(astronaut) / 255
    values = (share * (2**32 - 1 if dtype == "u4" else 1)).astype(dtype)
    if planes == "separate":
        values = np.moveaxis(values, -1, 0)
    data = as_tiff(values, photometric="rgb", planarconfig=planes, byteorder=order)
    assert mean_difference(open_picture(data), astronaut) < 1


def test_a_tiff_of_floats_is_turned_as_it_says(astronaut):
    lying = astronaut.crop((0, 0, 512, 400)).transpose(Image.Transpose.ROTATE_90)
    turn = [(ExifTags.Base.Orientation, "H", 1, 6, True)]  # to be turned clockwise
    data = as_tiff(np.asarray(lying) / 255, photometric="rgb", extratags=turn)
    assert mean_difference(open_picture(data), astronaut.crop((0, 0, 512, 400))) < 1


GRAY_TIFFS = {
    "double": (lambda gray: gray / 255, {}),
    "32 bits": (lambda gray: gray.astype(np.uint32) << 24, {}),
    "white is 0": (lambda gray: ~(gray.astype(np.uint16) * 257), {"photometric": "miniswhite"}),
    "white is 0 of 12 bits": (
        lambda gray: 4095 - (gray.astype(np.uint16) << 4),
        {"photometric": "miniswhite"},
    ),
    "10 bits, packed": (lambda gray: gray.astype(np.uint16) << 2, {"bitspersample": 10}),
    "large": (lambda gray: gray, {"bigtiff": True}),
}


@pytest.mark.parametrize("kind", GRAY_TIFFS)
def test_a_gray_tiff_of_any_numbers_is_read(kind, astronaut):
    change, options = GRAY_TIFFS[kind]
    gray = astronaut.convert("L")
    opened = open_picture(as_tiff(change(np.asarray(gray)), **options))
    assert mean_difference(opened, gray.convert("RGB")) < 2


def test_colours_of_16_bits_that_lie_apart_are_read(astronaut):
    planes = np.moveaxis(np.asarray(astronaut, np.uint16) * 257, -1, 0)
    data = as_tiff(planes, photometric="rgb", planarconfig="separate")
    assert mean_difference(open_picture(data), astronaut) < 1


def test_a_ppm_of_12_bits_in_16_is_as_bright_as_one_of_8(astronaut):
    values = (np.asarray(astronaut, np.uint16) << 4).astype(">u2")
    opened = open_picture(b"P6 512 512 65535\n" + values.tobytes())
    assert mean_difference(opened, astronaut) < 2


def test_the_sun_in_a_picture_of_floats_does_not_darken_it(astronaut):
    share = np.asarray(astronaut, np.float32) / 255
    share[:10, :10] = 500.0
    opened = open_picture(as_tiff(share, photometric="rgb"))
    assert mean_difference(opened.crop((0, 20, 512, 512)), astronaut.crop((0, 20, 512, 512))) < 1


def test_a_deep_picture_is_turned_as_its_exif_says(astronaut):
    shown = astronaut.crop((0, 0, 512, 400))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    png = png_encode(np.asarray(shown).astype(np.uint16) * 4)
    tagged = png[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + png[33:]
    opened = open_picture(tagged)
    assert opened.size == (400, 512)
    assert mean_difference(opened, shown.transpose(Image.Transpose.ROTATE_270)) < 2


def test_highlights_of_a_float_picture_do_not_darken_it():
    ramp = np.linspace(0, 1.3, 256, dtype=np.float32).reshape(16, 16)
    opened = open_picture(encoded(Image.fromarray(ramp), "TIFF"))
    assert np.abs(np.asarray(opened)[..., 0] - np.minimum(ramp, 1) * 255).max() <= 1


def test_an_array_an_open_file_and_bytes_give_the_same(astronaut):
    data = encoded(astronaut, "PNG")
    written = BytesIO()
    astronaut.save(written, "PNG")  # it stands at its end
    sources = np.asarray(astronaut), written, BytesIO(data), bytearray(data), memoryview(data)
    assert {open_picture(source).tobytes() for source in sources} == {astronaut.tobytes()}
    gray = np.asarray(astronaut.convert("L"))
    assert open_picture(gray).tobytes() == astronaut.convert("L").convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "NoneType"),
        ([[1, 2]], "list"),
        (StringIO("text"), "a file open as text"),
        (zipfile.ZipFile(BytesIO(zipped({"a.png": b""}))), "ZipFile"),
        (np.zeros((4, 4)), r"an array of float64 with the shape \(4, 4\)"),
        (np.zeros((3, 9, 9), np.uint8), r"an array of uint8 with the shape \(3, 9, 9\)"),
        (np.zeros((9, 9, 4), np.uint8), r"an array of uint8 with the shape \(9, 9, 4\)"),
    ],
)
def test_what_can_be_no_picture_is_a_type_error_that_lists_what_can(source, told):
    listed = "a path, bytes, an open binary file, a PIL image, or a NumPy array of uint8"
    with pytest.raises(TypeError, match=rf"^A picture is {listed} .*\(H, W, 3\).*, not {told}\.$"):
        open_picture(source)


def test_a_file_mapped_into_memory_is_read(astronaut, tmp_path):
    astronaut.save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert open_picture(mapped).tobytes() == astronaut.tobytes()


def test_a_file_that_is_closed_or_open_for_writing_says_what_to_do(tmp_path):
    path = tmp_path / "a.png"
    noise().save(path)
    with path.open("rb") as closed:
        pass
    with Image.open(path) as picture:
        pass
    with (tmp_path / "b.png").open("wb") as writing:
        for file in (closed, writing):
            with pytest.raises(ValueError, match=r"^The open file cannot be read .*'rb'\)\.$"):
                open_picture(file)
    with pytest.raises(ValueError, match=r"^The picture's file is closed .* open it again"):
        open_picture(picture)


def test_a_cut_file_that_pillow_has_opened_is_read_as_far_as_it_goes(astronaut):
    data = encoded(astronaut, "JPEG")[:-1500]
    opened = read_picture(Image.open(BytesIO(data)))
    assert opened.notice == read_picture(data).notice != ""


@pytest.mark.parametrize("data", [b"GIF", b"\x7fELF", b"Dear server,\n", bytes(5000)])
def test_what_is_no_picture_is_refused_with_the_formats(data):
    with pytest.raises(ValueError, match=r"no picture that can be read; the formats are JPEG, "):
        open_picture(data)


def test_an_empty_file_is_called_empty():
    with pytest.raises(ValueError, match=r"^The file is empty; save or upload it again\.$"):
        open_picture(b"")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg/>", "an SVG drawing"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', "an SVG drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript drawing"),
        (b"%PDF-1.7", r"a PDF document"),
        (b"8BPS\0\1", r"a Photoshop file \(PSD\)"),
        (b"qoif\0\0\0\1", "a QOI picture"),
        (b"P7\nWIDTH 2\n", "a PAM picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0", "a camera's raw file"),
        (b"<!DOCTYPE html><html>", "a web page"),
    ],
)
def test_a_format_that_is_known_but_not_read_is_named_with_what_to_do(data, name):
    sentence = rf"^The file is {name}, which is not read here; save it as JPEG or PNG\.$"
    with pytest.raises(ValueError, match=sentence):
        open_picture(data)
    assert not formats.is_picture("a", data)


@pytest.mark.parametrize(
    ("encode", "name"),
    [
        (lambda gray: jpeg8_encode(gray.astype(np.uint16) << 4, bitspersample=12), "of 12 bits a"),
        (jpegls_encode, "a JPEG-LS picture"),
    ],
)
def test_a_jpeg_that_only_few_programs_know_is_not_called_broken(encode, name):
    data = encode(np.asarray(noise().convert("L")))
    with pytest.raises(ValueError, match=rf"{name}.*, which is not read here; save it as JPEG"):
        open_picture(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"PK\3\4", "zip"),
        (b"Rar!\x1a\7", "RAR"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"7z\xbc\xaf'\x1c", "7z"),
    ],
)
def test_an_archive_is_called_one(data, name):
    with pytest.raises(ValueError, match=rf"^The file is a {name} file, not a picture; unpack it"):
        open_picture(data)


def test_the_preview_of_a_cameras_raw_file_is_not_taken_for_the_picture():
    raw = encoded(noise(), "TIFF", tiffinfo={formats.DNG: b"\1\4\0\0"})
    with pytest.raises(ValueError, match="is a camera's raw file, which is not read here"):
        open_picture(raw)


def test_a_video_is_called_one():
    with pytest.raises(ValueError, match=r"^The file is a video, not a picture; save one of its"):
        open_picture(b"\0\0\0\x18ftypisom\0\0\0\0isommp42")


def test_other_files_are_told_from_pictures_by_name_and_content():
    assert formats.is_picture("broken.JPG", b"not a picture")
    assert not formats.is_picture("._im0.png", b"\0\5\x16\7")
    for text in (b"P5 is a name", b"BMW", b"GIF", b"\xff\xfeU\0", b"notes", b""):
        assert not formats.is_picture("notes", text)


@pytest.mark.parametrize("suffix", ["HEIC", "JXL"])
def test_reading_new_formats_changes_nothing_in_pillow(suffix):
    before = dict(Image.EXTENSION), list(Image.ID)
    open_picture(encoded(noise(), suffix))
    assert (dict(Image.EXTENSION), list(Image.ID)) == before


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (256, 256), (640, 480), (1920, 1080)])
@pytest.mark.parametrize("in_container", [True, False])
def test_the_size_of_a_jxl_is_known_from_its_header(size, in_container):
    seen = []
    formats.decode_jxl(encoded(noise(*size), "JXL", usecontainer=in_container), seen.append)
    assert seen == [size]


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from(FORMATS))
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


def test_an_address_is_called_one():
    with pytest.raises(ValueError, match=r"^'https://a\.org/b\.png' is an address; download"):
        open_picture("https://a.org/b.png")


def test_a_file_that_the_system_refuses_is_a_value_error():
    with pytest.raises(ValueError, match=r"x' cannot be read \(File name too long\); check its "):
        open_picture("x" * 300)


def test_a_disk_that_fails_is_not_called_a_picture_that_is_broken(tmp_path, monkeypatch):
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "a.png").touch()
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output error"):
        open_picture(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(30_000, 4), (9_000, 9_000), (50_000, 50_000)])
def test_pictures_over_the_limits_are_refused_before_they_are_decoded(size):
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = encoded(Image.new("L", (1, 1)), "PNG")
    bomb = png[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    with pytest.raises(ValueError, match=r"64 million.*[Ss]ave it smaller"):
        open_picture(bomb)


def test_a_file_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr("emotion_detective.files.pictures.MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(ValueError, match="The file has 3 MB and the limit is 1; save it smaller"):
        open_picture(encoded(noise(1000, 1000), "BMP"))
