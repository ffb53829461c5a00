"""One face's answer as HTML: its verdict, six bars in a fixed order, and how far to trust it.

Only this program's own words and numbers go in; file names and other texts of visitors never do.
The classes are styled in `tabs/page.css`.
"""

from emotion_detective import words
from emotion_detective.detective import Prediction
from emotion_detective.drawing import COLORS, UNSURE_COLOR
from emotion_detective.model import LABELS

NO_FACE_CHOSEN = (
    '<div class="face-card empty">The chosen face\'s six probabilities appear here.</div>'
)


def face_card(face: Prediction, number: int, metrics: dict) -> str:
    """Return the card of one face; `metrics` is the checkpoint's `metrics.json`, {} without."""
    color = UNSURE_COLOR if face.unsure else COLORS[face.label]
    kind = "unsure" if face.unsure else "sure"
    rows = "".join(
        _bar(label, share) for label, share in zip(LABELS, face.probabilities, strict=True)
    )
    return (
        f'<div class="face-card"><h3><span class="number {kind}" style="background:{color}">'
        f"{number}</span> {_capitalised(words.looks(face))}</h3>"
        f'<ul class="bars">{rows}</ul>'
        f'<p class="reliability">{words.reliability(face.label, metrics)}</p></div>'
    )


def _bar(label: str, share: float) -> str:
    return (
        f'<li><span class="label">{label}</span><span class="track" aria-hidden="true">'
        f'<span style="width:{share:.1%};background:{COLORS[label]}"></span></span>'
        f'<span class="share">{share:.0%}</span></li>'
    )


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
