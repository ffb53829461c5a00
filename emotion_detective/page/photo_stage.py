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
from itertools import zip_longest
from pathlib import Path

from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core import drawing, faces, heatmap
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.detective import EmotionDetective, Prediction, compute
from emotion_detective.core.rows import Row, file_rows, to_csv
from emotion_detective.files import Opened, read_picture
from emotion_detective.page import api, html, uploads, words

# Faces whose emotions are read together: the first are there after a tenth of a second.
AT_ONCE = 4
# Side of a face in the strip: sharp on a screen with two pixels a CSS pixel.
CROP_PX = 112
# The example that stands in the tab from the start is no larger.
FIRST_PX = (900, 900)
SAVED_TYPES = {"png": "image/png", "json": "application/json", "csv": "text/csv"}


@dataclass(frozen=True)
class Analysis:
    """What a visitor's session keeps of a picture: small, and gone as files go.

    `in_view` has boxes in pixels of the view; `rows` and `answer` have them in pixels of the sent
    picture, which has this `size`. `seen` holds each face as the network got it, `path` is the
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
    detective: EmotionDetective, path: Path, is_seen: bool, whole_picture: bool = False
) -> Iterator[tuple[uploads.Kept | None, dict]]:
    """Yield what the stage shows of a picture as it is read; its `Analysis` comes with the last.

    First come the boxes, then the faces with their emotions, `AT_ONCE` at a time. A view of the
    picture is sent with the boxes unless it `is_seen` in the browser, from the visitor's own file.
    """
    opened = read_picture(path)
    picture, classifier = opened.picture, detective.classifier
    found = detective.find(picture, whole_picture)
    crops = faces.crops(picture, found)
    shown = _boxes(picture, found, crops) | {"labels": LABELS, "model": classifier.name}
    if not is_seen:
        shown["picture"] = html.picture_address(drawing.to_view(picture, [])[0])
    yield None, shown
    predictions: list[Prediction] = []
    emotions: list[dict] = []
    metrics = {} if whole_picture else classifier.metrics
    for begin in range(0, len(found), AT_ONCE):
        now = detective.classify(picture, found[begin : begin + AT_ONCE])
        predictions += now
        emotions += [_emotion(face, metrics) for face in now]
        together = zip_longest(shown["faces"], emotions, fillvalue={})
        shown = shown | {"faces": [face | emotion for face, emotion in together]}
        yield None, shown
    lead = words.AS_ONE_FACE if whole_picture else f"{words.tally(predictions)}."
    sentences = (lead, words.turned(predictions), opened.notice)
    told = {"summary": " ".join(filter(None, sentences)), "alt": words.alternative(predictions)}
    analysis = _analysis(classifier, path, opened, predictions, crops, shown["key"])
    yield uploads.Kept(analysis), shown | told


def _analysis(
    classifier: Classifier,
    path: Path,
    opened: Opened,
    predictions: list[Prediction],
    crops: Sequence[Image.Image],
    key: str,
) -> Analysis:
    view, in_view = drawing.to_view(opened.picture, predictions)
    return Analysis(
        path=path,
        size=opened.picture.size,
        view_jpeg=drawing.to_jpeg(view),
        in_view=in_view,
        seen=[heatmap.seen(classifier, crop) for crop in crops],
        answer=api.picture_answer(classifier, predictions, opened.notice),
        rows=file_rows(path.name, predictions),
        key=key,
    )


def _boxes(picture: Image.Image, found: Sequence[faces.Face], crops: Sequence[Image.Image]) -> dict:
    return {
        "key": secrets.token_hex(4),
        "ratio": picture.width / picture.height,
        "found": len(found),
        "faces": [
            {
                "box": _fractions(face.box_xyxy, picture.size),
                "crop": html.picture_address(crop.resize((CROP_PX, CROP_PX))),
            }
            for face, crop in zip(found, crops, strict=True)
        ],
    }


def first_sight(picture: Image.Image, predictions: Sequence[Prediction], example: int) -> str:
    """Return the HTML of an example that is read already: a button that opens it."""
    view = picture.copy()
    view.thumbnail(FIRST_PX)
    boxes = ""
    for number, face in enumerate(predictions, start=1):
        fractions = _fractions(face.box_xyxy, picture.size)
        left, top, width, height = (f"{100 * part:.2f}%" for part in fractions)
        color = f"var(--ed-{'unsure' if face.unsure else face.label})"
        boxes += (
            f'<i class="box" style="left:{left};top:{top};width:{width};height:{height};'
            f'--color:{color}" data-number="{number}" data-words="{words.looks(face)}"></i>'
        )
    return (
        f'<button type="button" class="first" data-example="{example}">'
        f'<span class="fit" style="--ratio:{picture.width / picture.height}">'
        f'<img alt="Open this example: {words.tally(predictions)}" '
        f'src="{html.picture_address(view)}">{boxes}</span>'
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
    """Return a file to download: its name, and an address that holds it, so that none is kept."""
    if kind not in SAVED_TYPES:
        raise ValueError(f"{kind!r} cannot be saved; choose from {', '.join(SAVED_TYPES)}.")
    content = base64.b64encode(_content(analysis, kind)).decode()
    return {"name": f"faces.{kind}", "address": f"data:{SAVED_TYPES[kind]};base64,{content}"}


def _content(analysis: Analysis, kind: str) -> bytes:
    if kind == "json":
        return json.dumps({"size": analysis.size, **analysis.answer}, indent=2).encode()
    if kind == "csv":
        return to_csv(analysis.rows).encode("utf-8-sig")
    file = BytesIO()
    view = Image.open(BytesIO(analysis.view_jpeg))
    drawing.draw_faces(view, analysis.in_view).save(file, "PNG")
    return file.getvalue()
