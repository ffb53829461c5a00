"""What the Batch tab shows of many files: totals and cards for `batch.js`, and a table.

    counts.update(batch_view.kinds(result))    # of each file, as it is read
    batch_view.totals(counts)
    batch_view.card(result)                    # picture and words, to be sent as JSON
    batch_view.lines(result)                   # of the table, in words; the CSV has all digits

Names of visitors' files are text in JSON, and become text on the page. Knows no Gradio.
"""

from collections.abc import Mapping

from emotion_detective import LABELS
from emotion_detective.core.detective import Prediction
from emotion_detective.core.drawing import percent
from emotion_detective.page import html, words
from emotion_detective.page.batch_files import FileResult
from emotion_detective.video.timeline import UNSURE

NO_FACE, UNREADABLE = "no face", "unreadable"
# What an answer can be, in the order of the bar.
KINDS = (*LABELS, UNSURE, NO_FACE, UNREADABLE)
TABLE_COLUMNS = ("File", "Face", "Answer", *LABELS)


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
        "faces": [{"kind": _kind(face), "words": words.verdict(face)} for face in result.faces],
    }


def lines(result: FileResult) -> list[tuple[str, ...]]:
    """Return the table's lines of one file: one a face, or one that says why there is none.

    Shares are texts of one length, as short tables are sorted letter by letter: " 9%" before "85%".
    """
    name = result.rows[0]["file"]
    told = "cannot be read" if result.picture is None else "no face found"
    return [
        (name, str(number), words.verdict(face), *_shares(face))
        for number, face in enumerate(result.faces, start=1)
    ] or [(name, "", told, *[""] * len(LABELS))]


def _kind(face: Prediction) -> str:
    return UNSURE if face.unsure else face.label


def _shares(face: Prediction) -> list[str]:
    return [percent(share).rjust(4) for share in face.probabilities]
