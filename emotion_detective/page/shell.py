"""What tabs share: theme, title line, styles and parts. Knows no tab.

`LOOK` goes to `launch`, `title` is laid out above the tabs; `work_bar`, `button` and `scripted` are
parts that several tabs have. A tab's own styles and script lie beside
it (`photo.css`, `photo.js`); `page.css` names the colours and shapes that all use (`--ed-surface`,
`.ed-card`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from PIL import Image, ImageOps
from starlette.responses import FileResponse
from starlette.routing import Route

from emotion_detective.core.drawing import COLORS, UNSURE_COLOR
from emotion_detective.page import html, uploads

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
THUMBNAIL_PX = (240, 180)
# The page hears no more often how far work is: on a slow line messages would queue up, and what
# the visitor asks for next would be answered after them.
TELL_EVERY_S = 0.5
# Events of the page alone. Quick ones, which only begin or end work, share one place.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
QUICK = {"queue": False, "concurrency_id": "quick", **PRIVATE}
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
    block_label_text_color="*body_text_color_subdued",
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
    # Edges of what can be pressed or filled in: 3 to 1 at least, WCAG 2.2, 1.4.11.
    input_border_color="#7d879b",
    input_border_color_dark="#7482a0",
    input_border_width="1px",
    input_background_fill_dark="*background_fill_primary",
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
)
_EMOTIONS = {**COLORS, "unsure": UNSURE_COLOR}
_SCRIPTS = "".join((FOLDER / name).read_text() for name in ("page.js", "card.js"))
LOOK = {
    "theme": THEME,
    "css": f":root {{ {' '.join(f'--ed-{name}: {c};' for name, c in _EMOTIONS.items())} }}",
    # The shared ones first, so that a tab's own come after what they change.
    "css_paths": sorted(FOLDER.glob("*.css"), key=lambda path: path.name != "page.css"),
    "head": f"<script>{_SCRIPTS}</script>",
    "favicon_path": FOLDER / "icon.svg",
    "footer_links": ["api", "gradio"],
}
TABS = ("Photo", "Live", "Video", "Batch", "About")
_LINKS = "".join(
    f'<a role="tab" id="to-{name.lower()}" href="#{name.lower()}">{name}</a>' for name in TABS
)
_TITLE = f"""<div class="ed-head"><h1>{(FOLDER / "icon.svg").read_text()} {NAME}</h1>
<p class="ed-line">{LINE}</p>
<p class="ed-small">Reads expressions, not what someone feels; not for hiring, classrooms or
work. Uploads are deleted within half an hour. <a class="ed-link" href="#about">About</a></p>
</div><div class="ed-tabs" role="tablist" aria-label="Sections">{_LINKS}</div>"""


@dataclass(frozen=True)
class Example:
    """Something to try: a picture of it, and in words what it shows."""

    picture: Image.Image
    shows: str

    def card(self, index: int) -> str:
        """Return the HTML of a button for it."""
        address, shows = html.picture_address(ImageOps.fit(self.picture, THUMBNAIL_PX)), self.shows
        width, height = self.picture.size
        return (
            f'<button type="button" data-example="{index}">'
            f'<img alt="" data-ratio="{width / height}" src="{address}">'
            f"<span>{shows}</span></button>"
        )


def title() -> None:
    """Lay out the title line and the links to the tabs."""
    script = 'ed.startTabs(element, () => trigger("nudged"));'
    bar = gr.HTML(_TITLE, js_on_load=script, elem_id="title")
    bar.nudged(lambda: None, **PRIVATE)


def tab(name: str) -> gr.Column:
    """Return the place of a tab, to be laid out in; page.js shows one of them."""
    return gr.Column(elem_id=f"tab-{name.lower()}", elem_classes="ed-tab")


def intake(
    tab: str,
    what: str,
    accept: str,
    limits: str,
    examples: Sequence[Example],
    try_: str,
    camera: str = "",
    gains: str = "",
    first: str = "",
) -> gr.HTML:
    """Lay out where files get in: to drop, choose, paste, take, or an example.

    Its event `opened` says what was sent; `received` reads it. TAB.js calls `ed.intake`, which
    page.js has, unless its own script is given the component.

    Args:
        what: what the tab takes, in words.
        accept: the same for the browser's own dialog.
        camera: "picture" or "film", what the camera takes; "" without one.
        gains: HTML to stand below the examples.
        first: HTML to stand in the zone, an example that is read already.
    """
    texts = {
        "TAB": tab,
        "WHAT": what,
        "ACCEPT": accept,
        "LIMITS": limits,
        "CAMERA": camera,
        "TRY": try_,
        "GAINS": gains,
        "DROP": f"Now yours: drop {what} here" if first else f"Drop {what} here",
        "MULTIPLE": "multiple" if tab == "batch" else "",
        # The last: the pictures in them are text, in which the other names may stand.
        "FIRST": first,
        "CARDS": "".join(one.card(i) for i, one in enumerate(examples)),
    }
    return scripted("intake", f"{tab}-intake", **texts)


def received(sent: gr.EventData, examples: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return `(name, path)` of what `opened` says was sent: uploads, or one of the examples."""
    if hasattr(sent, "files"):
        return uploads.uploaded_files(sent.files)
    index = field(sent, "example", int)
    if not 0 <= index < len(examples):
        raise ValueError(f"There are {len(examples)} examples; choose one of them.")
    return [(examples[index].name, examples[index])]


def field(event: gr.EventData, name: str, kind: type) -> Any:
    """Return what a script sent with an event; ValueError if someone else sent it."""
    try:
        value = getattr(event, name)
    except (AttributeError, TypeError):
        value = None
    if not isinstance(value, kind):
        raise ValueError(
            f"The page's own script sends {name} with this event; use the page, or the API."
        )
    return value


def messenger(name: str) -> gr.HTML:
    """Return a component that is not seen and hands its value to scripts as a window's event.

    A value of its own would take the place of what the script shows.
    """
    script = f"""
watch("value", () => {{
  if (props.value) window.dispatchEvent(new CustomEvent("{name}", {{ detail: props.value }}));
}});"""
    return gr.HTML(None, html_template="<i></i>", js_on_load=script, visible="hidden")


# While files are on their way, a tab's status is the browser's; the server's comes after it.
_STATUS = """
const before = props.value;
const line = (text, share) => {
  const bar = ed.make("progress", { max: 1 });
  if (share !== undefined) bar.setAttribute("value", share);
  const made = ed.make("p", { className: "progress" }, text, bar);
  made.setAttribute("role", "status");
  props.value = made.outerHTML;
};
const failed = () => (props.value = before);
ed.rooms.TAB = { begin: () => line("Opening"), progress: line, failed };
"""


def work_bar(
    tab: str, start: str, new: str, how: gr.blocks.Block | None = None
) -> tuple[gr.HTML, gr.Button, gr.Button, gr.Button]:
    """Lay out a tab's status, and its buttons to stop, to analyze again and to begin anew.

    Args:
        tab: what the names of the elements begin with.
        start: the status before there is any work.
        new: what the last button says.
        how: stands beside "Analyze again".
    """
    with gr.Row(elem_id=f"{tab}-bar"):
        status = gr.HTML(
            html.message(start), js_on_load=_STATUS.replace("TAB", tab), elem_id=f"{tab}-status"
        )
        stop = button("Stop", f"{tab}-stop")
        if how:
            how.render()
        return status, stop, button("Analyze again", f"{tab}-again"), button(new, f"{tab}-new")


@dataclass(kw_only=True)
class Work:
    """What a visitor has the server read in Video or Batch, for as long as it is wanted.

    It ends by itself, between two steps. `cancels` of Gradio would close the stream of messages,
    and what a visitor on a slow line asks for before the page hears of that is never answered.
    """

    is_begun: bool = False
    is_stopped: bool = False
    is_left: bool = False


def begins(work: Work | None) -> bool:
    """Return whether work is to be done now, and note that it has begun.

    Of work that was stopped while it waited Gradio's queue keeps the place: who comes to it first
    does what is wanted by then.
    """
    is_wanted = work is not None and not (work.is_begun or work.is_stopped or work.is_left)
    if is_wanted:
        work.is_begun = True
    return is_wanted


def works(
    parts: SimpleNamespace,
    shown: list[gr.blocks.Block],
    begun: Sequence[gr.events.Dependency],
    analyze: Callable,
    reset: Callable,
    **place: Any,
) -> None:
    """Wire a tab's work on `parts.kept`: `analyze` after each event of `begun`, Stop and New.

    Args:
        shown: what the work shows, and `reset` without any.
        place: its place among the threads; its `concurrency_id` is the tab's name too.
    """

    def stop(kept: uploads.Kept | None) -> Any:
        work = kept and kept.value
        if work is None:
            return gr.skip()
        work.is_stopped = True
        return gr.skip() if work.is_begun else html.message("Stopped.")

    def leave(kept: uploads.Kept | None) -> dict:
        if work := kept and kept.value:
            work.is_left = True
        return reset(parts)

    options = {"trigger_mode": "multiple", **place, **PRIVATE}  # the last may be about to end
    for event in begun:
        analyzing = event.success(analyze, parts.kept, shown, **options)
        analyzing.failure(None, js=f"() => ed.gone('{place['concurrency_id']}')", **PRIVATE)
    parts.stop.click(None, None, parts.status, js=html.progress_at_once("Stopping"), **QUICK)
    parts.stop.click(stop, parts.kept, parts.status, **QUICK)
    parts.new.click(leave, parts.kept, shown, **QUICK)


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
