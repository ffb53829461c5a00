"""HTML of the page: progress, a confusion matrix, a picture's address.

Only this program's own words and numbers go in, never file names or other texts of visitors.
The classes are styled in `page.css`.
"""

import base64
import json
from collections.abc import Sequence
from html import escape

from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core.drawing import to_jpeg


def progress(text: str, share: float | None = None) -> str:
    """Return a line with a progress bar; a share of None is one that is not known."""
    value = "" if share is None else f' value="{share:.3f}"'
    return (
        f'<p class="progress" role="status">{escape(text)} <progress max="1"{value}></progress></p>'
    )


def message(text: str) -> str:
    """Return a sentence, perhaps in the place of a progress bar; screen readers read it out."""
    return f'<p class="progress" role="status">{escape(text)}</p>'


def error(text: str) -> str:
    """Return a sentence that says what went wrong, as such."""
    return f'<p class="progress error" role="alert">{escape(text)}</p>'


def progress_at_once(text: str) -> str:
    """Return JavaScript that answers `progress(text)`, for before the server has taken the work."""
    return f"() => {json.dumps(progress(text))}"


def progress_ends(text: str) -> str:
    """Return JavaScript that puts `message(text)` in the place of a progress bar, if it is one."""
    return f"(shown) => shown.includes('<progress') ? {json.dumps(message(text))} : shown"


def picture_address(picture: Image.Image) -> str:
    """Return an address that holds the picture itself, so that it needs no file on the disk."""
    return f"data:image/jpeg;base64,{base64.b64encode(to_jpeg(picture.convert('RGB'))).decode()}"


def confusion_matrix(counts: Sequence[Sequence[int]]) -> str:
    """Return a table of row percentages: what the model answered for each true label."""
    head = "".join(f'<th scope="col">{label}</th>' for label in LABELS)
    rows = ""
    for label, row in zip(LABELS, counts, strict=True):
        shares = [count / max(1, sum(row)) for count in row]
        cells = "".join(f'<td style="--share:{share:.0%}">{share:.0%}</td>' for share in shares)
        rows += f'<tr><th scope="row">{label}</th>{cells}</tr>'
    return (
        '<div class="confusion"><table><caption>Of the pictures that are what the row says, how '
        "many the model calls what the column says</caption>"
        f"<tr><td></td>{head}</tr>{rows}</table></div>"
    )
