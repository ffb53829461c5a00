"""Who is live, with what their cameras have shown, and who waits in line. No HTTP, no Gradio.

A visitor is a random name that the browser makes up. Nothing of a visit outlives it: `leave` and
`SILENT_S` without a sign end it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from emotion_detective.video.timeline import Timeline

# Alone, a visitor gets about as many frames a second as the server can compute; more share them.
MAX_LIVE = 2
SESSION_SECONDS = 120
# The last of these waits for as many sessions as are before it, `MAX_LIVE` at a time.
MAX_WAITING = 10
# Who sends nothing for so long has left: a browser that crashes does not say so.
SILENT_S = 10.0
FULL = "Too many people wait for their turn already. Try again in a few minutes."


@dataclass
class Session:
    """One visitor's turn. `busy` is held while a frame is computed: a second one is refused."""

    timeline: Timeline
    begun_s: float
    heard_s: float
    busy: threading.Lock = field(default_factory=threading.Lock)
    shares_s: float = 0.0

    @property
    def time_s(self) -> float:
        """Seconds since the turn began."""
        return time.monotonic() - self.begun_s

    @property
    def left_s(self) -> float:
        """Seconds until it ends, 0 once it is over."""
        return max(0.0, SESSION_SECONDS - self.time_s)


class Seats:
    """`MAX_LIVE` visitors at a time, the others in the order in which they came.

    Whoever comes back after a turn is a new visitor, behind all who wait.
    """

    def __init__(self, new_timeline: Callable[[], Timeline]) -> None:
        self._new_timeline = new_timeline
        self._lock = threading.Lock()
        self._live: dict[str, Session] = {}
        self._line: dict[str, float] = {}  # visitor -> last heard, in the order of coming

    def take(self, visitor: str) -> Session | int:
        """Return the visitor's session, or the place in the line: 1 is next.

        A session that is over holds no seat, and is still returned.
        """
        now_s = time.monotonic()
        with self._lock:
            self._forget_silent(now_s)
            if session := self._live.get(visitor):
                session.heard_s = now_s
                return session
            if visitor not in self._line and len(self._line) >= MAX_WAITING:
                raise ValueError(FULL)
            self._line[visitor] = now_s
            place = list(self._line).index(visitor) + 1
            if place > MAX_LIVE - sum(session.left_s > 0 for session in self._live.values()):
                return place
            del self._line[visitor]
            session = self._live[visitor] = Session(self._new_timeline(), now_s, now_s)
            return session

    def leave(self, visitor: str) -> Session | None:
        """Free the visitor's seat or place; return the session, if there was one."""
        with self._lock:
            self._line.pop(visitor, None)
            return self._live.pop(visitor, None)

    def _forget_silent(self, now_s: float) -> None:
        oldest_s = now_s - SILENT_S
        self._live = {who: one for who, one in self._live.items() if one.heard_s > oldest_s}
        self._line = {who: heard_s for who, heard_s in self._line.items() if heard_s > oldest_s}
