"""The Batch tab: many pictures or a zip, one row a face and one for each file without an answer."""

from collections.abc import Iterator
from functools import partial

import gradio as gr
import pandas as pd

from emotion_detective.inference import pictures
from emotion_detective.inference.detective import EmotionDetective
from emotion_detective.inference.rows import FILE_COLUMNS, Row, to_csv
from emotion_detective.page import batch_files, html, uploads, words
from emotion_detective.video import drawing

START = "Choose pictures or zip files, then press Analyze."
LIMITS = (
    f"Up to {batch_files.MAX_FILES} pictures, loose or in zip files, of "
    f"{pictures.MAX_FILE_BYTES / 1e6:.0f} MB each. A file that cannot be read gets a row that "
    "says so."
)
WAITING = "Waiting: one batch is read at a time"
# One batch at a time; its pictures take turns with those of other visitors.
CONCURRENCY = {"concurrency_id": "batch", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    with gr.Row():
        files = _files_column()
        with gr.Column(scale=3, min_width=320):
            status = gr.HTML(html.message(START), elem_id="batch-status")
            with gr.Row():
                start = gr.Button("Analyze", variant="primary", elem_id="batch-start")
                stop = gr.Button("Stop", elem_id="batch-stop")
                download = gr.DownloadButton("Download CSV", interactive=False, elem_id="batch-csv")
            gallery = gr.Gallery(
                show_label=False,
                elem_id="batch-gallery",
                height=260,
                object_fit="contain",
                format="jpeg",
            )
    table = _rows_table()
    start.click(None, None, status, js=html.progress_at_once(WAITING), **PRIVATE)
    running = start.click(
        partial(_analyze, detective),
        files,
        [status, table, gallery, download],
        preprocess=False,
        **CONCURRENCY,
        **PRIVATE,
    )
    stop.click(None, cancels=running, **PRIVATE)
    # After its last progress, which may come after the click.
    running.failure(None, status, status, js=html.progress_ends("Stopped."), **PRIVATE)


def _files_column() -> gr.File:
    with gr.Column(scale=2, min_width=320):
        files = gr.File(
            label="Pictures",
            elem_id="batch-files",
            file_count="multiple",
            file_types=["image", ".zip"],
            height=260,
        )
        gr.Markdown(LIMITS, elem_classes="note")
    return files


def _rows_table() -> gr.Dataframe:
    return gr.Dataframe(
        label="One row a face, or a file without one",
        headers=list(FILE_COLUMNS),
        datatype="str",  # file names are text, never HTML or Markdown
        elem_id="batch-table",
        max_height=420,
        interactive=False,
    )


def _analyze(detective: EmotionDetective, files: list | None) -> Iterator[tuple]:
    """Yield the status after every file, and table, pictures and CSV at the end."""
    if not files:
        yield html.message(START), *_nothing_found()
        return
    try:
        found = uploads.uploaded_files(files)
    except ValueError as error:
        yield html.message(str(error)), *_nothing_found()
        return
    yield gr.skip(), *_nothing_found()  # what stands there is of other files
    total = batch_files.count(found)
    wanted = min(total, batch_files.MAX_FILES)
    done, rows, thumbnails, cut_short = 0, [], [], 0
    for done, result in enumerate(
        batch_files.read(detective, batch_files.pictures(found)), start=1
    ):
        rows += result.rows
        cut_short += bool(result.notice)
        if thumbnail := result.thumbnail():
            thumbnails.append((thumbnail, result.rows[0]["file"]))
        text = f"{done} of {wanted} files"
        yield html.progress(text, done / wanted), gr.skip(), gr.skip(), gr.skip()
    csv = uploads.keep(to_csv(rows), "batch.csv")
    button = gr.DownloadButton(value=csv, interactive=True)
    yield (
        html.message(words.batch_summary(rows, done, total - done, cut_short)),
        _table(rows, detective.classifier.unsure_below),
        thumbnails,
        button,
    )


def _nothing_found() -> tuple:
    return None, None, gr.DownloadButton(value=None, interactive=False)


def _table(rows: list[Row], unsure_below: float) -> pd.DataFrame:
    """Return the rows as text, for reading: the CSV has all digits.

    Shares are texts of one length, as short tables are sorted letter by letter: " 9%" before "85%".
    """
    told = [
        row | {"label": f"unsure: {row['label']}"}
        if row["status"] == "ok" and row["confidence"] < unsure_below
        else row
        for row in rows
    ]
    table = pd.DataFrame(told, columns=list(FILE_COLUMNS))
    for column in table.columns[table.columns.get_loc("confidence") :]:
        table[column] = [
            drawing.percent(share).rjust(4) if pd.notna(share) else "" for share in table[column]
        ]
    table["face"] = ["" if pd.isna(number) else str(int(number)) for number in table["face"]]
    table["box"] = [
        ", ".join(str(round(side)) for side in box) if box else "" for box in table["box"]
    ]
    return table.fillna("")
