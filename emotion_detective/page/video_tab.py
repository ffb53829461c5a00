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
from emotion_detective.page.video_layout import EXAMPLE, START, lay_out
from emotion_detective.video import follow

WAITING = "Waiting: one video is read at a time"
NO_COPY = "No copy with the faces was made."
UNPLAYABLE = "This browser cannot play your video, so it is written again, with the faces"
# The page is told no more often than this how far the work is.
TELL_EVERY_S = 0.5
CONCURRENCY = {"concurrency_id": "video", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}

Updates = dict[gr.blocks.Block, object]


@dataclass(frozen=True)
class Followed:
    """What is kept of a video for its visitor: what was found, and where the upload lies."""

    progress: follow.Progress
    path: Path


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    parts = lay_out()
    shown = [
        *(parts.sent, parts.kept, parts.status, parts.choice, parts.screen, parts.player),
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

    quick = {"queue": False, **PRIVATE}
    received = parts.intake.opened(receive, None, shown, **quick)
    asked = parts.again.click(partial(_begin, parts), parts.sent, shown, **quick)
    analyzing = [
        begun.success(
            partial(_analyze, parts, detective),
            [parts.sent, parts.rate],
            shown,
            **CONCURRENCY,
            **PRIVATE,
        )
        for begun in (received, asked)
    ]
    parts.stop.click(None, cancels=analyzing, **PRIVATE)
    # After the last progress, which may come after the click.
    stopped = html.progress_ends("Stopped.")
    for one in analyzing:
        one.failure(None, parts.status, parts.status, js=stopped, **PRIVATE)
    copying = [
        _wire_copy(parts, parts.copy.click, for_player=False),
        _wire_copy(parts, parts.player.unplayable, for_player=True),
    ]
    parts.copy_stop.click(None, cancels=copying, **PRIVATE)
    parts.new.click(partial(_reset, parts), None, shown, cancels=[*analyzing, *copying], **quick)


def _wire_copy(parts: SimpleNamespace, wanted: Callable, for_player: bool) -> gr.events.Dependency:
    """Have a copy made when the event `wanted` comes; return the event that makes it."""
    waiting = html.progress_at_once(UNPLAYABLE if for_player else WAITING)
    wanted(None, None, parts.copy_status, js=waiting, **PRIVATE)
    copying = wanted(
        partial(_annotate, parts, for_player),
        parts.kept,
        [parts.copy_status, parts.copy, parts.copied, parts.player],
        **CONCURRENCY,
        **PRIVATE,
    )
    ended = html.progress_ends(NO_COPY)
    copying.failure(None, parts.copy_status, parts.copy_status, js=ended, **PRIVATE)
    return copying


def _begin(parts: SimpleNamespace, path: Path | None) -> Updates:
    """Return what stands there as soon as a video is chosen: the player, and that it must wait."""
    if path is None:
        return _reset(parts)
    return _reset(parts) | {
        parts.sent: path,
        parts.status: html.progress(WAITING),
        parts.choice: gr.Column(visible=False),
        parts.screen: gr.Column(visible=True),
        parts.player: {"video": uploads.as_download(str(path))},
    }


def _reset(parts: SimpleNamespace, status: str = html.message(START)) -> Updates:
    """Return what is shown without a video."""
    return {
        parts.sent: None,
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
    parts: SimpleNamespace, detective: EmotionDetective, path: Path | None, rate_hz: float
) -> Iterator[Updates]:
    """Yield how far the work is, and everything that was found at the end."""
    if path is None:
        yield {parts.kept: None}
        return
    told_s = 0.0
    try:
        uploads.uploaded_path(str(path))  # it may have waited for too long
        for progress in follow.follow_faces(detective, path, rate_hz):
            if time.monotonic() - told_s > TELL_EVERY_S:
                told_s = time.monotonic()
                text = f"{progress.time_s:.0f} seconds of video read"
                yield {parts.status: html.progress(text, progress.fraction)}
    except ValueError as error:
        yield _reset(parts, html.error(str(error)))
        return
    if not progress.timeline.tracks:
        told = " ".join(["No face found in this video.", *progress.notices])
        yield {parts.status: html.message(told)}
        return
    yield _show_result(parts, progress, path)


def _show_result(parts: SimpleNamespace, progress: follow.Progress, path: Path) -> Updates:
    faces = film.over_time(progress.timeline)
    value = {
        "video": uploads.as_download(str(path)),
        "found": uploads.as_download(uploads.keep(film.to_json(progress, faces), "found.json")),
    }
    csv = uploads.keep(progress.timeline.csv(), "video.csv")
    return {
        parts.kept: uploads.Kept(Followed(replace(progress, moments=(), portraits={}), path)),
        parts.status: html.message(film.summarize(progress, faces)),
        parts.player: value,
        parts.tools: gr.Column(visible=True),
        parts.csv: csv,
    }


def _annotate(
    parts: SimpleNamespace, for_player: bool, kept: uploads.Kept | None
) -> Iterator[Updates]:
    """Yield how far the annotated copy is, then the copy."""
    followed = kept and kept.value
    if followed is None:
        raise gr.Error(uploads.RESULT_GONE, print_exception=False)
    path, timeline = followed.path, followed.progress.timeline
    target = uploads.reserve("faces.mp4")
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
