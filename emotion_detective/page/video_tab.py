"""The Video tab: faces followed through a video, their emotions over time, the data as CSV."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import gradio as gr
import pandas as pd

from emotion_detective.inference.detective import EmotionDetective
from emotion_detective.page import charts, html, upload_folder, uploads, words
from emotion_detective.video import decoding, follow

START = "Choose or record a video, then press Analyze."
LIMITS = (
    f"mp4, mov or webm, up to {decoding.MAX_FILE_BYTES / 1e6:.0f} MB; "
    f"the first {decoding.MAX_SECONDS / 60:.0f} minutes are read."
)
WAITING = "Waiting: one video is read at a time"
RATES_HZ = (1, 10)
# A camera without a microphone records too, and nobody listens. In Gradio's 1920 x 1440 a browser
# is late with every frame.
CAMERA = {"audio": False, "video": {"width": {"ideal": 1280}, "height": {"ideal": 720}}}
# The page is told no more often than this how far the work is.
TELL_EVERY_S = 0.5
# What a session keeps where there is nothing to draw; None is what was forgotten.
NOTHING_FOLLOWED = ()
CONCURRENCY = {"concurrency_id": "video", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Followed:
    """What is kept of a video for its visitor: what was found, and where the upload lies."""

    progress: follow.Progress
    path: Path


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    kept = gr.State()
    with gr.Row():
        source, rate = _video_column()
        with gr.Column(min_width=320):
            status = gr.HTML(html.message(START), elem_id="video-status")
            with gr.Row():
                start = gr.Button("Analyze", variant="primary", elem_id="video-start")
                stop = gr.Button("Stop", elem_id="video-stop")
                download = gr.DownloadButton("Download CSV", interactive=False, elem_id="video-csv")
            annotated = _annotated_video()
    track = gr.Radio([], label="Face", elem_id="video-tracks")
    lines, bars = charts.row("video")
    moments = _moments_gallery()
    start.click(None, None, status, js=html.progress_at_once(WAITING), **PRIVATE)
    analyzing = start.click(
        partial(_analyze, detective),
        [source, rate],
        [kept, status, track, lines, bars, moments, download, annotated],
        preprocess=False,
        **CONCURRENCY,
        **PRIVATE,
    )
    drawing = analyzing.success(_annotate, kept, [status, annotated], **CONCURRENCY, **PRIVATE)
    # Not checked against the choices on the page, which Gradio forgets with the session.
    track.input(
        _show_track,
        [kept, track],
        lines,
        preprocess=False,
        trigger_mode="always_last",
        **PRIVATE,
    )
    stop.click(None, cancels=[analyzing, drawing], **PRIVATE)
    # After the last progress, which may come after the click.
    analyzing.failure(None, status, status, js=html.progress_ends("Stopped."), **PRIVATE)
    drawing.failure(_without_copy, kept, status, **PRIVATE)


def _video_column() -> tuple[gr.Video, gr.Slider]:
    with gr.Column(min_width=320):
        source = gr.Video(
            label="Video",
            elem_id="video",
            height=360,
            sources=["upload", "webcam"],
            webcam_options=gr.WebcamOptions(mirror=False, constraints=CAMERA),
        )
        rate = gr.Slider(
            *RATES_HZ, follow.DEFAULT_RATE_HZ, step=1, label="Frames looked at a second"
        )
        gr.Markdown(LIMITS, elem_classes="note")
    return source, rate


def _annotated_video() -> gr.Video:
    return gr.Video(
        label="With the faces drawn", elem_id="video-annotated", height=360, interactive=False
    )


def _moments_gallery() -> gr.Gallery:
    gr.Markdown("## Strongest moment of each emotion")
    return gr.Gallery(
        show_label=False, elem_id="video-moments", height=260, object_fit="contain", format="jpeg"
    )


def _analyze(detective: EmotionDetective, upload: dict | None, rate_hz: float) -> Iterator[tuple]:
    """Yield how far the work is, and everything that was found at the end."""
    if upload is None:
        yield _cleared(START)
        return
    told_s = 0.0
    try:
        path = uploads.uploaded_path(upload)
        yield None, gr.skip(), *_nothing_found()  # what stands there is of another video
        for progress in follow.analyze(detective, path, rate_hz):
            if time.monotonic() - told_s > TELL_EVERY_S:
                told_s = time.monotonic()
                text = f"{progress.time_s:.0f} seconds of video read"
                yield gr.skip(), html.progress(text, progress.share), *[gr.skip()] * 6
    except ValueError as error:
        yield _cleared(str(error))
        return
    yield _found(progress, path)


def _cleared(message: str) -> tuple:
    return NOTHING_FOLLOWED, html.message(message), *_nothing_found()


def _nothing_found() -> tuple:
    button = gr.DownloadButton(value=None, interactive=False)
    return gr.Radio([], value=None), None, None, [], button, None


def _found(progress: follow.Progress, path: Path) -> tuple:
    timeline = progress.timeline
    tracks = timeline.tracks
    if not tracks:
        return _cleared(" ".join(["No face found in this video.", *progress.notices]))
    moments = [
        (
            one.picture,
            f"{one.reading.track} {words.verdict(one.reading.prediction)}, "
            f"{one.reading.time_s:.1f} s",
        )
        for one in progress.moments
    ]
    return (
        upload_folder.Kept(Followed(replace(progress, moments=()), path)),
        html.message(_said(progress)),
        gr.Radio([(f"face {number}", number) for number in tracks], value=tracks[0]),
        charts.line_data(timeline, tracks[0]),
        charts.bar_data(timeline),
        moments,
        gr.DownloadButton(value=uploads.keep(timeline.csv(), "video.csv"), interactive=True),
        None,
    )


def _annotate(kept: upload_folder.Kept | tuple | None) -> Iterator[tuple]:
    """Yield how far the annotated copy is, then the copy."""
    followed = kept and kept.value
    if followed is None:
        raise gr.Error(uploads.RESULT_GONE, print_exception=False)
    if followed == NOTHING_FOLLOWED:
        yield gr.skip(), gr.skip()
        return
    progress, path = followed.progress, followed.path
    timeline = progress.timeline
    target = uploads.reserve("faces.mp4")
    told_s = 0.0
    with uploads.errors_as_messages(), upload_folder.in_use([path, target]):
        uploads.uploaded_path(str(path))  # it may have waited for too long
        for time_s in follow.annotate(path, timeline, target):
            if time.monotonic() - told_s > TELL_EVERY_S:
                told_s = time.monotonic()
                share = min(1.0, time_s / timeline.duration_s) if timeline.duration_s else None
                yield html.progress("Drawing the faces into a copy", share), gr.skip()
    yield html.message(_said(progress)), str(target)


def _without_copy(kept: upload_folder.Kept | tuple | None) -> str:
    """Return what was said before the copy was begun, and that there is none."""
    followed = kept and kept.value
    said = _said(followed.progress) if followed else uploads.RESULT_GONE
    return html.message(f"{said} No copy with the faces was made.")


def _said(progress: follow.Progress) -> str:
    shares = progress.timeline.frequencies().set_index("track").drop(columns="seconds")
    said = words.video_summary(shares.to_dict("index"), progress.timeline.duration_s)
    return " ".join([said, *progress.notices])


def _show_track(kept: upload_folder.Kept | tuple | None, track: int) -> pd.DataFrame:
    followed = kept and kept.value
    if not followed:
        raise gr.Error(uploads.RESULT_GONE, print_exception=False)
    return charts.line_data(followed.progress.timeline, track)
