"""What tabs share: theme, title line, styles and parts. Knows no tab.

`LOOK` goes to `launch`, `title` is laid out above the tabs; `work_bar`, `button` and `scripted` are
parts that several tabs have. A tab's own styles and script lie beside
it (`photo.css`, `photo.js`); `page.css` names the colours and shapes that all use (`--ed-surface`,
`.ed-card`).
"""

from pathlib import Path

import gradio as gr
from starlette.responses import FileResponse
from starlette.routing import Route

from emotion_detective.core.drawing import COLORS, UNSURE_COLOR
from emotion_detective.page import html

FOLDER = Path(__file__).resolve().parent
NAME = "Emotion Detective"
LINE = "What does each face say? Six emotions, honest odds."
DESCRIPTION = (
    "Finds every face in a photo, a video or your camera and rates six expressions, with odds that "
    "are measured. Nothing you send is kept."
)
PREVIEW_FILE, PREVIEW_ROUTE = FOLDER / "preview.png", "/preview.png"
# What a link to the page shows elsewhere; {address} stands for where visitors find it.
PREVIEW = {
    "description": DESCRIPTION,
    "og:type": "website",
    "og:title": NAME,
    "og:description": DESCRIPTION,
    "og:url": "{address}",
    "og:image": f"{{address}}{PREVIEW_ROUTE}",
    "twitter:card": "summary_large_image",
}
# System fonts: the page asks no other server for anything.
THEME = gr.themes.Default(
    primary_hue="indigo",
    secondary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    body_background_fill="#f1f3f9",
    body_background_fill_dark="#0c111c",
    body_text_color="#131a2b",
    body_text_color_dark="#eef1f8",
    body_text_color_subdued="#515b70",
    body_text_color_subdued_dark="#a9b3c7",
    background_fill_primary="#ffffff",
    background_fill_primary_dark="#161d2d",
    background_fill_secondary="#eceff6",
    background_fill_secondary_dark="#20293d",
    border_color_primary="#cfd6e4",
    border_color_primary_dark="#303b54",
    color_accent="*primary_700",
    link_text_color="*primary_700",
    link_text_color_dark="*primary_300",
    block_background_fill="*background_fill_primary",
    block_background_fill_dark="*background_fill_primary",
    block_border_width="1px",
    block_shadow="none",
    block_label_text_color="*body_text_color_subdued",
    block_label_text_color_dark="*body_text_color_subdued",
    block_title_text_color="*body_text_color",
    block_title_text_color_dark="*body_text_color",
    # Edges of what can be pressed or filled in: 3 to 1 at least, WCAG 2.2, 1.4.11.
    input_border_color="#7d879b",
    input_border_color_dark="#7482a0",
    input_border_width="1px",
    input_background_fill_dark="*background_fill_primary",
    checkbox_border_color="#7d879b",
    checkbox_border_color_dark="#7482a0",
    checkbox_label_border_color="#7d879b",
    checkbox_label_border_color_dark="#7482a0",
    checkbox_label_border_width="1px",
    checkbox_label_border_width_dark="1px",
    button_border_width="1px",
    button_border_width_dark="1px",
    button_secondary_background_fill="*background_fill_primary",
    button_secondary_background_fill_dark="*background_fill_secondary",
    button_secondary_background_fill_hover="*background_fill_secondary",
    button_secondary_background_fill_hover_dark="*border_color_primary",
    button_secondary_border_color="#7d879b",
    button_secondary_border_color_dark="#7482a0",
    button_secondary_border_color_hover="*primary_700",
    button_secondary_border_color_hover_dark="*primary_300",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_500",
    button_primary_border_color="*primary_700",
    button_primary_border_color_dark="*primary_300",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
    slider_color="*primary_700",
    slider_color_dark="*primary_300",
    loader_color="*primary_600",
    loader_color_dark="*primary_300",
)
_EMOTIONS = {**COLORS, "unsure": UNSURE_COLOR}
LOOK = {
    "theme": THEME,
    "css": f":root {{ {' '.join(f'--ed-{name}: {c};' for name, c in _EMOTIONS.items())} }}",
    # The shared ones first, so that a tab's own come after what they change.
    "css_paths": sorted(FOLDER.glob("*.css"), key=lambda path: path.name != "page.css"),
    "js": (FOLDER / "page.js").read_text(),
    "favicon_path": FOLDER / "icon.svg",
    "footer_links": ["api", "gradio"],
}
_TITLE = f"""<div class="ed-head"><h1>{(FOLDER / "icon.svg").read_text()} {NAME}</h1>
<p class="ed-line">{LINE}</p>
<p class="ed-small">Reads expressions, not what someone feels; not for hiring, classrooms or
work. Uploads are deleted within half an hour.
<button type="button" class="ed-link">About</button></p>
</div>"""
_OPEN_ABOUT = """
element.querySelector(".ed-link").addEventListener("click", () => trigger("about"));
"""


def title() -> gr.HTML:
    """Lay out the title line; its `about` event asks for the About tab."""
    return gr.HTML(_TITLE, js_on_load=_OPEN_ABOUT, elem_id="title")


def work_bar(tab: str, start: str, new: str) -> tuple[gr.HTML, gr.Button, gr.Button, gr.Button]:
    """Lay out a tab's status, and its buttons to stop, to analyze again and to begin anew.

    Args:
        tab: what the names of the elements begin with.
        start: the status before there is any work.
        new: what the last button says.
    """
    with gr.Row(elem_id=f"{tab}-bar"):
        return (
            gr.HTML(html.message(start), elem_id=f"{tab}-status"),
            button("Stop", f"{tab}-stop"),
            button("Analyze again", f"{tab}-again"),
            button(new, f"{tab}-new"),
        )


def button(text: str, elem_id: str) -> gr.Button:
    """Lay out a button that does not grow with its row."""
    return gr.Button(text, scale=0, min_width=160, elem_id=elem_id)


def scripted(tab: str, elem_id: str, **texts: str) -> gr.HTML:
    """Lay out what a tab's script draws: TAB.html is its markup, TAB.js its script.

    Args:
        texts: what takes the place of these names in the markup.
    """
    markup = (FOLDER / f"{tab}.html").read_text()
    for name, text in texts.items():
        markup = markup.replace(name, text)
    return gr.HTML(
        None,
        html_template=markup,
        js_on_load=(FOLDER / f"{tab}.js").read_text(),
        apply_default_css=False,
        elem_id=elem_id,
    )


def routes() -> list[Route]:
    """Return the routes of the page's own files."""
    return [Route(PREVIEW_ROUTE, lambda request: FileResponse(PREVIEW_FILE))]
