"""The Photo tab: every face of one picture, boxed and numbered; one face looked at closely.

A picture that arrives is analysed at once (`_analyze`); choosing a face, by its box or in the list,
shows its details (`_show_face`); downloads are written last, so that no one waits for them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import gradio as gr
from PIL import Image

from emotion_detective.inference import faces, heatmap, pictures
from emotion_detective.inference.detective import EmotionDetective, Prediction, compute
from emotion_detective.inference.rows import Row, file_rows, to_csv
from emotion_detective.page import api, html, upload_folder, uploads, words
from emotion_detective.video import drawing

EXAMPLES_FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = ("one_face.jpg", "five_faces.jpg", "no_face.jpg")
START = "Choose a picture, paste one, or take one with your camera."
LIMITS = (
    f"Up to {pictures.MAX_FILE_BYTES / 1e6:.0f} MB and {pictures.MAX_PIXELS / 1e6:.0f} million "
    f"pixels; the {faces.MAX_FACES} largest faces are read. The PNG to download has "
    f"{drawing.MAX_VIEW_PX} pixels a side at most; JSON and CSV count in those of your picture."
)
# Two at a time, for all events that run the network on one picture: one decodes and draws while the
# other's networks run.
CONCURRENCY = {"concurrency_id": "picture", "concurrency_limit": 2}
PRIVATE = {"api_visibility": "private", **CONCURRENCY}
QUIET = {"show_progress": "hidden", **PRIVATE}


@dataclass(frozen=True)
class Analysis:
    """What is kept of a picture for its visitor: small, and gone as files go.

    `in_view` has boxes in pixels of the view, `rows` and `answer` in those of the picture; `seen`
    holds each face as the network got it.
    """

    view_jpeg: bytes
    in_view: list[Prediction]
    seen: list[Image.Image]
    answer: api.PictureAnswer
    rows: list[Row]

    def annotated(self, chosen: int | None = None) -> Image.Image:
        """Return the view with all faces drawn."""
        return drawing.draw_faces(Image.open(BytesIO(self.view_jpeg)), self.in_view, chosen=chosen)


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    kept = gr.State()
    with gr.Row():
        picture, whole = _picture_column()
        summary, annotated, chosen = _faces_column()
    with gr.Row():
        card, seen, heat = _face_row()
    with gr.Row():
        downloads = [_download(kind) for kind in ("PNG", "JSON", "CSV")]
    details = [annotated, card, seen, heat]
    show_face = partial(_show_kept, detective)
    # Of choices that come faster than answers the last one counts. Not checked against the choices
    # on the page, which Gradio forgets with the session.
    latest = {"preprocess": False, "trigger_mode": "always_last", **QUIET}
    chosen.input(show_face, [kept, chosen], details, **latest)
    clicked = annotated.select(_number_at, kept, chosen, trigger_mode="always_last", **QUIET)
    clicked.success(show_face, [kept, chosen], details, **latest)
    gr.on(
        [picture.change, whole.input],
        partial(_analyze, detective),
        [picture, whole],
        [*downloads, kept, summary, chosen, *details],
        preprocess=False,
        show_progress_on=annotated,
        trigger_mode="always_last",
        **PRIVATE,
    ).then(_write_downloads, kept, downloads, trigger_mode="always_last", **QUIET)


def _picture_column() -> tuple[gr.Image, gr.Checkbox]:
    with gr.Column(scale=2, min_width=320):
        picture = gr.Image(
            label="Picture",
            elem_id="photo",
            height=360,
            sources=["upload", "webcam", "clipboard"],
            webcam_options=gr.WebcamOptions(mirror=False),
        )
        whole = gr.Checkbox(label="Read the whole picture as one face", elem_id="whole")
        gr.Markdown(LIMITS, elem_classes="note")
        gr.Examples([str(EXAMPLES_FOLDER / name) for name in EXAMPLES], picture, elem_id="examples")
    return picture, whole


def _faces_column() -> tuple[gr.HTML, gr.Image, gr.Radio]:
    with gr.Column(scale=3, min_width=320):
        summary = gr.HTML(html.message(START), elem_id="summary")
        annotated = gr.Image(
            label="Faces found",
            elem_id="annotated",
            height=420,
            format="jpeg",
            interactive=False,
            buttons=["fullscreen"],
            alt_text="The picture with a numbered box around every face",
        )
        chosen = gr.Radio([], label="Faces, largest first", elem_id="faces")
    return summary, annotated, chosen


def _face_row() -> tuple[gr.HTML, gr.Image, gr.Image]:
    with gr.Column(scale=3, min_width=320):
        card = gr.HTML(html.NO_FACE_CHOSEN, elem_id="card")
    with gr.Column(scale=2, min_width=320), gr.Row():
        seen = _face_picture("What the model saw", "seen")
        heat = _face_picture("Where it looked (yellow: most)", "heat")
    return card, seen, heat


def _download(kind: str) -> gr.DownloadButton:
    return gr.DownloadButton(
        f"Download {kind}", interactive=False, elem_id=f"download-{kind.lower()}"
    )


def _face_picture(caption: str, elem_id: str) -> gr.Image:
    with gr.Column(min_width=140):
        picture = gr.Image(
            show_label=False,
            elem_id=elem_id,
            height=220,
            format="png",
            interactive=False,
            buttons=[],
            alt_text=f"{caption}: the chosen face in gray",
        )
        gr.Markdown(caption, elem_classes="caption")
    return picture


def _analyze(detective: EmotionDetective, upload: dict | None, whole_picture: bool) -> tuple:
    """Return what `tab` shows for a new picture, beginning with the largest face."""
    if upload is None:
        return _told(START)
    try:
        path = uploads.uploaded_path(upload)
        opened = pictures.read_picture(path)
    except ValueError as error:
        return _told(str(error))
    analysis = analyze(detective, opened, path.name, whole_picture)
    message = analysis.answer["message"]
    if not analysis.in_view:
        return _told(message, analysis, _no_details(analysis.annotated()))
    choices = [(f"{i} · {words.verdict(p)}", i) for i, p in enumerate(analysis.in_view, start=1)]
    return _told(message, analysis, _show_face(detective, analysis, 1), choices)


def _told(
    message: str,
    analysis: Analysis | None = None,
    details: tuple | None = None,
    choices: Sequence[tuple[str, int]] = (),
) -> tuple:
    """Return the outputs of `_analyze`; of the faces to choose from the first is chosen."""
    chosen = gr.Radio([*choices], value=1 if choices else None)
    details = details or _no_details(None)
    kept = analysis and upload_folder.Kept(analysis)
    return *_no_downloads(), kept, html.message(message), chosen, *details


def analyze(
    detective: EmotionDetective, opened: pictures.Opened, name: str, whole_picture: bool
) -> Analysis:
    """Return an opened picture's faces with all that the tab shows and hands out."""
    picture = opened.picture
    predictions = detective.read(picture, whole_picture)
    view, in_view = drawing.to_view(picture, predictions)
    return Analysis(
        view_jpeg=drawing.to_jpeg(view),
        in_view=in_view,
        seen=[
            heatmap.seen(detective.classifier, faces.crop(picture, prediction.box_xyxy))
            for prediction in predictions
        ],
        answer=api.picture_answer(detective.classifier, predictions, opened.notice),
        rows=file_rows(name, predictions),
    )


def _show_kept(
    detective: EmotionDetective, kept: upload_folder.Kept | None, number: int | None
) -> tuple:
    """Return the details of the face with this number; of no number, all faces."""
    analysis = kept and kept.value
    if analysis is None or (number or 0) > len(analysis.in_view):  # of a picture before this one
        raise gr.Error(uploads.RESULT_GONE, print_exception=False)
    if number is None:
        return _no_details(analysis.annotated())
    return _show_face(detective, analysis, number)


def _show_face(detective: EmotionDetective, analysis: Analysis, number: int) -> tuple:
    face, seen = analysis.in_view[number - 1], analysis.seen[number - 1]
    return (
        analysis.annotated(number),
        html.face_card(face, number, detective.classifier.metrics),
        heatmap.enlarged(seen),
        compute(heatmap.heat_map, detective.classifier, seen, face.label),
    )


def _no_details(annotated: Image.Image | None) -> tuple:
    return annotated, html.NO_FACE_CHOSEN, None, None


def _number_at(kept: upload_folder.Kept | None, click: gr.SelectData) -> int | dict:
    """Return the number of the face that was clicked."""
    analysis = kept and kept.value
    if analysis is None:
        raise gr.Error(uploads.RESULT_GONE, print_exception=False)
    index = drawing.face_at(analysis.in_view, *click.index)
    return gr.skip() if index is None else index + 1


def _no_downloads() -> list:
    return [gr.DownloadButton(value=None, interactive=False)] * 3


def _write_downloads(kept: upload_folder.Kept | None) -> list:
    analysis = kept and kept.value
    if analysis is None:
        return _no_downloads()
    png = BytesIO()
    analysis.annotated().save(png, "PNG")
    written = [
        uploads.keep(png.getvalue(), "faces.png"),
        uploads.keep(json.dumps(analysis.answer, indent=2), "faces.json"),
        uploads.keep(to_csv(analysis.rows), "faces.csv"),
    ]
    return [gr.DownloadButton(value=path, interactive=True) for path in written]
