"""The Photo tab: a picture goes in and one stage takes its place, with every face to choose from.

`photo_stage` says what there is to show, `photo.js` shows it. The stage asks for more by events of
its own: a closer look at a face (`closer`), a file (`save`), the whole picture as one face
(`whole`), an example (`example`).
"""

from dataclasses import dataclass
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import ImageOps

from emotion_detective.core import faces
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.files import MAX_FILE_BYTES, MAX_PIXELS, read_picture
from emotion_detective.page import html, photo_stage, shell, uploads, words
from emotion_detective.page.gradio_seam import errors_as_messages

EXAMPLES_FOLDER = Path(__file__).resolve().parents[2] / "examples"
# File names, and what a visitor sees there.
EXAMPLES = {
    "one_face.jpg": "one face",
    "six_people.jpg": "six people, six emotions",
    "blurred.jpg": "too blurred to be sure",
    "no_face.jpg": "no face",
}
THUMBNAIL_PX = (240, 180)
EXAMPLES_SCRIPT = """
element.addEventListener("click", ({ target }) => {
  const card = target.closest("[data-index]");
  if (card) trigger("example", { index: Number(card.dataset.index) });
});"""
START = "Choose a picture, paste one, or take one with your camera."
LIMITS = (
    f"Up to {MAX_FILE_BYTES / 1e6:.0f} MB and {MAX_PIXELS / 1e6:.0f} million "
    f"pixels; the {faces.MAX_FACES} largest faces are read."
)
# Two at a time, for all events that run the network on one picture: one decodes and draws while the
# other's networks run.
CONCURRENCY = {"concurrency_id": "picture", "concurrency_limit": 2}
PRIVATE = {"api_visibility": "private", **CONCURRENCY}
QUIET = {"show_progress": "hidden", **PRIVATE}
# Whether the picture comes from the camera, which showed a mirror.
IS_SNAPSHOT = "(picture, _) => [picture, Boolean(window.photoIsSnapshot?.())]"


@dataclass(frozen=True)
class _Parts:
    """The tab's components. While the stage has a picture, `photo.css` hides where it came from."""

    kept: gr.State
    summary: gr.HTML
    again: gr.Button
    picture: gr.Image
    snapshot: gr.Checkbox
    examples: gr.HTML
    stage: gr.HTML
    closer: gr.HTML
    saved: gr.HTML


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    parts = _lay_out()

    # Gradio passes on what was pressed only to functions that carry annotations, as partial ones
    # do not.
    def example(pressed: gr.EventData) -> dict:
        with errors_as_messages():
            name = dict(enumerate(EXAMPLES)).get(_read(pressed, "index", int))
            if name is None:
                raise ValueError(f"There are {len(EXAMPLES)} examples; choose one of them.")
        return _show_file(detective, parts, EXAMPLES_FOLDER / name)

    def look_closer(kept: uploads.Kept | None, chosen: gr.EventData) -> dict:
        with errors_as_messages():
            return photo_stage.look_closer(detective, _there(kept), _read(chosen, "face", int))

    def save(kept: uploads.Kept | None, asked: gr.EventData) -> dict:
        with errors_as_messages():
            kind, face = _read(asked, "kind", str), _read(asked, "face", int)
            return photo_stage.save(detective, _there(kept), kind, face)

    shown = [parts.kept, parts.summary, parts.picture, parts.stage]
    latest = {"trigger_mode": "always_last", **PRIVATE}
    parts.picture.change(
        partial(_show_upload, detective, parts),
        [parts.picture, parts.snapshot],
        shown,
        js=IS_SNAPSHOT,
        preprocess=False,
        show_progress_on=parts.picture,
        **latest,
    )
    parts.examples.example(example, None, shown, show_progress_on=parts.examples, **latest)
    parts.stage.whole(
        partial(_show_whole, detective, parts), parts.kept, shown, show_progress="hidden", **latest
    )
    parts.stage.closer(look_closer, parts.kept, parts.closer, trigger_mode="multiple", **QUIET)
    # A session's last values stay in memory: a file not for longer than it takes to send it.
    parts.stage.save(save, parts.kept, parts.saved, **QUIET).then(
        lambda: None, None, parts.saved, **QUIET
    )
    parts.again.click(partial(_start_again, parts), None, shown, **QUIET)


def _lay_out() -> _Parts:
    with gr.Row(elem_id="photo-head"):
        summary = gr.HTML(html.message(START), elem_id="summary")
        again = gr.Button(
            "New picture", variant="primary", scale=0, min_width=140, elem_id="photo-again"
        )
    with gr.Row(elem_id="photo-start"):
        with gr.Column(scale=3, min_width=300):
            picture = gr.Image(
                label="Picture",
                show_label=False,
                elem_id="photo",
                sources=["upload", "webcam", "clipboard"],
                webcam_options=gr.WebcamOptions(mirror=False),
            )
            gr.HTML(f'<p class="ed-note">{LIMITS}</p>')
        with gr.Column(scale=2, min_width=300):
            examples = gr.HTML(_examples(), js_on_load=EXAMPLES_SCRIPT, elem_id="examples")
    stage = shell.scripted("photo", "photo-stage")
    return _Parts(
        kept=gr.State(),
        summary=summary,
        again=again,
        picture=picture,
        snapshot=gr.Checkbox(visible=False),
        examples=examples,
        stage=stage,
        closer=_messenger("photo-closer"),
        saved=_messenger("photo-saved"),
    )


def _messenger(name: str) -> gr.HTML:
    """Return a component that is not seen and hands its value to `photo.js` as a window's event.

    A value of its own would take the place of the stage's.
    """
    script = f"""
watch("value", () => {{
  if (props.value) window.dispatchEvent(new CustomEvent("{name}", {{ detail: props.value }}));
}});"""
    return gr.HTML(None, html_template="<i></i>", js_on_load=script, visible="hidden")


def _examples() -> str:
    cards = "".join(
        f'<button type="button" data-index="{index}" aria-label="Example: {escape(shows)}">'
        f'<img alt="" src="{_thumbnail(name)}"><span>{escape(shows)}</span></button>'
        for index, (name, shows) in enumerate(EXAMPLES.items())
    )
    return (
        f'<div class="ed-card"><h2>Or try one of these</h2><div class="cards">{cards}</div></div>'
    )


@cache
def _thumbnail(name: str) -> str:
    opened = read_picture(EXAMPLES_FOLDER / name)
    return html.picture_address(ImageOps.fit(opened.picture, THUMBNAIL_PX))


def _read(event: gr.EventData, name: str, kind: type) -> Any:
    """Return what the stage's script sent with an event; ValueError if someone else sent it."""
    try:
        value = getattr(event, name)
    except (AttributeError, TypeError):
        value = None
    if not isinstance(value, kind):
        raise ValueError(
            f"The page's own script sends {name} with this event; use the page, or the API."
        )
    return value


def _there(kept: uploads.Kept | None) -> photo_stage.Analysis:
    analysis = kept and kept.value
    if analysis is None:
        raise ValueError(uploads.RESULT_GONE)
    return analysis


def _show_upload(
    detective: EmotionDetective, parts: _Parts, upload: dict | None, snapshot: bool
) -> dict:
    """Return what takes the place of the empty page, or why nothing does."""
    if upload is None:  # cleared, by this tab too
        return {parts.summary: gr.skip()}
    try:
        path = uploads.uploaded_path(upload)
    except ValueError as error:
        return _refuse(parts, error)
    return _show_file(detective, parts, path, mirrored=bool(snapshot))


def _show_whole(detective: EmotionDetective, parts: _Parts, kept: uploads.Kept | None) -> dict:
    with errors_as_messages():
        analysis = _there(kept)
        if not analysis.path.is_file():
            raise ValueError(uploads.RESULT_GONE)
    return _show_file(detective, parts, analysis.path, whole_picture=True)


def _show_file(
    detective: EmotionDetective,
    parts: _Parts,
    path: Path,
    whole_picture: bool = False,
    mirrored: bool = False,
) -> dict:
    try:
        opened = read_picture(path)
    except ValueError as error:
        return _refuse(parts, error)
    analysis, shown = photo_stage.prepare(detective, opened, path, whole_picture)
    told = [
        f"{words.tally(analysis.in_view)}.",
        words.turned(analysis.in_view),
        opened.notice,
    ]
    return {
        parts.kept: uploads.Kept(analysis),
        parts.summary: html.message(" ".join(filter(None, told))),
        parts.stage: shown | {"mirrored": mirrored},
    }


def _refuse(parts: _Parts, error: ValueError) -> dict:
    """Return the empty page with a sentence: no torn picture stays."""
    return _start_again(parts) | {parts.summary: html.message(str(error))}


def _start_again(parts: _Parts) -> dict:
    return {
        parts.kept: None,
        parts.summary: html.message(START),
        parts.picture: None,
        parts.stage: None,
    }
