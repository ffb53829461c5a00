"""The Live tab: a mirror with the faces on it, their emotions as they change, and a table to keep.

The page's part is `live.js` and `live.css`; the server's are `live_routes` and `seats`. Gradio only
carries the component: frames do not go through its queue.
"""

from pathlib import Path

import gradio as gr

from emotion_detective import LABELS
from emotion_detective.core.drawing import COLORS, UNSURE_COLOR
from emotion_detective.page.live_routes import FRAME_SIDE_PX
from emotion_detective.page.seats import MAX_LIVE, SESSION_SECONDS
from emotion_detective.video.timeline import UNSURE

SCRIPT = (Path(__file__).resolve().parent / "live.js").read_text()
INVITE = "See your expression read as it changes."
LIMITS = (
    f"Up to {SESSION_SECONDS // 60} minutes. Frames go to this server's memory, are read and "
    f"forgotten. {MAX_LIVE} people can be live at a time; others wait in line."
)
_BARS = "".join(
    f'<li style="--color: {COLORS[label]}"><span>{label}</span><i></i><b></b></li>'
    for label in LABELS
)
_LINES = "".join(f'<polyline stroke="{COLORS[label]}"/>' for label in LABELS)
TEMPLATE = f"""<div class="live" data-state="idle">
<div class="live-stage">
<div class="live-screen"><video class="live-video" playsinline muted></video>
<div class="live-boxes"></div></div>
<p class="live-status" role="status"></p>
<div class="live-invite"><p>{INVITE}</p>
<button type="button" class="ed-button primary live-start">Start camera</button>
<p class="live-limits">{LIMITS}</p></div>
<p class="live-left" title="time left"></p>
<button type="button" class="ed-button live-stop">Stop</button></div>
<div class="live-side ed-card">
<h2 class="ed-verdict"><span class="ed-chip live-chip">-</span>
<span class="live-looks"></span></h2>
<ul class="ed-bars live-bars">{_BARS}</ul>
<div class="live-more" hidden>
<h3><span class="live-track"></span> over time, smoothed</h3>
<div class="live-chart"><svg class="live-lines" viewBox="0 0 100 100" preserveAspectRatio="none"
 aria-hidden="true">{_LINES}</svg><span class="live-from"></span><span class="live-to"></span></div>
<h3>How often each emotion</h3><ul class="live-shares"></ul>
<div class="live-buttons">
<button type="button" class="ed-button live-again">Start over</button>
<a class="ed-button live-csv" download="live.csv" hidden>Download CSV</a></div></div>
<p class="live-unseen live-heard" aria-live="polite"></p></div></div>"""


def tab() -> None:
    """Lay the tab out; called inside `gr.Blocks`."""
    gr.HTML(
        html_template=TEMPLATE,
        js_on_load=SCRIPT,
        elem_id="live-room",
        labels=LABELS,
        colors={**COLORS, UNSURE: UNSURE_COLOR},
        side_px=FRAME_SIDE_PX,
        session_s=SESSION_SECONDS,
    )
