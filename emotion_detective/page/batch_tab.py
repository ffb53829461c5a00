"""The Batch tab: many pictures or a zip; totals first, then the pictures, then a table and CSV.

Which buttons are in view follows from what the page shows: `batch.css`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from emotion_detective import HOME
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.core.rows import to_csv
from emotion_detective.files import MAX_FILE_BYTES, read_picture
from emotion_detective.page import batch_files, batch_view, html, shell, uploads, words

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
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}

Updates = dict[gr.blocks.Block, object]


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    parts = _lay_out()
    shown = [
        *(parts.sent, parts.status, parts.choice, parts.screen, parts.view, parts.tools),
        *(parts.table, parts.csv),
    ]

    def receive(sent: gr.EventData) -> Updates:
        try:
            files = shell.received(sent, [EXAMPLE])
        except ValueError as error:
            return _reset(parts, html.error(str(error)))
        return {parts.sent: files, parts.status: html.progress(WAITING)}

    received = parts.intake.opened(receive, None, shown, queue=False, **PRIVATE)
    asked = parts.again.click(
        lambda: html.progress(WAITING), None, parts.status, queue=False, **PRIVATE
    )
    running = [
        begun.success(
            partial(_analyze, parts, detective), parts.sent, shown, **CONCURRENCY, **PRIVATE
        )
        for begun in (received, asked)
    ]
    parts.stop.click(None, cancels=running, **PRIVATE)
    # After its last progress, which may come after the click.
    stopped = html.progress_ends("Stopped.")
    for one in running:
        one.failure(None, parts.status, parts.status, js=stopped, **PRIVATE)
    parts.new.click(lambda: _reset(parts), None, shown, cancels=running, queue=False, **PRIVATE)


def _lay_out() -> SimpleNamespace:
    """Return the tab's components by name."""
    parts = SimpleNamespace(sent=gr.State())
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
            parts.view = shell.scripted("batch", "batch-view")
        with gr.Column(visible=False, elem_id="batch-tools") as parts.tools:
            parts.csv = gr.DownloadButton("Download CSV", elem_id="batch-csv")
            parts.table = gr.Dataframe(
                label="One row a face, or a file without one",
                headers=list(batch_view.TABLE_COLUMNS),
                datatype="str",  # file names are text, never HTML or Markdown
                elem_id="batch-table",
                max_height=420,
                interactive=False,
            )
    return parts


def _examples() -> list[shell.Example]:
    _, first = next(batch_files.pictures([(EXAMPLE.name, EXAMPLE)]))
    return [shell.Example(read_picture(first).picture, "the example pictures, in a zip file")]


def _reset(parts: SimpleNamespace, status: str = html.message(START)) -> Updates:
    """Return what is shown without files."""
    return {
        parts.sent: None,
        parts.status: status,
        parts.choice: gr.Column(visible=True),
        parts.screen: gr.Column(visible=False),
        parts.view: None,
        parts.tools: gr.Column(visible=False),
        parts.table: None,
        parts.csv: None,
    }


def _analyze(
    parts: SimpleNamespace, detective: EmotionDetective, found: list[tuple[str, Path]] | None
) -> Iterator[Updates]:
    """Yield the totals after every file, and pictures, table and CSV at the end."""
    if not found:  # refused
        yield {parts.sent: None}
        return
    total = batch_files.count(found)
    wanted = min(total, batch_files.MAX_FILES)
    counts: Counter[str] = Counter()
    rows, cards, lines, cut_short = [], [], [], 0
    yield {
        parts.status: html.progress(f"0 of {wanted} files", 0.0),
        parts.choice: gr.Column(visible=False),
        parts.screen: gr.Column(visible=True),
        parts.view: {"counts": batch_view.totals(counts)},
        parts.tools: gr.Column(visible=False),
    }
    for result in batch_files.read(detective, batch_files.pictures(found)):
        rows += result.rows
        cards.append(batch_view.card(result))
        lines += batch_view.lines(result)
        counts.update(batch_view.kinds(result))
        cut_short += result.is_cut
        yield {
            parts.status: html.progress(f"{len(cards)} of {wanted} files", len(cards) / wanted),
            parts.view: {"counts": batch_view.totals(counts)},
        }
    left_out = total - len(cards)
    yield {
        parts.status: html.message(words.batch_summary(rows, len(cards), left_out, cut_short)),
        # As a file, which goes as uploads go: what an event returns Gradio keeps in memory.
        parts.view: {
            "counts": batch_view.totals(counts),
            "cards": uploads.as_download(uploads.keep(json.dumps(cards), "cards.json")),
        },
        parts.tools: gr.Column(visible=True),
        parts.table: {"data": lines, "headers": list(batch_view.TABLE_COLUMNS)},
        parts.csv: uploads.keep(to_csv(rows), "batch.csv"),
    }
