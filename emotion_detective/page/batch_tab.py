"""The Batch tab: many pictures or a zip; totals, pictures and a table grow as files are read.

Which buttons are in view follows from what the page shows: `batch.css`.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from emotion_detective import HOME, LABELS
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.core.rows import Row, to_csv
from emotion_detective.files import MAX_FILE_BYTES, read_picture
from emotion_detective.page import batch_files, batch_view, html, shell, uploads, words
from emotion_detective.page.gradio_seam import errors_as_messages

EXAMPLE = HOME / "examples" / "pictures.zip"
START = "Choose pictures or zip files: the analysis begins by itself."
GAINS = """<ul class="gains"><li>how often each emotion came, and which pictures show it</li>
<li>every picture with its faces and what they show</li>
<li>why a file could not be read, where one could not</li>
<li>a table of all faces, here and as CSV</li></ul>"""
LIMITS = (
    f"Up to {batch_files.MAX_FILES} pictures, loose or in zip files, of "
    f"{MAX_FILE_BYTES / 1e6:.0f} MB each."
)
WAITING = "Waiting: one batch is read at a time"
# One batch at a time; its pictures take turns with those of other visitors.
CONCURRENCY = {"concurrency_id": "batch", "concurrency_limit": 1}

Updates = dict[gr.blocks.Block, object]


@dataclass
class Batch(shell.Work):
    """A visitor's files, and what was found in them so far."""

    files: list[tuple[str, Path]]
    rows: list[Row] = field(default_factory=list)
    cards: list[dict] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    cut_short: int = 0

    def add(self, result: batch_files.FileResult) -> None:
        """Note what was found in the next file."""
        self.rows += result.rows
        self.cards.append(batch_view.card(result))
        self.counts.update(batch_view.kinds(result))
        self.cut_short += result.is_cut


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    parts = _lay_out()
    shown = [parts.kept, parts.status, parts.choice, parts.screen, parts.view, parts.csv]

    def receive(sent: gr.EventData) -> Updates:
        try:
            return _begin(parts, shell.received(sent, [EXAMPLE]))
        except ValueError as error:
            return _reset(parts, html.error(str(error)))

    def open_picture(kept: uploads.Kept | None, pressed: gr.EventData) -> dict:
        with errors_as_messages():
            return _keep_picture(kept and kept.value, shell.field(pressed, "index", int))

    begun = [
        parts.intake.opened(receive, None, shown, **shell.QUICK),
        parts.again.click(partial(_begin_again, parts), parts.kept, shown, **shell.QUICK),
    ]
    shell.works(parts, shown, begun, partial(_analyze, parts, detective), _reset, **CONCURRENCY)
    alone = {"concurrency_id": "opened", **shell.PRIVATE}
    parts.view.open(open_picture, parts.kept, parts.opened, **alone)


def _lay_out() -> SimpleNamespace:
    """Return the tab's components by name."""
    parts = SimpleNamespace(kept=gr.State(), opened=shell.messenger("batch-opened"))
    with gr.Column(elem_id="batch-panel"):
        bar = shell.work_bar("batch", START, "New pictures")
        parts.status, parts.stop, parts.again, parts.new = bar
        with gr.Column(elem_id="batch-choice") as parts.choice:
            parts.intake = shell.intake(
                "batch",
                "pictures, or a zip file with pictures,",
                "image/*,.zip",
                LIMITS,
                _examples(),
                "these",
                gains=GAINS,
            )
        with gr.Column(visible=False) as parts.screen:
            parts.csv = gr.DownloadButton("Download CSV", elem_id="batch-csv")
            parts.view = shell.scripted("batch", "batch-view", LABELS=" ".join(LABELS))
    return parts


def _examples() -> list[shell.Example]:
    _, first = next(batch_files.pictures([(EXAMPLE.name, EXAMPLE)]))
    return [shell.Example(read_picture(first).picture, "the example pictures, in a zip file")]


def _begin(parts: SimpleNamespace, files: list[tuple[str, Path]]) -> Updates:
    return {parts.kept: uploads.Kept(Batch(files)), parts.status: html.progress(WAITING)}


def _begin_again(parts: SimpleNamespace, kept: uploads.Kept | None) -> Updates:
    batch = kept and kept.value
    if batch is None:
        return _reset(parts, html.error(uploads.RESULT_GONE))
    return _begin(parts, batch.files)


def _reset(parts: SimpleNamespace, status: str = html.message(START)) -> Updates:
    """Return what is shown without files."""
    return {
        parts.kept: None,
        parts.status: status,
        parts.choice: gr.Column(visible=True),
        parts.screen: gr.Column(visible=False),
        parts.view: None,
        parts.csv: None,
    }


def _analyze(
    parts: SimpleNamespace, detective: EmotionDetective, kept: uploads.Kept | None
) -> Iterator[Updates]:
    """Yield what each file shows, and everything at the end."""
    batch = kept and kept.value
    if not shell.begins(batch):
        yield {parts.kept: gr.skip()}
        return
    wanted = min(batch_files.count(batch.files), batch_files.MAX_FILES)
    yield {
        parts.status: html.progress(f"0 of {wanted} files", 0.0),
        parts.choice: gr.Column(visible=False),
        parts.screen: gr.Column(visible=True),
        parts.view: {"counts": batch_view.totals(batch.counts)},
    }
    told_s, told = 0.0, 0
    for result in batch_files.read(detective, batch_files.pictures(batch.files)):
        batch.add(result)
        if batch.is_left:
            yield {parts.kept: gr.skip()}  # in the place of Gradio's echo of the last value
            return
        if batch.is_stopped:
            break
        if time.monotonic() - told_s < shell.TELL_EVERY_S:
            continue
        done = len(batch.cards)
        yield {
            parts.status: html.progress(f"{done} of {wanted} files", done / wanted),
            parts.view: {
                "counts": batch_view.totals(batch.counts),
                # As text: of lists that grow and shrink Gradio's differences are wrong.
                "read": json.dumps(batch.cards[told:]),
                "index": told,
            },
        }
        told_s, told = time.monotonic(), done
    yield _show_result(parts, batch)


def _show_result(parts: SimpleNamespace, batch: Batch) -> Updates:
    read = len(batch.cards)
    left_out = batch_files.count(batch.files) - read
    told = words.batch_summary(batch.rows, read, left_out, batch.cut_short)
    return {
        parts.status: html.message(f"Stopped. {told}" if batch.is_stopped else told),
        # As a file, which goes as uploads go: what an event returns Gradio keeps in memory.
        parts.view: {
            "counts": batch_view.totals(batch.counts),
            "cards": uploads.as_download(uploads.keep(json.dumps(batch.cards), "cards.json")),
            "whole": not batch.is_stopped,
        },
        parts.csv: uploads.keep(to_csv(batch.rows), "batch.csv"),
    }


def _keep_picture(batch: Batch | None, index: int) -> dict:
    """Return one of the pictures as a file that the Photo tab can open."""
    if batch is None:
        raise ValueError(uploads.RESULT_GONE)
    found = next(islice(batch_files.pictures(batch.files), max(0, index), None), None)
    if found is None or isinstance(found[1], ValueError):
        raise ValueError("This picture cannot be opened; choose another one.")
    name, source = found
    path = source if isinstance(source, Path) else uploads.keep(source, "picture")
    return uploads.as_download(str(path)) | {"orig_name": name}
