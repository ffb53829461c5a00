"""The Photo tab: a picture goes in and one stage takes its place, with every face to choose from.

The browser shows the visitor's own picture at once; `photo_stage` says step by step what was found
in it, `photo.js` shows it. The stage asks for more by events of its own: a closer look at a face
(`closer`), a file (`save`), the whole picture as one face (`whole`), a new picture (`cleared`).
"""

from collections.abc import Iterator

import gradio as gr

from emotion_detective import HOME
from emotion_detective.core import faces
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.files import MAX_FILE_BYTES, MAX_PIXELS, read_picture
from emotion_detective.page import photo_stage, shell, uploads

EXAMPLES_FOLDER = HOME / "examples"
# File names, and what a visitor sees there.
EXAMPLES = {
    "one_face.jpg": "one face",
    "six_people.jpg": "six people, six emotions",
    "surprised_or_neutral.jpg": "surprised or neutral?",
    "no_face.jpg": "no face",
}
# What one sees first, already read.
FIRST = "six_people.jpg"
LIMITS = (
    f"Up to {MAX_FILE_BYTES / 1e6:.0f} MB and {MAX_PIXELS / 1e6:.0f} million pixels; "
    f"the {faces.MAX_FACES} largest faces are read."
)
# Two at a time, for all events that run the network on one picture: one decodes and draws while the
# other's networks run.
CONCURRENCY = {"concurrency_id": "picture", "concurrency_limit": 2}
PRIVATE = {**shell.PRIVATE, **CONCURRENCY}

Step = tuple[uploads.Kept | None, dict]


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    kept = gr.State()
    stage = shell.scripted("photo", "photo-stage")
    intake = shell.intake(
        "photo",
        "a picture",
        "image/*",
        LIMITS,
        _examples(),
        "one of these",
        camera="picture",
        first=_first_sight(detective),
    )
    closer, saved = (shell.messenger(f"photo-{name}") for name in ("closer", "saved"))

    def read(sent: gr.EventData) -> Iterator[Step]:
        try:
            ((_, path),) = shell.received(sent, [EXAMPLES_FOLDER / name for name in EXAMPLES])
            yield from photo_stage.read(detective, path, bool(getattr(sent, "seen", False)))
        except ValueError as error:
            yield None, photo_stage.refusal(error)

    def read_whole(kept: uploads.Kept | None) -> Iterator[Step]:
        try:
            path = _there(kept).path
            if not path.is_file():
                raise ValueError(uploads.RESULT_GONE)
            yield from photo_stage.read(detective, path, is_seen=True, whole_picture=True)
        except ValueError as error:
            yield None, photo_stage.refusal(error)

    def look_closer(kept: uploads.Kept | None, chosen: gr.EventData) -> dict:
        try:
            index = shell.field(chosen, "face", int)
            return photo_stage.look_closer(detective, _there(kept), index)
        except ValueError as error:
            return photo_stage.refusal(error)

    def save(kept: uploads.Kept | None, asked: gr.EventData) -> dict:
        try:
            return photo_stage.save(_there(kept), shell.field(asked, "kind", str))
        except ValueError as error:
            return photo_stage.refusal(error)

    steps = [
        intake.opened(read, None, [kept, stage], **PRIVATE),
        stage.whole(read_whole, kept, [kept, stage], **PRIVATE),
    ]
    for step in steps:
        step.failure(None, js="() => ed.gone('photo')", **PRIVATE)
    stage.cleared(lambda: (None, None), None, [kept, stage], cancels=steps, queue=False, **PRIVATE)
    stage.closer(look_closer, kept, closer, trigger_mode="multiple", **PRIVATE)
    # A session's last values stay in memory: a file not for longer than it takes to send it.
    stage.save(save, kept, saved, **PRIVATE).then(lambda: None, None, saved, **PRIVATE)


def _examples() -> list[shell.Example]:
    return [
        shell.Example(read_picture(EXAMPLES_FOLDER / name).picture, shows)
        for name, shows in EXAMPLES.items()
    ]


def _first_sight(detective: EmotionDetective) -> str:
    """Return the HTML of an example with what was found in it, which page.js goes through."""
    picture = read_picture(EXAMPLES_FOLDER / FIRST).picture
    number = list(EXAMPLES).index(FIRST)
    return photo_stage.first_sight(picture, detective.analyze(picture), number)


def _there(kept: uploads.Kept | None) -> photo_stage.Analysis:
    analysis = kept and kept.value
    if analysis is None:
        raise ValueError(uploads.RESULT_GONE)
    return analysis
