"""Charts of emotions over time, shared by the Video and Live tabs: lines and stacked bars."""

import gradio as gr
import pandas as pd

from emotion_detective.page import html
from emotion_detective.video.drawing import COLORS
from emotion_detective.video.timeline import UNSURE, Timeline

CHART_COLORS = {**COLORS, UNSURE: "#D0D0D0"}
# An axis of Gradio's plots does not start at 0 by itself.
SHARED = {
    "color": "emotion",
    "color_map": CHART_COLORS,
    "colors_in_legend": [],  # Gradio's is cut off below the chart; `html.legend` stands above
    "y_lim": [0, 1],
    "show_label": False,
    "height": 300,
}
# A browser draws this many points without a pause, and no screen shows more.
MAX_TIMES = 300


def row(name: str) -> tuple[gr.LinePlot, gr.BarPlot]:
    """Lay out both charts, empty, side by side: `#<name>-lines` and `#<name>-bars`."""
    gr.HTML(html.legend(CHART_COLORS))
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            lines = gr.LinePlot(
                x="time_s",
                y="probability",
                x_title="seconds",
                title=title(),
                elem_id=f"{name}-lines",
                **SHARED,
            )
        with gr.Column(scale=2, min_width=320):
            bars = gr.BarPlot(
                x="face",
                y="share of time",
                title="How often each emotion",
                elem_id=f"{name}-bars",
                **SHARED,
            )
    return lines, bars


def title(track: int | None = None) -> str:
    """Return the lines' title, which names the face where no list beside it does."""
    return f"{'Emotion' if track is None else f'Face {track}'} over time, smoothed"


def line_data(timeline: Timeline, track: int, last_s: float | None = None) -> pd.DataFrame:
    """Return `time_s, emotion, probability` of one track, of the last seconds or of all."""
    table = timeline.table(smoothed=True)
    table = table[table["track"] == track]
    if last_s is not None:
        table = table[table["time_s"] >= table["time_s"].max() - last_s]
    table = table.iloc[:: -(-len(table) // MAX_TIMES) or 1]
    return table.melt("time_s", list(timeline.labels), "emotion", "probability")


def bar_data(timeline: Timeline) -> pd.DataFrame:
    """Return `face, emotion, share of time`, a face being a track.

    Faces are texts of one length, as the chart sorts them letter by letter: " 2" before "10".
    """
    shares = timeline.frequencies().drop(columns="seconds")
    faces = shares.pop("track").astype(str)
    shares["face"] = faces.str.rjust(faces.str.len().max())
    return shares.melt("face", var_name="emotion", value_name="share of time")
