"""What the Photo tab keeps of a picture and shows of it: `Analysis`, and the JSON of its stage.

`photo.js` draws that JSON: the picture with a box a face, the faces in one strip, six bars. It is
one value, pictures within it as `data:` addresses, so that nothing of it lies on disk. Knows no
Gradio.
"""

import base64
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core import drawing, faces, heatmap
from emotion_detective.core.detective import EmotionDetective, Prediction, compute
from emotion_detective.core.rows import Row, file_rows, to_csv
from emotion_detective.files import Opened
from emotion_detective.page import api, html, words

# Faces whose emotions are read together: the first are there after a tenth of a second.
AT_ONCE = 4
# Side of a face in the strip: sharp on a screen with two pixels a CSS pixel.
CROP_PX = 112
SAVED_TYPES = {
    "png": ("faces.png", "image/png"),
    "json": ("faces.json", "application/json"),
    "csv": ("faces.csv", "text/csv"),
}


@dataclass(frozen=True)
class Analysis:
    """What a visitor's session keeps of a picture: small, and gone as files go.

    `in_view` has boxes in pixels of the view, `rows` and `answer` in those of the picture as it was
    sent, which has this `size`; `seen` holds each face as the network got it; `path` is the
    picture's file, for as long as it is there.
    """

    path: Path
    size: tuple[int, int]
    view_jpeg: bytes
    in_view: list[Prediction]
    seen: list[Image.Image]
    answer: api.PictureAnswer
    rows: list[Row]
    key: str


def read(
    detective: EmotionDetective,
    opened: Opened,
    path: Path,
    is_seen: bool = False,
    whole_picture: bool = False,
) -> Iterator[tuple[Analysis | None, dict]]:
    """Yield what the stage shows of a picture as it is read; the analysis comes with the last.

    First the boxes, then the faces with their emotions, `AT_ONCE` at a time.

    Args:
        is_seen: the browser has the picture; otherwise a view of it is among what is shown.
    """
    picture = opened.picture
    found = detective.find(picture, whole_picture)
    crops = faces.crops(picture, found)
    view, _ = drawing.to_view(picture, [])
    shown = {
        "key": secrets.token_hex(4),
        "picture": None if is_seen else html.picture_address(view),
        "ratio": picture.width / picture.height,
        "labels": LABELS,
        "model": detective.classifier.name,
        "found": len(found),
        "faces": [
            {"box": _fractions(face.box_xyxy, picture.size), "crop": _small(crop)}
            for face, crop in zip(found, crops, strict=True)
        ],
    }
    yield None, shown
    predictions: list[Prediction] = []
    metrics = {} if whole_picture else detective.classifier.metrics
    for begin in range(0, len(found), AT_ONCE):
        predictions += detective.classify(picture, found[begin : begin + AT_ONCE])
        emotions = [_emotion(face, metrics) for face in predictions]
        known = [face | more for face, more in zip(shown["faces"], emotions, strict=False)]
        shown = shown | {"faces": known + shown["faces"][len(known) :]}
        yield None, shown
    yield _finish(detective, opened, path, predictions, crops, shown, whole_picture)


def _finish(
    detective: EmotionDetective,
    opened: Opened,
    path: Path,
    predictions: list[Prediction],
    crops: Sequence[Image.Image],
    shown: dict,
    whole_picture: bool,
) -> tuple[Analysis, dict]:
    view, in_view = drawing.to_view(opened.picture, predictions)
    analysis = Analysis(
        path=path,
        size=opened.picture.size,
        view_jpeg=drawing.to_jpeg(view),
        in_view=in_view,
        seen=[heatmap.seen(detective.classifier, crop) for crop in crops],
        answer=api.picture_answer(detective.classifier, predictions, opened.notice),
        rows=file_rows(path.name, predictions),
        key=shown["key"],
    )
    lead = f"{words.AS_ONE_FACE} " if whole_picture else f"{words.tally(predictions)}."
    sentences = (lead, words.turned(predictions), opened.notice)
    return analysis, shown | {
        "summary": " ".join(filter(None, sentences)).strip(),
        "alt": words.alternative(predictions),
    }


def first_sight(
    view: Image.Image, size: tuple[int, int], predictions: Sequence[Prediction], example: int
) -> str:
    """Return the HTML of an example that is read already: a button that opens it."""
    boxes = ""
    for number, face in enumerate(predictions, start=1):
        left, top, width, height = (
            f"{100 * part:.2f}%" for part in _fractions(face.box_xyxy, size)
        )
        color = f"var(--ed-{'unsure' if face.unsure else face.label})"
        boxes += (
            f'<i class="box" style="left:{left};top:{top};width:{width};height:{height};'
            f'--color:{color}" data-number="{number}" data-words="{words.looks(face)}"></i>'
        )
    return (
        f'<button type="button" class="first" data-example="{example}">'
        f'<span class="fit" style="--ratio:{size[0] / size[1]}"><img alt="Open this example: '
        f'{words.tally(predictions)}" src="{html.picture_address(view)}">{boxes}</span>'
        '<span class="ed-verdict"><span class="ed-chip"></span><span class="words"></span></span>'
        "</button>"
    )


def refusal(error: ValueError) -> dict:
    """Return what the stage's script shows of an error; each is another value."""
    return {"error": str(error), "key": secrets.token_hex(4)}


def _fractions(box: faces.BoxXyxy, size: tuple[int, int]) -> list[float]:
    """Return a box as [left, top, width, height] in fractions of the picture."""
    (left, top, right, bottom), (width, height) = box, size
    return [left / width, top / height, (right - left) / width, (bottom - top) / height]


def _small(crop: Image.Image) -> str:
    return html.picture_address(crop.resize((CROP_PX, CROP_PX)))


def _emotion(face: Prediction, metrics: dict) -> dict:
    return {
        "label": face.label,
        "unsure": face.unsure,
        "tag": "unsure" if face.unsure else words.verdict(face),
        "verdict": words.looks(face),
        "shares": face.probabilities,
        "percents": words.percents(face.probabilities),
        "often": words.often_right(face, metrics),
    }


def look_closer(detective: EmotionDetective, analysis: Analysis, index: int) -> dict:
    """Return a face as the model saw it, and where it looked; `heat` is None without a map."""
    if not 0 <= index < len(analysis.in_view):
        raise ValueError(f"This picture has {len(analysis.in_view)} faces; choose one of them.")
    seen = analysis.seen[index]
    label = analysis.in_view[index].label
    heat = compute(heatmap.heat_map, detective.classifier, seen, label)
    return {
        "key": analysis.key,
        "face": index,
        "seen": html.picture_address(heatmap.enlarged(seen)),
        "heat": heat and html.picture_address(heat),
        "label": label,
    }


def save(analysis: Analysis, kind: str) -> dict:
    """Return a file to download: its name, type and content, which is written nowhere."""
    if kind not in SAVED_TYPES:
        raise ValueError(f"{kind!r} cannot be saved; choose from {', '.join(SAVED_TYPES)}.")
    name, media_type = SAVED_TYPES[kind]
    return {"name": name, "address": _address(_content(analysis, kind), media_type)}


def _content(analysis: Analysis, kind: str) -> bytes:
    if kind == "json":
        return json.dumps({"size": analysis.size, **analysis.answer}, indent=2).encode()
    if kind == "csv":
        return to_csv(analysis.rows).encode("utf-8-sig")
    view = Image.open(BytesIO(analysis.view_jpeg))
    return _png(drawing.draw_faces(view, analysis.in_view))


def _png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _address(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
