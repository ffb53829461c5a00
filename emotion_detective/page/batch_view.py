"""What the Batch tab shows of many files: totals and cards for `batch.js`.

    counts.update(batch_view.kinds(result))    # of each file, as it is read
    batch_view.totals(counts)
    batch_view.card(result)                    # picture and words, to be sent as JSON

Names of visitors' files are text in JSON, and become text on the page. Knows no Gradio.
"""

from collections.abc import Mapping

from emotion_detective import LABELS
from emotion_detective.core.detective import Prediction
from emotion_detective.page import html, words
from emotion_detective.page.batch_files import FileResult
from emotion_detective.video.timeline import UNSURE

NO_FACE, UNREADABLE = "no face", "unreadable"
# What an answer can be, in the order of the bar.
KINDS = (*LABELS, UNSURE, NO_FACE, UNREADABLE)


def kinds(result: FileResult) -> list[str]:
    """Return of each face its emotion or "unsure"; of a file without one what it is instead."""
    if result.picture is None:
        return [UNREADABLE]
    return [_kind(face) for face in result.faces] or [NO_FACE]


def totals(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how often each answer came, in the order of the bar."""
    return {kind: counts.get(kind, 0) for kind in KINDS}


def card(result: FileResult) -> dict:
    """Return what is shown of one file: its picture with the boxes, and its faces in words."""
    thumbnail = result.thumbnail()
    return {
        "name": result.rows[0]["file"],
        "kind": None if result.faces else kinds(result)[0],
        "notice": f"{words.turned(result.faces)} {result.notice}".strip(),
        "picture": html.picture_address(thumbnail) if thumbnail else None,
        "alt": words.summary(result.faces) if result.faces else "A picture without a face",
        "faces": [
            {
                "kind": _kind(face),
                "words": words.verdict(face),
                "percents": words.percents(face.probabilities),
            }
            for face in result.faces
        ],
    }


def _kind(face: Prediction) -> str:
    return UNSURE if face.unsure else face.label
