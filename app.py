"""Emotion Detective's page and API: what a visitor sees, and what programs call.

    python app.py                                   # http://127.0.0.1:7860
    EMOTION_MODEL=user/name@revision python app.py  # another checkpoint, from the Hub or a folder

The model is loaded once. Each tab lives in `emotion_detective/page/`; the functions below are the
public API, documented for clients by their types and docstrings.

The two that take long are generators, which Gradio closes when the client cancels or leaves. They
yield empty answers while they work, then the whole one, whose type they state: a client that does
not ask for the steps sees only that one.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Emotion Detective needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

import logging
import os
import signal
from importlib.util import find_spec
from typing import Any

if __name__ == "__main__":  # imports take seconds, on a cold disk a minute
    print("Loading the model ...", flush=True)

from emotion_detective.page import surroundings, uploads

if __name__ == "__main__" and (reason := surroundings.unfit()):
    sys.exit(reason)
surroundings.reach_own_address()

# Gradio notes the folder when it is imported; if it was before, files of tools lie elsewhere.
TOOLS_ARE_SWEPT = "gradio" not in sys.modules
uploads.claim()
# Gradio asks for Matplotlib's backend; to choose one, Matplotlib would leave a file at home.
os.environ.setdefault("MPLBACKEND", "agg")

import gradio as gr
from starlette.applications import Starlette
from starlette.middleware import Middleware

from emotion_detective import EMBEDDED
from emotion_detective.core.detective import ServedDetective
from emotion_detective.core.loading import MODEL_VARIABLE
from emotion_detective.core.rows import Row, to_csv
from emotion_detective.files import read_picture
from emotion_detective.page import (
    about_tab,
    api,
    batch_files,
    batch_tab,
    live_routes,
    live_tab,
    photo_tab,
    shell,
    video_tab,
)
from emotion_detective.page.gradio_seam import (
    MAX_SESSIONS,
    MAX_THREADS,
    Head,
    Page,
    errors_as_messages,
)
from emotion_detective.video import decoding
from emotion_detective.video.follow import DEFAULT_RATE_HZ, follow_faces

logger = logging.getLogger("emotion_detective.app")
# Visitors that may wait; the next one gets a sentence that the page is busy.
QUEUE_SIZE = 64
# Gradio forgets the oldest of 2,000 sessions, whose waiting would end the whole queue, unless all
# that wait hear of their place at set times.
PLACE_EVERY_S = 1


def load_detective() -> tuple[ServedDetective, str]:
    """Return the detective, and a line for the page if it is not on the model asked for."""
    wanted, notice = os.environ.get(MODEL_VARIABLE), ""
    if wanted:
        try:
            return ServedDetective.from_pretrained(wanted), notice
        except ValueError as error:
            notice = f"This page runs on its embedded model instead of {wanted}. {error}"
            logger.warning(notice)
    return ServedDetective.from_pretrained(EMBEDDED), notice


detective, notice = load_detective()


def predict(picture: gr.FileData, whole_picture: bool = False) -> api.PictureAnswer:
    """Find every face in a picture and rate six emotions in each; schema version 2.

    Args:
        picture: a picture file; its faces are answered largest first.
        whole_picture: read the whole picture as one face, for pictures cropped to a face already.
    """
    with errors_as_messages():
        opened = read_picture(uploads.uploaded_path(picture))
    found = detective.find(opened.picture, bool(whole_picture))
    predictions = detective.classify(opened.picture, found)
    return api.picture_answer(detective.classifier, predictions, opened.notice)


def analyze_batch(files: list[gr.FileData]) -> tuple[list[Row], gr.FileData]:
    """Rate six emotions in every face of many pictures, or of zip files with pictures.

    Returns one row a face, and one for each file without a face or that cannot be read (`status`
    is ok, no_face or unreadable), then the same as a CSV file; schema version 2.

    Args:
        files: picture and zip files.
    """
    with errors_as_messages():
        sent = uploads.uploaded_files(files)
    rows = []
    for result in batch_files.read(detective, batch_files.pictures(sent)):
        rows += result.rows
        yield None, None
    yield rows, uploads.as_download(uploads.keep(to_csv(rows), "batch.csv"))


def analyze_video(
    video: gr.FileData, frames_per_second: float = DEFAULT_RATE_HZ
) -> tuple[list[api.VideoRow], api.Shares, gr.FileData]:
    """Follow every face through a video and rate six emotions in each over time.

    Returns one row a face and frame, the share of time of each emotion over all faces ("unsure"
    included), and the rows as a CSV file; schema version 2.

    Args:
        video: a video file such as mp4, mov or webm, or an animation (GIF, WebP, APNG).
        frames_per_second: how many frames are looked at for each second of video.
    """
    with errors_as_messages():
        path = uploads.uploaded_path(video)
        for progress in follow_faces(detective, path, frames_per_second):
            timeline = progress.timeline
            yield None, None, None
    csv = uploads.as_download(uploads.keep(timeline.csv(), "video.csv"))
    yield api.video_rows(timeline), timeline.overall_frequencies(), csv


with Page(title=shell.NAME) as demo:
    shell.title()
    if notice:
        gr.Markdown(notice, elem_id="notice")
    with shell.tab("Photo"):
        photo_tab.tab(detective)
    with shell.tab("Live"):
        live_tab.tab()
    with shell.tab("Video"):
        video_tab.tab(detective)
    with shell.tab("Batch"):
        batch_tab.tab(detective)
    with shell.tab("About"):
        about_tab.tab(detective.classifier)
    gr.api(predict, api_name="predict", **photo_tab.CONCURRENCY)
    gr.api(analyze_batch, api_name="analyze_batch", **batch_tab.CONCURRENCY)
    gr.api(analyze_video, api_name="analyze_video", **video_tab.CONCURRENCY)
demo.queue(PLACE_EVERY_S, max_size=QUEUE_SIZE, api_open=False)


def mount(app: Starlette, path: str) -> Starlette:
    """Mount the page into another application with all that protects it; return the application.

    Uploads of every Gradio page in this process then lie in this page's folder, and go as they do.
    """
    # The icon of the address is the other application's.
    return gr.mount_gradio_app(app, demo, path, **_options() | {"favicon_path": None})


def _options() -> dict[str, Any]:
    """Return how the page is served, in an application of its own or mounted into another."""
    return {
        "app_kwargs": demo.guarded(
            [*shell.routes(), *live_routes.routes(detective)],
            Middleware(Head, preview=shell.PREVIEW),
        ),
        "show_error": True,
        "max_file_size": decoding.MAX_FILE_BYTES,
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": _has_tools(),
        **shell.LOOK,
    }


def _has_tools() -> bool:
    """Return whether the page serves the Model Context Protocol: its files are deleted too then."""
    if find_spec("mcp") is None:
        return False
    if not TOOLS_ARE_SWEPT:
        logger.warning("The page has no MCP tools: Gradio was imported before app.py.")
    return TOOLS_ARE_SWEPT


if __name__ == "__main__":
    # A server that is asked to end deletes its uploads, as it does at Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # By itself Gradio would open a tunnel through its maker's servers in a hosted notebook.
    shared = os.environ.get("GRADIO_SHARE", "").lower() == "true"
    limits = {"max_threads": MAX_THREADS, "state_session_capacity": MAX_SESSIONS}
    demo.launch(share=shared, **limits, **_options())
