"""Numbered boxes on a picture, in colours that colour-blind people can tell apart. PIL only.

Colour never stands alone: each box carries its number and its label, and an unsure box is dashed.
"""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from emotion_detective.core.detective import Prediction
from emotion_detective.core.faces import BoxXyxy

# Okabe and Ito's palette (jfly.uni-koeln.de/color), chosen for all common kinds of colour vision.
COLORS = {
    "angry": "#D55E00",
    "fearful": "#CC79A7",
    "happy": "#E69F00",
    "neutral": "#8C8C8C",
    "sad": "#56B4E9",
    "surprised": "#009E73",
}
UNSURE_COLOR = "#FFFFFF"
INK = "#111111"
# Longest side of a shown picture: at most sharp on a large screen at 0.3 MB, and at least so large
# that a tag on a 48-pixel face can be read.
MAX_VIEW_PX = 1600
MIN_VIEW_PX = 640
JPEG_QUALITY = 90
# Fractions of the picture's longest side.
LINE_FRACTION = 1 / 320
TEXT_FRACTION = 1 / 42
MIN_TEXT_PX = 12
DASH = 5  # widths of the line
MOST_SURE = 0.99
PADDING = 0.3  # of the text's height


def percent(probability: float) -> str:
    """Return a probability in whole percent that never claims to be certain."""
    return f"{probability:.0%}" if probability < MOST_SURE else f"{MOST_SURE:.0%}+"


def to_view(
    picture: Image.Image, predictions: Sequence[Prediction]
) -> tuple[Image.Image, list[Prediction]]:
    """Return a copy whose longest side lies between `MIN_VIEW_PX` and `MAX_VIEW_PX`; its boxes."""
    longest = max(picture.size)
    scale = min(max(longest, MIN_VIEW_PX), MAX_VIEW_PX) / longest
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    view = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    scaled = [replace(p, box_xyxy=tuple(at * scale for at in p.box_xyxy)) for p in predictions]
    return view, scaled


def to_jpeg(picture: Image.Image) -> bytes:
    """Return the picture as a JPEG file's bytes."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def draw_faces(
    picture: Image.Image,
    predictions: Sequence[Prediction],
    numbers: Sequence[int] | None = None,
) -> Image.Image:
    """Return a copy with a labelled box around each face, numbered 1, 2, 3, ... or by `numbers`."""
    drawn = picture.convert("RGB")
    surface, longest = ImageDraw.Draw(drawn), max(picture.size)
    line_px = max(2, round(longest * LINE_FRACTION))
    surface.font = ImageFont.load_default(max(MIN_TEXT_PX, round(longest * TEXT_FRACTION)))
    numbered = list(zip(numbers or range(1, len(predictions) + 1), predictions, strict=True))
    for number, face in reversed(numbered):  # the largest faces' tags stay on top
        color = UNSURE_COLOR if face.unsure else COLORS[face.label]
        surface.rectangle(face.box_xyxy, outline=INK, width=line_px + 2)
        _draw_box(surface, face.box_xyxy, color, line_px, dashed=face.unsure)
        _draw_tag(surface, face, number, color, drawn.width)
    return drawn


def _draw_box(
    surface: ImageDraw.ImageDraw, box: BoxXyxy, color: str, line_px: int, dashed: bool
) -> None:
    if not dashed:
        surface.rectangle(box, outline=color, width=line_px)
        return
    left, top, right, bottom = box
    dash = line_px * DASH
    for x in range(round(left), round(right), 2 * dash):
        for y in (top, bottom - line_px):
            surface.rectangle((x, y, min(x + dash, right), y + line_px), fill=color)
    for y in range(round(top), round(bottom), 2 * dash):
        for x in (left, right - line_px):
            surface.rectangle((x, y, x + line_px, min(y + dash, bottom)), fill=color)


def _draw_tag(
    surface: ImageDraw.ImageDraw, face: Prediction, number: int, color: str, max_right: int
) -> None:
    """Write number and label above the box, or the number alone where there is no room."""
    font = surface.font
    face_left, face_top, face_right, _ = face.box_xyxy
    pad = round(font.size * PADDING)
    text = f"{number} {'unsure' if face.unsure else f'{face.label} {percent(face.confidence)}'}"
    if font.getlength(text) + 2 * pad > 2 * (face_right - face_left):
        text = str(number)
    width, height = font.getlength(text) + 2 * pad, font.size + pad
    left = min(max(face_left, 0), max(0, max_right - width))
    top = max(face_top - height, 0)
    surface.rectangle((left, top, left + width, top + height), fill=color, outline=INK)
    surface.text((left + pad, top + height / 2), text, fill=INK, anchor="lm")
