"""The Live tab: a mirror with the faces on it, their emotions as they change, and a table to keep.

The page's part is `live.js` and `live.css`; the server's are `live_routes` and `seats`. Gradio only
carries the component: frames do not go through its queue.
"""

from emotion_detective import LABELS
from emotion_detective.page import shell
from emotion_detective.page.live_routes import FRAME_SIDE_PX
from emotion_detective.page.seats import MAX_LIVE, SESSION_SECONDS

LIMITS = (
    f"Up to {SESSION_SECONDS // 60} minutes. Frames go to this server's memory, are read and "
    f"forgotten. {MAX_LIVE} people can be live at a time; others wait in line."
)


def tab() -> None:
    """Lay the tab out; called inside `gr.Blocks`."""
    numbers = {"SIDE_PX": str(FRAME_SIDE_PX), "SESSION_S": str(SESSION_SECONDS)}
    shell.scripted("live", "live-room", LABELS=" ".join(LABELS), LIMITS=LIMITS, **numbers)
