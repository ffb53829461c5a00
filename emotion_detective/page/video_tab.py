"""The Video tab: faces followed through a video, shown in one player; the data as CSV.

The analysis begins by itself (`_begin`, `_analyze`). The visitor's own video plays in `video.html`,
with boxes drawn over it by `video.js`; a copy with the boxes in its pictures is made for who asks
for it, and for a browser that cannot play the file (`_annotate`). `video_layout` lays the tab out.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from emotion_detective.core.detective import EmotionDetective
from emotion_detective.page import film, html, shell, uploads
from emotion_detective.page.gradio_seam import errors_as_messages
from emotion_detective.page.video_layout import EXAMPLE, START, lay_out
from emotion_detective.video import follow

WAITING = "Waiting: one video is read at a time"
NO_COPY = "No copy with the faces was made."
UNPLAYABLE = "This browser cannot play your video, so it is written again, with the faces"
# The page is told no more often than this how far the work is.
TELL_EVERY_S = 0.5
# What was found so far is sent whole each time, so ever more rarely: after this part of the time
# that reading took until then.
SHOW_AFTER = 0.25
CONCURRENCY = {"concurrency_id": "video", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}

Updates = dict[gr.blocks.Block, object]


@dataclass
class Followed:
    """A visitor's video: where the upload lies, and what was found in it so far."""

    path: Path
    progress: follow.Progress | None = None
    is_whole: bool = False
    is_stopped: bool = False
    reading: threading.Lock = field(default_factory=threading.Lock)  # held while `progress` changes

    def read(self, steps: Iterator[follow.Progress]) -> Iterator[follow.Progress]:
        """Yield the steps, the last of which is kept."""
        while True:
            with self.reading:
                step = next(steps, None)
                self.progress = step or self.progress
            if step is None:
                return
            yield step


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    parts = lay_out()
    shown = [
        *(parts.kept, parts.status, parts.choice, parts.screen, parts.player),
        *(parts.tools, parts.csv, parts.copy, parts.copied, parts.copy_status),
    ]

    def receive(sent: gr.EventData) -> Updates:
        try:
            ((_, path),) = shell.received(sent, [EXAMPLE])
            if path == EXAMPLE:
                path = Path(uploads.keep(path.read_bytes(), path.name))
        except ValueError as error:
            return _reset(parts, html.error(str(error)))
        return _begin(parts, path)

    quick = {"queue": False, "concurrency_id": "quick", **PRIVATE}
    received = parts.intake.opened(receive, None, shown, **quick)
    asked = parts.again.click(partial(_begin_again, parts), parts.kept, shown, **quick)
    analyzing = [
        begun.success(
            partial(_analyze, parts, detective),
            [parts.kept, parts.rate],
            shown,
            trigger_mode="multiple",  # the last one may be about to end
            **CONCURRENCY,
            **PRIVATE,
        )
        for begun in (received, asked)
    ]
    stopped = parts.stop.click(_stop, parts.kept, None, cancels=analyzing, **quick)
    # In the queue, so that it comes after the last progress, which may come after the click.
    for ended in (stopped.then, *(one.failure for one in analyzing)):
        ended(partial(_show_stopped, parts), parts.kept, shown, concurrency_id="stopped", **PRIVATE)

    def copy_to_play(kept: uploads.Kept | None, asked: gr.EventData) -> Iterator[Updates]:
        webm = getattr(asked, "webm", False) is True
        yield from _annotate(parts, "faces.webm" if webm else "faces.mp4", True, kept)

    copying = [
        _wire_copy(parts, parts.copy.click, partial(_annotate, parts, "faces.mp4", False), WAITING),
        _wire_copy(parts, parts.player.unplayable, copy_to_play, UNPLAYABLE),
    ]
    parts.copy_stop.click(None, cancels=copying, **PRIVATE)
    parts.new.click(
        partial(_start_over, parts), parts.kept, shown, cancels=[*analyzing, *copying], **quick
    )


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


def _begin_again(parts: SimpleNamespace, kept: uploads.Kept | None) -> Updates:
    followed = kept and kept.value
    if followed is None:
        return _reset(parts, html.error(uploads.RESULT_GONE))
    return _begin(parts, followed.path)


def _begin(parts: SimpleNamespace, path: Path) -> Updates:
    """Return what stands there as soon as a video is chosen: the player, and that it must wait."""
    return _reset(parts) | {
        parts.kept: uploads.Kept(Followed(path)),
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
    parts: SimpleNamespace, detective: EmotionDetective, kept: uploads.Kept | None, rate_hz: float
) -> Iterator[Updates]:
    """Yield how far the work is and what was found so far, and everything at the end."""
    followed = kept and kept.value
    if followed is None:  # refused
        yield {parts.kept: None}
        return
    begun_s = told_s = shown_s = time.monotonic()
    try:
        uploads.uploaded_path(str(followed.path))  # it may have waited for too long
        for progress in followed.read(follow.follow_faces(detective, followed.path, rate_hz)):
            # A progress, or Gradio's echo of the last one, would come after what is shown then.
            if followed.is_stopped:
                yield {parts.kept: gr.skip()}
                return
            now_s = time.monotonic()
            if now_s - told_s < TELL_EVERY_S:
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


def _stop(kept: uploads.Kept | None) -> None:
    if followed := kept and kept.value:
        followed.is_stopped = True


def _start_over(parts: SimpleNamespace, kept: uploads.Kept | None) -> Updates:
    _stop(kept)
    return _reset(parts)


def _show_stopped(parts: SimpleNamespace, kept: uploads.Kept | None) -> Updates:
    """Return what was found until the work was stopped."""
    followed = kept and kept.value
    if (
        followed is None or followed.is_whole or not followed.is_stopped
    ):  # for another video, or too late
        return {parts.kept: gr.skip()}
    with followed.reading:
        return _show_result(parts, followed, "Stopped.")


def _found(followed: Followed, faces: list[film.FaceInTime]) -> dict:
    """Return what the player shows of a video until now."""
    found = uploads.keep(film.to_json(followed.progress, faces), "found.json")
    return {"video": uploads.as_download(str(followed.path)), "found": uploads.as_download(found)}


def _show_result(parts: SimpleNamespace, followed: Followed, stopped: str = "") -> Updates:
    progress = followed.progress
    if progress is None or not progress.timeline.tracks:
        told = [stopped or "No face found in this video.", *(progress.notices if progress else ())]
        value = {"video": uploads.as_download(str(followed.path)), "none": True}
        return {parts.status: html.message(" ".join(told)), parts.player: value}
    faces = film.over_time(progress.timeline)
    value = _found(followed, faces) | {"whole": True}
    if not stopped:
        followed.progress, followed.is_whole = replace(progress, moments=(), portraits={}), True
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
            if time.monotonic() - told_s > TELL_EVERY_S:
                told_s = time.monotonic()
                share = min(1.0, time_s / timeline.duration_s) if timeline.duration_s else None
                yield {parts.copy_status: html.progress(text, share)}
    yield {
        parts.copy_status: html.message("The copy is ready. It has no sound."),
        parts.copy: gr.Button(visible=False),
        parts.copied: gr.DownloadButton(value=str(target), visible=True),
    } | ({parts.player: {"copy": uploads.as_download(str(target))}} if for_player else {})
