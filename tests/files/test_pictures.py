"""Files of every kind become upright RGB pictures, or one sentence."""

import mmap
import re
import zipfile
from io import BytesIO, StringIO

import numpy as np
import pytest
import tifffile
from corpus import FORMATS, chunk, encoded, noise, zipped
from imagecodecs import jpeg2k_encode, jpegls_encode, jpegxl_encode, png_encode, tiff_encode
from PIL import ExifTags, Image, ImageOps

from emotion_detective.files import formats, read_picture
from emotion_detective.files.decoders import DNG

# A notice's fraction of the picture.
PART = r"^The file is cut short or damaged: only (\d+)% of the picture could be read\.$"
BROKEN = r"is broken, cut short or of a rare kind, and cannot be read; save or upload it again"


def read(source) -> Image.Image:
    return read_picture(source).picture


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.subtract(np.asarray(one, int), np.asarray(other, int))).mean())


def refuses(source, sentence: str, error: type[Exception] = ValueError) -> bool:
    with pytest.raises(error, match=sentence):
        read_picture(source)
    return True


# What is read


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1"])
def test_modes_become_rgb_as_transformers_does_it(mode):
    picture = noise(31, 17).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    expected = ImageOps.exif_transpose(picture).convert("RGB")
    assert read(picture).tobytes() == expected.tobytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_known_by_its_content_and_shown(suffix, astronaut):
    data = encoded(astronaut, suffix)
    opened = read_picture(data)
    assert (opened.picture.mode, opened.picture.size, opened.notice) == ("RGB", (512, 512), "")
    assert mean_difference(opened.picture, astronaut) < 4
    assert formats.is_picture("IMG_0001", data[: formats.HEAD_BYTES])


def test_the_first_picture_of_an_animation_and_of_a_3d_photo_is_read(astronaut):
    other = [Image.new("RGB", (512, 512))]
    for suffix in ("MPO", "GIF", "WEBP", "PNG"):
        data = encoded(astronaut, suffix, save_all=True, append_images=other)
        opened = read_picture(data)
        assert mean_difference(opened.picture, astronaut) < 10
        said = (
            "" if suffix == "MPO" else "The file is an animation: only its first picture is read."
        )
        assert (opened.notice, opened.is_cut) == (said, False)


def test_paths_bytes_open_files_pictures_and_arrays_give_the_same(astronaut, tmp_path):
    path, written = tmp_path / "a.png", BytesIO()
    astronaut.save(path)
    astronaut.save(written, "PNG")  # it stands at its end
    data = path.read_bytes()
    with path.open("rb") as file, Image.open(path) as opened:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sources = path, str(path), data, bytearray(data), memoryview(data), written, file, mapped
        pictures = {read(source).tobytes() for source in (*sources, opened, np.asarray(astronaut))}
    assert pictures == {astronaut.tobytes()}
    gray = astronaut.convert("L")
    assert read(np.asarray(gray)).tobytes() == gray.convert("RGB").tobytes()


def test_a_tiff_of_many_strips_is_read():
    picture = noise(1000, 1000)
    data = encoded(picture, "TIFF", tiffinfo={278: 1})  # RowsPerStrip
    assert read(data).tobytes() == picture.tobytes()


@pytest.mark.parametrize("size", [(7, 300), (256, 256), (640, 480)])
@pytest.mark.parametrize("in_container", [True, False])
def test_the_size_of_a_jpeg_xl_is_known_from_its_header(size, in_container):
    data = encoded(noise(*size), "JXL", usecontainer=in_container)
    assert formats.jxl_size(data) == size


# Rotation


def rotated(suffix: str, upright: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be rotated clockwise
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    return encoded(stored, suffix, exif=exif.tobytes())


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "WEBP", "HEIC"])
def test_a_picture_is_rotated_as_its_exif_says_and_once(suffix, astronaut):
    """HEIC's decoder applies the rotation that phones store; EXIF states the same one again."""
    upright = astronaut.crop((0, 0, 512, 400))
    shown = read(rotated(suffix, upright))
    assert mean_difference(shown, upright) < 4
    assert read(shown).tobytes() == shown.tobytes()  # whoever hands it over again


def test_deep_pictures_are_rotated_too(astronaut):
    upright = astronaut.crop((0, 0, 512, 400))
    lying = np.asarray(upright.transpose(Image.Transpose.ROTATE_90))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    png = png_encode(lying.astype(np.uint16) * 4)
    tag = [(ExifTags.Base.Orientation, "H", 1, 6, True)]
    floats = as_tiff(lying / 255, photometric="rgb", extratags=tag)
    for data in (png[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + png[33:], floats):
        assert mean_difference(read(data), upright) < 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_or_missing_exif_does_not_cost_the_picture():
    data = encoded(noise(30, 20), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff junk")
    assert read(data).size == (30, 20)
    picture = noise()
    picture.info["exif"] = None  # as pillow-heif says it in Pillow's name
    assert read(picture).tobytes() == noise().tobytes()


# More than 8 bits


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("encode", [png_encode, tiff_encode, jpegxl_encode, jpeg2k_encode])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_16_bit_file_of_fewer_bits_is_as_bright_as_one_of_8(bits, encode, mode, astronaut):
    shown = astronaut.crop((100, 0, 200, 110)).convert(mode)
    deep = np.round(np.asarray(shown) / 255 * (2**bits - 1)).astype(np.uint16)
    opened = read(bytes(encode(deep)))
    difference = np.subtract(np.asarray(opened, int), np.asarray(shown.convert("RGB"), int))
    assert np.abs(difference).max() <= 2


def as_tiff(values: np.ndarray, **options) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "u4"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_tiff_of_numbers_in_colour_is_read(dtype, order, planes, astronaut):
    white = np.iinfo(dtype).max if dtype[0] == "u" else 1
    values = (np.asarray(astronaut) / 255 * white).astype(dtype)
    if planes == "separate":
        values = np.moveaxis(values, -1, 0)
    data = as_tiff(values, photometric="rgb", planarconfig=planes, byteorder=order)
    assert mean_difference(read(data), astronaut) < 1


GRAY_FILES = {
    "white is 0": lambda gray: as_tiff(
        4095 - (gray.astype(np.uint16) << 4), photometric="miniswhite"
    ),
    "10 bits, packed": lambda gray: as_tiff(gray.astype(np.uint16) << 2, bitspersample=10),
    "large": lambda gray: as_tiff(gray, bigtiff=True),
    "transparent": lambda gray: png_encode(
        np.dstack([gray.astype(np.uint16) << 4, np.full(gray.shape, 65535, np.uint16)])
    ),
}


@pytest.mark.parametrize("kind", GRAY_FILES)
def test_a_gray_file_of_any_numbers_is_read(kind, astronaut):
    gray = astronaut.convert("L")
    assert mean_difference(read(GRAY_FILES[kind](np.asarray(gray))), gray.convert("RGB")) < 2


@pytest.mark.parametrize("brightest", [1.3, 500.0])
def test_highlights_of_a_float_picture_do_not_darken_it(brightest, astronaut):
    values = np.asarray(astronaut, np.float32) / 255
    values[:10, :10] = brightest
    opened = read(as_tiff(values, photometric="rgb"))
    rest = (0, 20, 512, 512)
    assert mean_difference(opened.crop(rest), astronaut.crop(rest)) < 1


# Cut files


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "BMP", "PPM"])
def test_half_a_file_gives_half_a_picture_and_a_notice(suffix, astronaut):
    data = encoded(astronaut, suffix)
    opened = read_picture(data[: len(data) // 2])
    assert 40 <= int(re.search(PART, opened.notice)[1]) <= 60
    upper = 0 if suffix != "BMP" else 306  # stored from the bottom up
    part = (0, upper, 512, upper + 200)
    assert opened.picture.crop(part).tobytes() == read(data).crop(part).tobytes()


def test_half_a_progressive_jpeg_gives_the_whole_picture_in_less_detail(astronaut):
    data = encoded(astronaut, "JPEG", progressive=True)
    opened = read_picture(data[: len(data) // 2])
    assert opened.notice.endswith("some of the picture may be missing.")
    assert mean_difference(opened.picture, astronaut) < 8


@pytest.mark.parametrize("suffix", ["WEBP", "AVIF", "HEIC"])
def test_half_a_file_of_the_newer_formats_gives_its_upper_part_and_a_notice(suffix, astronaut):
    data = encoded(astronaut, suffix)
    opened = read_picture(data[: len(data) // 2])
    assert re.search(r"cut short or damaged: only (49|50)% of it is there\.$", opened.notice)
    part = (0, 0, 512, 200)
    assert mean_difference(opened.picture.crop(part), read(data).crop(part)) < 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_without_enough_of_a_picture_is_refused_in_a_sentence(suffix):
    data = encoded(noise(200, 200), suffix)
    assert refuses(data[: len(data) // 30], BROKEN)
    if suffix in ("JPEG2000", "JXL"):  # whole or nothing
        assert refuses(data[:-200], BROKEN)


# What is refused


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (None, "NoneType"),
        ([[1, 2]], "list"),
        (StringIO("text"), "a file open as text"),
        (zipfile.ZipFile(BytesIO(zipped({"a.png": b""}))), "ZipFile"),
        (np.zeros((4, 4)), r"an array of float64 with the shape \(4, 4\)"),
        (np.zeros((9, 9, 4), np.uint8), r"an array of uint8 with the shape \(9, 9, 4\)"),
    ],
)
def test_what_can_be_no_picture_is_a_type_error_that_lists_what_can(source, named):
    listed = "a path, bytes, an open binary file, a PIL image, or a NumPy array of uint8"
    sentence = rf"^A picture is {listed} .*\(H, W, 3\).*, not {named}\.$"
    assert refuses(source, sentence, TypeError)


def test_a_file_that_is_closed_or_open_for_writing_says_what_to_do(tmp_path):
    path = tmp_path / "a.png"
    noise().save(path)
    with path.open("rb") as closed, Image.open(path) as picture:
        pass
    with (tmp_path / "b.png").open("wb") as writing:
        assert refuses(writing, r"^The open file cannot be read .*'rb'\)\.$")
    assert refuses(closed, r"^The open file cannot be read .*'rb'\)\.$")
    assert refuses(picture, r"^The picture's file is closed, .* open it again and keep it open")


KNOWN = {
    b"": r"^The file is empty; save or upload it again\.$",
    b"GIF": r"no picture that can be read; the formats are JPEG, ",
    b"Dear server,\n": r"no picture that can be read; the formats are JPEG, ",
    b"<svg/>": "is an SVG drawing, which is not read here; save it as JPEG or PNG",
    b'<?xml version="1.0"?>\n<svg xmlns="x">': "is an SVG drawing, which is not read here",
    b"<!DOCTYPE html><html>": "is a web page, which is not read here",
    b"%PDF-1.7": "is a PDF document, which is not read here",
    b"\0\0\0\x18ftypcrx \0\0\0\0": "is a camera's raw file, which is not read here",
    b"\0\0\0\x18ftypisom\0\0\0\0isommp42": r"is a video, not a picture; save one of its frames",
    b"RIFF\0\0\0\0AVI LIST": r"is a video, not a picture; save one of its frames",
    b"PK\3\4": r"^The file is a zip file, not a picture; unpack it",
    b"7z\xbc\xaf'\x1c": r"^The file is a 7z file, not a picture; unpack it",
}


@pytest.mark.parametrize("data", KNOWN)
def test_what_is_no_picture_is_named_with_what_to_do(data):
    assert refuses(data, KNOWN[data])
    assert not formats.is_picture("notes", data)


def test_rare_kinds_of_a_usual_format_are_refused():
    """Of a camera's raw file in a TIFF, Pillow would read the preview."""
    assert refuses(encoded(noise(), "TIFF", tiffinfo={DNG: b"\1\4\0\0"}), "a camera's raw file")
    assert refuses(jpegls_encode(np.asarray(noise().convert("L"))), BROKEN)


def test_other_files_are_told_from_pictures_by_name_and_content():
    assert formats.is_picture("broken.JPG", b"not a picture")
    assert not formats.is_picture("._im0.png", b"\0\5\x16\7")
    for text in (b"P5 is a name", b"BMW", b"GIF", b"\xff\xfeU\0", b"notes", b""):
        assert not formats.is_picture("notes", text)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("nowhere.png", r"There is no file 'nowhere\.png'; check the path"),
        ("https://a.org/b.png", r"^'https://a\.org/b\.png' is an address; download"),
        ("x" * 300, r"x' cannot be read \(File name too long\); check its "),
        (".", r"^'\.' is a folder; name a picture file"),
    ],
)
def test_a_path_without_a_file_says_what_to_do(path, sentence):
    assert refuses(path, sentence)


def test_a_file_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr("emotion_detective.files.pictures.MAX_FILE_BYTES", 1_000_000)
    data = encoded(noise(1000, 1000), "BMP")
    assert refuses(data, "The file has 3 MB and the limit is 1; save it smaller")
