"""What the Photo tab keeps of a picture and shows of it: `Analysis`, and the JSON of its stage.

`photo.js` draws that JSON: the picture with a box a face, the faces in one strip, six bars. It is
one value, pictures within it as `data:` addresses, so that nothing of it lies on disk. Knows no
Gradio.
"""

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core import drawing, heatmap
from emotion_detective.core.detective import EmotionDetective, Prediction, compute
from emotion_detective.core.rows import Row, file_rows, to_csv
from emotion_detective.files import Opened
from emotion_detective.page import api, html, share_card, words

# Side of a face in the strip: sharp on a screen with two pixels a CSS pixel.
CROP_PX = 112
SAVED_TYPES = {
    "card": ("emotion-card.png", "image/png"),
    "png": ("faces.png", "image/png"),
    "json": ("faces.json", "application/json"),
    "csv": ("faces.csv", "text/csv"),
}


@dataclass(frozen=True)
class Analysis:
    """What a visitor's session keeps of a picture: small, and gone as files go.

    `in_view` has boxes in pixels of the view, `rows` and `answer` in those of the picture; `seen`
    holds each face as the network got it; `path` is the picture's file, for as long as it is there.
    """

    path: Path
    view_jpeg: bytes
    in_view: list[Prediction]
    seen: list[Image.Image]
    answer: api.PictureAnswer
    rows: list[Row]
    key: str = field(default_factory=lambda: secrets.token_hex(4))

    def view(self) -> Image.Image:
        """Return the picture as shown, without boxes."""
        return Image.open(BytesIO(self.view_jpeg))


def prepare(
    detective: EmotionDetective, opened: Opened, path: Path, whole_picture: bool = False
) -> tuple[Analysis, dict]:
    """Return an opened picture's analysis, and what the stage shows of it."""
    predictions = detective.analyze(opened.picture, whole_picture)
    crops = [prediction.crop(opened.picture) for prediction in predictions]
    view, in_view = drawing.to_view(opened.picture, predictions)
    analysis = Analysis(
        path=path,
        view_jpeg=drawing.to_jpeg(view),
        in_view=in_view,
        seen=[heatmap.seen(detective.classifier, crop) for crop in crops],
        answer=api.picture_answer(detective.classifier, predictions, opened.notice),
        rows=file_rows(path.name, predictions),
    )
    return analysis, _describe(analysis, view.size, crops, detective.classifier.metrics)


def _describe(
    analysis: Analysis, size: tuple[int, int], crops: Sequence[Image.Image], metrics: dict
) -> dict:
    return {
        "key": analysis.key,
        "picture": _address(analysis.view_jpeg, "image/jpeg"),
        "ratio": size[0] / size[1],
        "alt": words.alternative(analysis.in_view),
        "labels": LABELS,
        "faces": [
            _shown_face(face, size, crop, metrics)
            for face, crop in zip(analysis.in_view, crops, strict=True)
        ],
    }


def _shown_face(face: Prediction, size: tuple[int, int], crop: Image.Image, metrics: dict) -> dict:
    """Return one face; its box is [left, top, width, height] in shares of the picture."""
    left, top, right, bottom = face.box_xyxy
    width, height = size
    return {
        "box": [left / width, top / height, (right - left) / width, (bottom - top) / height],
        "label": face.label,
        "unsure": face.unsure,
        "tag": "unsure" if face.unsure else words.verdict(face),
        "verdict": words.looks(face),
        "shares": face.probabilities,
        "percents": [drawing.percent(share) for share in face.probabilities],
        "often": words.often_right(face, metrics),
        "crop": html.picture_address(crop.resize((CROP_PX, CROP_PX))),
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


def save(detective: EmotionDetective, analysis: Analysis, kind: str, index: int) -> dict:
    """Return a file to download: its name, type and content, which is written nowhere.

    Args:
        kind: one of `SAVED_TYPES`.
        index: of the face that the share card shows.
    """
    if kind not in SAVED_TYPES:
        raise ValueError(f"{kind!r} cannot be saved; choose from {', '.join(SAVED_TYPES)}.")
    name, media_type = SAVED_TYPES[kind]
    content = _content(detective, analysis, kind, index)
    return {"name": name, "address": _address(content, media_type)}


def _content(detective: EmotionDetective, analysis: Analysis, kind: str, index: int) -> bytes:
    if kind == "json":
        return json.dumps(analysis.answer, indent=2).encode()
    if kind == "csv":
        return to_csv(analysis.rows).encode()
    if kind == "png":
        return _png(drawing.draw_faces(analysis.view(), analysis.in_view))
    return _png(share_card.draw(analysis.view(), analysis.in_view, index, detective.classifier))


def _png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _address(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
