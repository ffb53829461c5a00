"""What the Video tab consists of: where a video is chosen, the player, what there is to take away.

Which buttons are in view follows from what the page shows: `video.css`.
"""

from types import SimpleNamespace

import gradio as gr

from emotion_detective import HOME, LABELS
from emotion_detective.page import shell
from emotion_detective.video import decoding, follow

EXAMPLE = HOME / "examples" / "film.mp4"
START = "Choose or record a video: the analysis begins by itself."
GAINS = """<ul class="gains"><li>every face followed, with what it shows as the video plays</li>
<li>a chart of its six emotions: press it to go to that moment</li>
<li>the strongest moment of each emotion</li>
<li>all numbers as CSV, and a copy with the faces drawn</li></ul>"""
LIMITS = (
    "mp4, mov, webm or an animation (GIF, WebP, APNG), up to "
    f"{decoding.MAX_FILE_BYTES / 1e6:.0f} MB; "
    f"the first {decoding.MAX_SECONDS / 60:.0f} minutes are read."
)
ACCEPTED = "video/*,image/gif,image/webp,image/apng,image/png"
RATES_HZ = (2.0, follow.DEFAULT_RATE_HZ, 10.0)


def lay_out() -> SimpleNamespace:
    """Lay the tab out, called inside `gr.Blocks`; return its components by name."""
    parts = SimpleNamespace(kept=gr.State())
    with gr.Column(elem_id="video-panel"):
        parts.rate = gr.Dropdown(
            [(f"{rate:.0f} frames/s", rate) for rate in RATES_HZ],
            value=follow.DEFAULT_RATE_HZ,
            label="How closely it is looked at",
            filterable=False,
            container=False,
            scale=0,
            min_width=150,
            elem_id="video-rate",
            render=False,
        )
        bar = shell.work_bar("video", START, "New video", parts.rate)
        parts.status, parts.stop, parts.again, parts.new = bar
        with gr.Column(elem_id="video-choice") as parts.choice:
            parts.intake = shell.intake(
                "video", "a video", ACCEPTED, LIMITS, _examples(), "this one", "film", GAINS
            )
        with gr.Column(visible=False) as parts.screen:
            parts.player = shell.scripted("video", "video-player", LABELS=" ".join(LABELS))
        with gr.Column(visible=False, elem_id="video-tools") as parts.tools:
            with gr.Row():
                parts.csv = gr.DownloadButton("Download CSV", elem_id="video-csv")
                parts.copy = gr.Button("Make a copy with the boxes", elem_id="video-copy")
                parts.copied = gr.DownloadButton("Download the copy", elem_id="video-copied")
            with gr.Row(elem_id="video-copy-bar"):
                parts.copy_status = gr.HTML(elem_id="video-copy-status")
                parts.copy_stop = shell.button("Stop", "video-copy-stop")
    return parts


def _examples() -> list[shell.Example]:
    _, first = next(decoding.frames(EXAMPLE, 1))
    return [shell.Example(first, "two faces that change")]
