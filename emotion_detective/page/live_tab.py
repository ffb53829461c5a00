"""The Live tab: the webcam's faces boxed and labelled as they move, and their emotions over time.

The browser sends a frame every `EVERY_S`; what the person sees is a mirror, what is computed and
written down is not. Nothing of the stream is written to disk.
"""

import base64
import threading
import time
from dataclasses import dataclass, field
from html import escape

import gradio as gr
from PIL import Image

from emotion_detective.inference import pictures
from emotion_detective.inference.detective import EmotionDetective
from emotion_detective.inference.model import LABELS
from emotion_detective.page import charts, uploads, words
from emotion_detective.video import drawing
from emotion_detective.video.timeline import Reading, Timeline

EVERY_S = 0.15
# Alone, a stream has six frames a second or more on two cores; more streams share them.
MAX_STREAMS = 2
MAX_STREAM_SECONDS = 120
# Streams that may wait beside those: a frame that waits is not even decoded. Any further one gets
# no answer until one of these has ended.
MAX_WAITING = 6
# Who sends nothing for so long has left: a browser that closes does not say so to this function.
SILENT_S = 10.0
# Faces at arm's length fill a third of the picture: this side finds them in half the time.
FRAME_SIDE_PX = 480
# Gradio asks the camera for 1920 x 1440 otherwise, ten times the bytes to pack and to send.
CAMERA_PX = {"width": {"ideal": 640}, "height": {"ideal": 480}}
CHARTS_EVERY_S = 1.0
CHART_SECONDS = 30.0
START = "Allow the camera, then press Record. Press Stop to end."
LIMITS = (
    f"A session ends after {MAX_STREAM_SECONDS // 60} minutes. {MAX_STREAMS} people can be live at "
    "a time; others wait for their turn. Frames are not stored."
)
FULL = (
    f"{MAX_STREAMS} people are live now, the most that this server can follow. "
    "You start as soon as there is room: keep this page open."
)
OVER = (
    f"Your {MAX_STREAM_SECONDS // 60} minutes are over. Press Stop, then download your table. "
    f"For another session wait {SILENT_S:.0f} seconds before you press Record."
)
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass
class Session:
    """One visitor's stream so far; `charted` is the track whose lines are shown."""

    timeline: Timeline
    started_s: float = field(default_factory=time.monotonic)
    charts_s: float = 0.0
    charted: int | None = None


class Seats:
    """Who is live: `MAX_STREAMS` visitors at most, each for `MAX_STREAM_SECONDS`.

    Gradio's own queue would let the others wait without a word, and start their time at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times_s: dict[str, tuple[float, float]] = {}  # visitor -> first frame, last frame

    def take(self, visitor: str) -> float | None:
        """Return for how many seconds the visitor has been live; None: there is no seat yet.

        Who stays for longer than allowed is told so and takes no one's seat.
        """
        now_s = time.monotonic()
        with self._lock:
            self._times_s = {
                who: times for who, times in self._times_s.items() if now_s - times[1] < SILENT_S
            }
            live = sum(
                now_s - first_s < MAX_STREAM_SECONDS for first_s, _ in self._times_s.values()
            )
            if visitor not in self._times_s and live >= MAX_STREAMS:
                return None
            first_s, _ = self._times_s.get(visitor, (now_s, now_s))
            self._times_s[visitor] = first_s, now_s
            return now_s - first_s

    def leave(self, visitor: str) -> None:
        """Free the visitor's seat; who has used up the time must be silent for `SILENT_S` first.

        When Gradio's own time limit ends a stream, its page begins another one at once.
        """
        with self._lock:
            first_s, last_s = self._times_s.get(visitor, (0.0, 0.0))
            if last_s - first_s < MAX_STREAM_SECONDS:
                self._times_s.pop(visitor, None)


def tab(detective: EmotionDetective) -> None:
    """Lay the tab out and wire it; called inside `gr.Blocks`."""
    seats = Seats()

    # Gradio passes on its request only to functions that carry annotations, as partial ones do not.
    def add_frame(upload: dict | None, session: Session | None, request: gr.Request) -> tuple:
        return _add_frame(detective, seats, upload, session, request.session_hash)

    def end(session: Session | None, request: gr.Request) -> gr.DownloadButton:
        seats.leave(request.session_hash)
        return _csv_button(session)

    session = gr.State()
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            camera = gr.Image(
                label="Camera",
                elem_id="live",
                height=320,
                sources=["webcam"],
                streaming=True,
                webcam_options=gr.WebcamOptions(mirror=False, constraints={"video": CAMERA_PX}),
            )
            gr.Markdown(LIMITS, elem_classes="note")
        with gr.Column(scale=3, min_width=320):
            mirror = gr.HTML(_mirror_html(None, START), elem_id="live-mirror")
    lines, bars = charts.row("live")
    with gr.Row():
        again = gr.Button("Start over", elem_id="live-again")
        download = gr.DownloadButton("Download CSV", interactive=False, elem_id="live-csv")
    camera.stream(
        add_frame,
        [camera, session],
        [session, mirror, lines, bars],
        preprocess=False,
        stream_every=EVERY_S,
        time_limit=2 * MAX_STREAM_SECONDS,  # a whole turn's waiting, then one's own
        concurrency_id="live",
        concurrency_limit=MAX_STREAMS + MAX_WAITING,
        **PRIVATE,
    ).then(end, session, download, **PRIVATE)
    again.click(
        lambda: (None, _mirror_html(None, START), None, None, gr.DownloadButton(interactive=False)),
        None,
        [session, mirror, lines, bars, download],
        **PRIVATE,
    )


def _add_frame(
    detective: EmotionDetective,
    seats: Seats,
    upload: dict | None,
    session: Session | None,
    visitor: str,
) -> tuple:
    """Return the frame with its faces as a mirror shows it, and once a second the charts.

    A session is returned by the frame that begins it only: "Start over" may have ended it since.
    """
    if upload is None:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip()
    live_s = seats.take(visitor)
    if live_s is None or live_s > MAX_STREAM_SECONDS:
        html = _mirror_html(None, FULL if live_s is None else OVER)
        return gr.skip(), html, gr.skip(), gr.skip()
    begun = gr.skip()
    if session is None:
        begun = session = Session(Timeline(LABELS, unsure_below=detective.classifier.unsure_below))
    with uploads.errors_as_messages():
        picture = pictures.open_picture(uploads.uploaded_frame(upload))
    picture.thumbnail((FRAME_SIDE_PX, FRAME_SIDE_PX))
    now_s = time.monotonic() - session.started_s
    readings = session.timeline.add(now_s, detective.read(picture))
    looking_glass, shown = drawing.mirrored(picture, [one.shown for one in readings])
    drawn = drawing.draw_faces(looking_glass, shown, [one.track for one in readings])
    html = _mirror_html(drawn, _said(readings))
    if not readings or now_s - session.charts_s < CHARTS_EVERY_S:
        return begun, html, gr.skip(), gr.skip()
    session.charts_s = now_s
    tracks = [one.track for one in readings]
    if session.charted not in tracks:
        session.charted = tracks[0]  # of the largest face
    lines = charts.line_data(session.timeline, session.charted, CHART_SECONDS)
    titled = gr.LinePlot(value=lines, title=charts.title(session.charted))
    return begun, html, titled, charts.bar_data(session.timeline)


def _said(readings: tuple[Reading, ...]) -> str:
    if not readings:
        return "No face in view."
    return "; ".join(f"face {one.track}: {words.verdict(one.shown)}" for one in readings)


def _mirror_html(picture: Image.Image | None, text: str) -> str:
    """Return the frame inside the page: as a file, every frame would lie on the server's disk."""
    if picture is None:
        return f'<div class="frame"></div><p role="status">{escape(text)}</p>'
    data = base64.b64encode(drawing.to_jpeg(picture)).decode()
    # No status: a screen reader would read out every frame.
    return f'<img class="frame" alt="" src="data:image/jpeg;base64,{data}"><p>{escape(text)}</p>'


def _csv_button(session: Session | None) -> gr.DownloadButton:
    if session is None:
        return gr.skip()
    return gr.DownloadButton(
        value=uploads.keep(session.timeline.csv(), "live.csv"), interactive=True
    )
