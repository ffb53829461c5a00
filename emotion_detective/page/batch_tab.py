"""The Batch tab: many pictures or a zip; totals first, then the pictures, then a table and CSV.

Which buttons are in view follows from what the page shows: `batch.css`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gradio as gr

from emotion_detective.core.detective import EmotionDetective
from emotion_detective.core.rows import to_csv
from emotion_detective.files import MAX_FILE_BYTES
from emotion_detective.page import batch_files, batch_view, html, shell, uploads, words

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pictures.zip"
START = "Choose pictures or zip files: the analysis begins by itself."
GAINS = """<li>how often each emotion came, and which pictures show it</li>
<li>every picture with its faces and what they show</li>
<li>why a file could not be read, where one could not</li>
<li>a table of all faces, here and as CSV</li>"""
LIMITS = (
    f"Up to {batch_files.MAX_FILES} pictures, loose or in zip files, of "
    f"{MAX_FILE_BYTES / 1e6:.0f} MB each."
)
WAITING = "Waiting: one batch is read at a time"
# One batch at a time; its pictures take turns with those of other visitors.
CONCURRENCY = {"concurrency_id": "batch", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}

Updates = dict[gr.blocks.Block, object]


@dataclass(frozen=True)
class Parts:
    """The tab's components: what is chosen, what is shown of it, and what can be taken away."""

    status: gr.HTML
    stop: gr.Button
    again: gr.Button
    new: gr.Button
    choice: gr.Row
    files: gr.File
    screen: gr.Column
    view: gr.HTML
    tools: gr.Column
    table: gr.Dataframe
    csv: gr.DownloadButton

    def shown(self) -> list[gr.blocks.Block]:
        """Return all that another batch changes."""
        return [self.status, self.choice, self.screen, self.view, self.tools, self.table, self.csv]


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    parts = _lay_out()
    chosen = [parts.files.change, parts.again.click]
    at_once, before = (json.dumps(text) for text in (html.progress(WAITING), html.message(START)))
    waiting = f"(files) => files?.length ? {at_once} : {before}"
    gr.on(chosen, None, parts.files, parts.status, js=waiting, **PRIVATE)
    running = gr.on(
        chosen,
        partial(_analyze, parts, detective),
        parts.files,
        parts.shown(),
        preprocess=False,
        **CONCURRENCY,
        **PRIVATE,
    )
    parts.stop.click(None, cancels=running, **PRIVATE)
    # After its last progress, which may come after the click.
    stopped = html.progress_ends("Stopped.")
    running.failure(None, parts.status, parts.status, js=stopped, **PRIVATE)
    parts.new.click(
        lambda: _reset(parts) | {parts.files: None},
        None,
        [parts.files, *parts.shown()],
        cancels=running,
        queue=False,
        **PRIVATE,
    )


def _lay_out() -> Parts:
    with gr.Column(elem_id="batch-panel"):
        status, stop, again, new = shell.work_bar("batch", START, "New pictures")
        with gr.Row(elem_id="batch-choice") as choice:
            with gr.Column(scale=3, min_width=320):
                files = gr.File(
                    label="Pictures",
                    elem_id="batch-files",
                    file_count="multiple",
                    file_types=["image", ".zip"],
                    height=360,
                )
            with gr.Column(scale=2, min_width=320):
                gr.Examples(
                    [[[str(EXAMPLE)]]],
                    files,
                    example_labels=["The example pictures, in a zip file"],
                    label="Or try these",
                    elem_id="batch-examples",
                )
                gr.HTML(f'<ul class="ed-card">{GAINS}</ul>', elem_id="batch-gains")
                gr.Markdown(LIMITS, elem_classes="note")
        with gr.Column(visible=False) as screen:
            view = shell.scripted("batch", "batch-view")
        with gr.Column(visible=False, elem_id="batch-tools") as tools:
            csv = gr.DownloadButton("Download CSV", elem_id="batch-csv")
            table = gr.Dataframe(
                label="One row a face, or a file without one",
                headers=list(batch_view.TABLE_COLUMNS),
                datatype="str",  # file names are text, never HTML or Markdown
                elem_id="batch-table",
                max_height=420,
                interactive=False,
            )
    return Parts(
        status=status,
        stop=stop,
        again=again,
        new=new,
        choice=choice,
        files=files,
        screen=screen,
        view=view,
        tools=tools,
        table=table,
        csv=csv,
    )


def _reset(parts: Parts, message: str = START) -> Updates:
    """Return what `parts.shown()` are without files."""
    return {
        parts.status: html.message(message),
        parts.choice: gr.Row(visible=True),
        parts.screen: gr.Column(visible=False),
        parts.view: None,
        parts.tools: gr.Column(visible=False),
        parts.table: None,
        parts.csv: None,
    }


def _analyze(parts: Parts, detective: EmotionDetective, files: list | None) -> Iterator[Updates]:
    """Yield the totals after every file, and pictures, table and CSV at the end."""
    if not files:
        yield _reset(parts)
        return
    try:
        found = uploads.uploaded_files(files)
    except ValueError as error:
        yield _reset(parts, str(error))
        return
    total = batch_files.count(found)
    wanted = min(total, batch_files.MAX_FILES)
    counts: Counter[str] = Counter()
    rows, cards, lines, cut_short = [], [], [], 0
    yield {
        parts.status: html.progress(f"0 of {wanted} files", 0.0),
        parts.choice: gr.Row(visible=False),
        parts.screen: gr.Column(visible=True),
        parts.view: {"counts": batch_view.totals(counts)},
        parts.tools: gr.Column(visible=False),
    }
    for result in batch_files.read(detective, batch_files.pictures(found)):
        rows += result.rows
        cards.append(batch_view.card(result))
        lines += batch_view.lines(result)
        counts.update(batch_view.kinds(result))
        cut_short += bool(result.notice and result.picture)
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
