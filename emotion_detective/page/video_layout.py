"""What the Video tab consists of: where a video is chosen, the player, what there is to take away.

Which buttons are in view follows from what the page shows: `video.css`.
"""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from emotion_detective import LABELS
from emotion_detective.page import shell
from emotion_detective.video import decoding, follow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "film.mp4"
START = "Choose or record a video: the analysis begins by itself."
GAINS = """<li>every face followed, with what it shows as the video plays</li>
<li>a chart of its six emotions: press it to go to that moment</li>
<li>the strongest moment of each emotion</li>
<li>all numbers as CSV, and a copy with the faces drawn</li>"""
LIMITS = (
    f"mp4, mov or webm, up to {decoding.MAX_FILE_BYTES / 1e6:.0f} MB; "
    f"the first {decoding.MAX_SECONDS / 60:.0f} minutes are read."
)
RATES_HZ = (1, 10)
# A camera without a microphone records too, and nobody listens. In Gradio's 1920 x 1440 a browser
# is late with every frame.
CAMERA = {"audio": False, "video": {"width": {"ideal": 1280}, "height": {"ideal": 720}}}


@dataclass(frozen=True)
class Parts:
    """The tab's components: what is chosen, the player, and what there is to take away."""

    kept: gr.State
    status: gr.HTML
    stop: gr.Button
    again: gr.Button
    new: gr.Button
    choice: gr.Row
    source: gr.Video
    screen: gr.Column
    player: gr.HTML
    tools: gr.Column
    csv: gr.DownloadButton
    copy: gr.Button
    copied: gr.DownloadButton
    copy_status: gr.HTML
    copy_stop: gr.Button
    rate: gr.Slider

    def shown(self) -> list[gr.blocks.Block]:
        """Return all that another video changes."""
        copy = (self.copy, self.copied, self.copy_status)
        return [
            self.kept,
            self.status,
            self.choice,
            self.screen,
            self.player,
            self.tools,
            self.csv,
            *copy,
        ]


def lay_out() -> Parts:
    """Lay the tab out; called inside `gr.Blocks`."""
    with gr.Column(elem_id="video-panel"):
        status, stop, again, new = shell.work_bar("video", START, "New video")
        with gr.Row(elem_id="video-choice") as choice:
            with gr.Column(scale=3, min_width=320):
                source = gr.Video(
                    label="Video",
                    elem_id="video",
                    height=360,
                    sources=["upload", "webcam"],
                    webcam_options=gr.WebcamOptions(mirror=False, constraints=CAMERA),
                )
            with gr.Column(scale=2, min_width=320):
                gr.Examples(
                    [str(EXAMPLE)], source, label="Or try this one", elem_id="video-examples"
                )
                gr.HTML(f'<ul class="ed-card">{GAINS}</ul>', elem_id="video-gains")
                gr.Markdown(LIMITS, elem_classes="note")
        with gr.Column(visible=False) as screen:
            player = shell.scripted("video", "video-player", LABELS=" ".join(LABELS))
        with gr.Column(visible=False, elem_id="video-tools") as tools:
            with gr.Row():
                csv = gr.DownloadButton("Download CSV", elem_id="video-csv")
                copy = gr.Button("Make a copy with the boxes", elem_id="video-copy")
                copied = gr.DownloadButton("Download the copy", elem_id="video-copied")
            with gr.Row(elem_id="video-copy-bar"):
                copy_status = gr.HTML(elem_id="video-copy-status")
                copy_stop = shell.button("Stop", "video-copy-stop")
            rate = gr.Slider(
                *RATES_HZ,
                follow.DEFAULT_RATE_HZ,
                step=1,
                label="Frames looked at a second, when you analyze it again",
            )
    return Parts(
        kept=gr.State(),
        status=status,
        stop=stop,
        again=again,
        new=new,
        choice=choice,
        source=source,
        screen=screen,
        player=player,
        tools=tools,
        csv=csv,
        copy=copy,
        copied=copied,
        copy_status=copy_status,
        copy_stop=copy_stop,
        rate=rate,
    )
