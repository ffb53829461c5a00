"""The Video tab: faces followed through a video, shown in one player; the data as CSV.

The analysis begins by itself (`_begin`, `_analyze`). The visitor's own video plays in `video.html`,
with boxes drawn over it by `video.js`; a copy with the boxes in its pictures is made for who asks
for it, and for a browser that cannot play the file (`_annotate`). `video_layout` lays the tab out.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from emotion_detective.core.detective import EmotionDetective
from emotion_detective.page import film, html, shell, uploads
from emotion_detective.page.gradio_seam import errors_as_messages
from emotion_detective.page.shell import PRIVATE
from emotion_detective.page.video_layout import EXAMPLE, START, lay_out
from emotion_detective.video import follow

WAITING = "Waiting: one video is read at a time"
NO_COPY = "No copy with the faces was made."
UNPLAYABLE = "This browser cannot play your video, so it is written again, with the faces"
# What was found so far is sent whole each time, so ever more rarely: after this part of the time
# that reading took until then.
SHOW_AFTER = 0.25
CONCURRENCY = {"concurrency_id": "video", "concurrency_limit": 1}

Updates = dict[gr.blocks.Block, object]


@dataclass
class Followed(shell.Work):
    """A visitor's video: where the upload lies, and what was found in it so far."""

    path: Path
    rate_hz: float
    progress: follow.Progress | None = None


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    parts = lay_out()
    shown = [
        *(parts.kept, parts.status, parts.choice, parts.screen, parts.player),
        *(parts.tools, parts.csv, parts.copy, parts.copied, parts.copy_status),
    ]

    def receive(rate_hz: float, sent: gr.EventData) -> Updates:
        try:
            ((_, path),) = shell.received(sent, [EXAMPLE])
            if path == EXAMPLE:
                path = Path(uploads.keep(path.read_bytes(), path.name))
        except ValueError as error:
            return _reset(parts, html.error(str(error)))
        return _begin(parts, path, rate_hz)

    again = partial(_begin_again, parts)
    begun = [
        parts.intake.opened(receive, parts.rate, shown, **shell.QUICK),
        parts.again.click(again, [parts.kept, parts.rate], shown, **shell.QUICK),
    ]
    shell.works(parts, shown, begun, partial(_analyze, parts, detective), _reset, **CONCURRENCY)

    def copy_to_play(kept: uploads.Kept | None, asked: gr.EventData) -> Iterator[Updates]:
        webm = getattr(asked, "webm", False) is True
        yield from _annotate(parts, "faces.webm" if webm else "faces.mp4", True, kept)

    copying = [
        _wire_copy(parts, parts.copy.click, partial(_annotate, parts, "faces.mp4", False), WAITING),
        _wire_copy(parts, parts.player.unplayable, copy_to_play, UNPLAYABLE),
    ]
    for button in (parts.copy_stop, parts.new):
        button.click(None, cancels=copying, **PRIVATE)


def _wire_copy(
    parts: SimpleNamespace, wanted: Callable, annotate: Callable, waiting: str
) -> gr.events.Dependency:
    """Have a copy made when the event `wanted` comes; return the event that makes it."""
    wanted(None, None, parts.copy_status, js=html.progress_at_once(waiting), **PRIVATE)
    copying = wanted(
        annotate,
        parts.kept,
        [parts.copy_status, parts.copy, parts.copied, parts.player],
        **CONCURRENCY,
        **PRIVATE,
    )
    ended = html.progress_ends(NO_COPY)
    copying.failure(None, parts.copy_status, parts.copy_status, js=ended, **PRIVATE)
    return copying


def _begin_again(parts: SimpleNamespace, kept: uploads.Kept | None, rate_hz: float) -> Updates:
    followed = kept and kept.value
    if followed is None:
        return _reset(parts, html.error(uploads.RESULT_GONE))
    return _begin(parts, followed.path, rate_hz)


def _begin(parts: SimpleNamespace, path: Path, rate_hz: float) -> Updates:
    """Return what stands there as soon as a video is chosen: the player, and that it must wait."""
    return _reset(parts) | {
        parts.kept: uploads.Kept(Followed(path, rate_hz)),
        parts.status: html.progress(WAITING),
        parts.choice: gr.Column(visible=False),
        parts.screen: gr.Column(visible=True),
        parts.player: {"video": uploads.as_download(str(path))},
    }


def _reset(parts: SimpleNamespace, status: str = html.message(START)) -> Updates:
    """Return what is shown without a video."""
    return {
        parts.kept: None,
        parts.status: status,
        parts.choice: gr.Column(visible=True),
        parts.screen: gr.Column(visible=False),
        parts.player: None,
        parts.tools: gr.Column(visible=False),
        parts.csv: None,
        parts.copy: gr.Button(visible=True),
        parts.copied: gr.DownloadButton(value=None, visible=False),
        parts.copy_status: "",
    }


def _analyze(
    parts: SimpleNamespace, detective: EmotionDetective, kept: uploads.Kept | None
) -> Iterator[Updates]:
    """Yield how far the work is and what was found so far, and everything at the end."""
    followed = kept and kept.value
    if not shell.begins(followed):
        yield {parts.kept: gr.skip()}
        return
    begun_s = told_s = shown_s = time.monotonic()
    try:
        uploads.uploaded_path(str(followed.path))  # it may have waited for too long
        for progress in follow.follow_faces(detective, followed.path, followed.rate_hz):
            followed.progress = progress
            if followed.is_left:
                yield {parts.kept: gr.skip()}  # in the place of Gradio's echo of the last value
                return
            if followed.is_stopped:
                break
            now_s = time.monotonic()
            if now_s - told_s < shell.TELL_EVERY_S:
                continue
            told_s = now_s
            text = f"{progress.time_s:.0f} seconds of video read"
            told = {parts.status: html.progress(text, progress.fraction)}
            if now_s - shown_s > SHOW_AFTER * (shown_s - begun_s) and progress.timeline.tracks:
                shown_s = now_s
                told[parts.player] = _found(followed, film.over_time(progress.timeline))
            yield told
    except ValueError as error:
        yield _reset(parts, html.error(str(error)))
        return
    yield _show_result(parts, followed)


def _found(followed: Followed, faces: list[film.FaceInTime]) -> dict:
    """Return what the player shows of a video until now."""
    found = uploads.keep(film.to_json(followed.progress, faces), "found.json")
    return {"video": uploads.as_download(str(followed.path)), "found": uploads.as_download(found)}


def _show_result(parts: SimpleNamespace, followed: Followed) -> Updates:
    progress = followed.progress
    stopped = "Stopped." if followed.is_stopped else ""
    if progress is None or not progress.timeline.tracks:
        told = [stopped or "No face found in this video.", *(progress.notices if progress else ())]
        value = {"video": uploads.as_download(str(followed.path)), "none": True}
        return {parts.status: html.message(" ".join(told)), parts.player: value}
    faces = film.over_time(progress.timeline)
    value = _found(followed, faces) | {"whole": True}
    followed.progress = replace(progress, moments=(), portraits={})  # pictures, shown already
    return {
        parts.status: html.message(f"{stopped} {film.summarize(progress, faces)}".lstrip()),
        parts.player: value,
        parts.tools: gr.Column(visible=True),
        parts.csv: uploads.keep(progress.timeline.csv(), "video.csv"),
    }


def _annotate(
    parts: SimpleNamespace, name: str, for_player: bool, kept: uploads.Kept | None
) -> Iterator[Updates]:
    """Yield how far the annotated copy is, then the copy."""
    followed = kept and kept.value
    if followed is None or followed.progress is None:
        raise gr.Error(uploads.RESULT_GONE, print_exception=False)
    path, timeline = followed.path, followed.progress.timeline
    target = uploads.reserve(name)
    text = UNPLAYABLE if for_player else "Drawing the faces into a copy"
    told_s = 0.0
    with errors_as_messages():
        uploads.uploaded_path(str(path))  # it may have waited for too long
        for time_s in follow.annotate(path, timeline, target):
            if time.monotonic() - told_s > shell.TELL_EVERY_S:
                told_s = time.monotonic()
                share = min(1.0, time_s / timeline.duration_s) if timeline.duration_s else None
                yield {parts.copy_status: html.progress(text, share)}
    yield {
        parts.copy_status: html.message("The copy is ready. It has no sound."),
        parts.copy: gr.Button(visible=False),
        parts.copied: gr.DownloadButton(value=str(target), visible=True),
    } | ({parts.player: {"copy": uploads.as_download(str(target))}} if for_player else {})
