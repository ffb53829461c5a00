"""A decoded frame -> the picture that is shown: upright, in square pixels, reduced. No files.

A phone stores its pictures as the sensor lies and states their rotation in the header; the frames
carry it as their display matrix. Used by decoding.py.
"""

import struct

from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

# Frames are reduced to this area, 1280x720 for most videos. A limit on the longest side would make
# the faces of a very wide or high one vanish.
MAX_PIXELS = 1280 * 720
# Pixels of old cameras are up to twice as wide as high; a file may state anything.
MAX_PIXEL_ASPECT = 4
# Signs of a, b, c and d of a display matrix -> how to transpose the stored picture of a rotated
# phone or of a mirrored selfie.
ROTATIONS = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
SIDEWAYS = {rotation for (a, *_), rotation in ROTATIONS.items() if not a}
MATRIX = struct.Struct("=9i")


def shown_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Return width and height of a frame as shown: upright, in square pixels."""
    aspect = float(stream.sample_aspect_ratio or 1)
    if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:  # no camera's
        aspect = 1.0
    size = max(1, round(frame.width * aspect)), frame.height
    return size[::-1] if _find_rotation(frame) in SIDEWAYS else size


def to_picture(frame: VideoFrame, stream: VideoStream, size: tuple[int, int]) -> Image.Image:
    """Return a frame as RGB, upright, of this size; black bars fill what its shape leaves."""
    shown = shown_size(frame, stream)
    scale = min(size[0] / shown[0], size[1] / shown[1])
    fitted = tuple(max(1, round(side * scale)) for side in shown)
    if max(abs(one - other) for one, other in zip(fitted, size, strict=True)) <= 1:  # rounded
        fitted = size
    rotation = _find_rotation(frame)
    width, height = fitted[::-1] if rotation in SIDEWAYS else fitted
    picture = frame.to_image(width=width, height=height, interpolation="AREA")
    if rotation is not None:
        picture = picture.transpose(rotation)
    if picture.size == size:
        return picture
    padded = Image.new("RGB", size)
    padded.paste(picture, ((size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2))
    return padded


def _find_rotation(frame: VideoFrame) -> Image.Transpose | None:
    matrix = bytes(frame.side_data.get("DISPLAYMATRIX") or b"")
    if len(matrix) != MATRIX.size:
        return None
    a, b, _, c, d, *_ = MATRIX.unpack(matrix)
    least = max(map(abs, (a, b, c, d))) / 2
    return ROTATIONS.get(tuple((value > least) - (value < -least) for value in (a, b, c, d)))
