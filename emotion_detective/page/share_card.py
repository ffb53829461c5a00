"""A picture to share: one face, its six bars, how often such an answer is right, the model's name.

Drawn at twice its size and reduced, which smooths edges that PIL draws hard. PIL only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

from emotion_detective import LABELS
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.detective import Prediction
from emotion_detective.core.drawing import COLORS, UNSURE_COLOR, percent
from emotion_detective.core.faces import BoxXyxy
from emotion_detective.page import words

# What link previews show whole.
SIZE = (1200, 630)
SUPERSAMPLING = 2
MARGIN, GAP = 40, 44
PHOTO = (460, SIZE[1] - 2 * MARGIN)
# The picture's part that is shown is this many times as wide as the face's box.
AROUND = 1.9
PAGE, SURFACE, TRACK, EDGE = "#eef1f8", "#ffffff", "#e9edf5", "#cfd6e4"
INK, MUTED, ACCENT = "#131a2b", "#515b70", "#4338ca"
TITLE_PX, LABEL_PX, TEXT_PX, FOOT_PX = 46, 25, 21, 21
BAR_PX, ROW_PX, LABEL_WIDTH, SHARE_WIDTH = 26, 42, 128, 74
TEXT_LINES = 3
NAME_LETTERS = 40


def draw(
    view: Image.Image, faces: Sequence[Prediction], index: int, classifier: Classifier
) -> Image.Image:
    """Return the card of one face, RGB, `SIZE`; without any face, of the whole picture.

    Args:
        view: the picture; `faces` have their boxes in its pixels.
        index: of the face, 0 the largest.
    """
    pen = _Pen.for_card()
    face = faces[index] if 0 <= index < len(faces) else None
    box = face.box_xyxy if face else (0.0, 0.0, *map(float, view.size))
    _draw_photo(pen, view, box, face)
    left = MARGIN + PHOTO[0] + GAP
    if face:
        _draw_answer(pen, face, classifier.metrics, left)
    else:
        pen.text((left, MARGIN + 4), "No face found", TITLE_PX, INK, bold=True)
    _draw_foot(pen, classifier.name, left)
    return pen.card.resize(SIZE, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Pen:
    """A card at `SUPERSAMPLING` times its size, drawn on in the pixels of the finished one."""

    card: Image.Image
    surface: ImageDraw.ImageDraw

    @classmethod
    def for_card(cls) -> "_Pen":
        card = Image.new("RGB", tuple(SUPERSAMPLING * side for side in SIZE), PAGE)
        return cls(card, ImageDraw.Draw(card))

    def panel(self, box: BoxXyxy, radius: float, fill: str | None, edge: str | None = None) -> None:
        larger = tuple(round(SUPERSAMPLING * at) for at in box)
        width = 2 * SUPERSAMPLING if edge else 0
        self.surface.rounded_rectangle(larger, SUPERSAMPLING * radius, fill, edge, width)

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size_px: int,
        fill: str,
        bold: bool = False,
        anchor: str = "la",
    ) -> None:
        # Pillow's font has one weight; an outline in its own colour makes the other.
        stroke = size_px / 34 * SUPERSAMPLING / 2 if bold else 0
        larger = tuple(SUPERSAMPLING * along for along in at)
        font = _font(size_px)
        self.surface.text(larger, text, fill, font, anchor, stroke_width=stroke, stroke_fill=fill)


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size_px * SUPERSAMPLING)


def _draw_photo(pen: _Pen, view: Image.Image, box: BoxXyxy, face: Prediction | None) -> None:
    part = _around(box, view.size) if face else (0.0, 0.0, *map(float, view.size))
    size = tuple(SUPERSAMPLING * side for side in PHOTO)
    photo = ImageOps.fit(view.convert("RGB").crop(tuple(map(round, part))), size)
    if face:
        _frame_face(photo, box, part, face)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *size), 24 * SUPERSAMPLING, 255)
    pen.card.paste(photo, (MARGIN * SUPERSAMPLING, MARGIN * SUPERSAMPLING), mask)


def _around(box: BoxXyxy, size: tuple[int, int]) -> BoxXyxy:
    """Return the part around a face in `PHOTO`'s proportions, inside the picture if it fits."""
    left, top, right, bottom = box
    width = max(right - left, (bottom - top) * PHOTO[0] / PHOTO[1]) * AROUND
    scale = min(1.0, size[0] / width, size[1] / (width * PHOTO[1] / PHOTO[0]))
    width, height = width * scale, width * scale * PHOTO[1] / PHOTO[0]
    x = min(max((left + right - width) / 2, 0), size[0] - width)
    y = min(max((top + bottom - height) / 2, 0), size[1] - height)
    return x, y, x + width, y + height


def _frame_face(photo: Image.Image, box: BoxXyxy, part: BoxXyxy, face: Prediction) -> None:
    scale = photo.width / (part[2] - part[0])
    framed = tuple((at - part[i % 2]) * scale for i, at in enumerate(box))
    surface = ImageDraw.Draw(photo)
    for color, width in ((INK, 9), (_color(face), 6)):
        surface.rounded_rectangle(
            framed, 14 * SUPERSAMPLING, None, color, width * SUPERSAMPLING // 2
        )


def _draw_answer(pen: _Pen, face: Prediction, metrics: dict, left: int) -> None:
    verdict = words.looks(face)
    lines = _wrap(verdict[0].upper() + verdict[1:], TITLE_PX, SIZE[0] - MARGIN - left)
    y = MARGIN + 2
    for line in lines[:2]:
        pen.text((left, y), line, TITLE_PX, INK, bold=True)
        y += TITLE_PX * 1.15
    y += 24
    for label, share in zip(LABELS, face.probabilities, strict=True):
        _draw_bar(pen, label, share, left, y)
        y += ROW_PX
    y += 14
    often = words.often_right(face, metrics)
    for line in _wrap(often, TEXT_PX, SIZE[0] - MARGIN - left)[:TEXT_LINES]:
        pen.text((left, y), line, TEXT_PX, MUTED)
        y += TEXT_PX * 1.35


def _draw_bar(pen: _Pen, label: str, share: float, left: int, top: float) -> None:
    middle = top + BAR_PX / 2
    pen.text((left, middle), label, LABEL_PX, INK, anchor="lm")
    right = SIZE[0] - MARGIN - SHARE_WIDTH
    start = left + LABEL_WIDTH
    pen.panel((start, top, right, top + BAR_PX), 8, TRACK, EDGE)
    width = (right - start) * share
    if width > 3:
        pen.panel((start, top, start + width, top + BAR_PX), min(8, width / 2), COLORS[label])
    pen.text((SIZE[0] - MARGIN, middle), percent(share), LABEL_PX, INK, anchor="rm")


def _draw_foot(pen: _Pen, model: str, left: int) -> None:
    bottom = SIZE[1] - MARGIN
    name = model if len(model) <= NAME_LETTERS else f"{model[: NAME_LETTERS - 1]}…"
    pen.text((left, bottom - 32), "Emotion Detective", FOOT_PX, ACCENT, bold=True, anchor="ls")
    pen.text(
        (left, bottom), f"{name} · reads expressions, not feelings", FOOT_PX, MUTED, anchor="ls"
    )


def _wrap(text: str, size_px: int, width_px: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size_px).getlength(longer) <= width_px * SUPERSAMPLING:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _color(face: Prediction) -> str:
    return UNSURE_COLOR if face.unsure else COLORS[face.label]
