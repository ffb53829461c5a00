"""The folder where uploads and results lie, and the thread that keeps it empty of what is old.

    upload_folder.claim()   # before Gradio is imported, which notes the folder

Each process has a folder of its own. Files go `KEEP_SECONDS` after their last use, and all of them
when the process ends; what a killed process left goes with the sweeps of the next one. Knows no
Gradio: the folder's path reaches it as GRADIO_TEMP_DIR.
"""

import atexit
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

VARIABLE = "GRADIO_TEMP_DIR"
# Uploads and results are deleted when they are this old, looked for this often.
KEEP_SECONDS = 600
SWEEP_SECONDS = 60
KEEP_MINUTES = (KEEP_SECONDS + SWEEP_SECONDS) // 60
# How long one message may upload: its files lie right in the folder until the last one is there.
UPLOADING_SECONDS = 3600
# Each process touches its folder at every sweep: an older one is of a process that was killed.
PREFIX = "emotion-detective-uploads-"
KILLED_SWEEPS = 3

_lock = threading.Lock()
_in_use: list[list[str]] = []
_lasting: set[str] = set()
_kept: weakref.WeakSet["Kept"] = weakref.WeakSet()


def path() -> Path:
    """Return where uploads lie: the folder of this process, or Gradio's own if none is claimed."""
    return Path(os.environ.get(VARIABLE) or Path(tempfile.gettempdir()) / "gradio").resolve()


def claim() -> None:
    """Make this process its folder, below the one that GRADIO_TEMP_DIR names, and sweep it."""
    base = Path(os.environ.get(VARIABLE) or tempfile.gettempdir()).resolve()
    base.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    os.environ[VARIABLE] = str(own)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    threading.Thread(target=_sweep_forever, args=[own], name="sweep", daemon=True).start()


def spare_what_is_there() -> None:
    """Keep the files that lie in the folder now for good: examples, which every visitor sees."""
    files = {str(found) for found in path().rglob("*") if found.is_file()}
    with _lock:
        _lasting.update(files)


@contextmanager
def in_use(paths: Iterable[str | Path]) -> Iterator[list[str]]:
    """Keep files while the block runs, and `KEEP_SECONDS` longer; yields their names, to add to."""
    names = [str(path) for path in paths]
    with _lock:
        _in_use.append(names)
    try:
        yield names
    finally:
        with _lock:
            # By identity: those of two visitors may be equal.
            _in_use[:] = [others for others in _in_use if others is not names]
        touch(names)


def touch(names: Iterable[str | Path]) -> None:
    """Have files count as used just now."""
    for name in names:
        with suppress(OSError):  # gone by now
            os.utime(name)


class Kept:
    """A value in memory for one visitor, forgotten `KEEP_SECONDS` after its last use.

    What `gr.State` holds stays for an hour after its page was closed; let it hold one of these.
    """

    def __init__(self, value: object) -> None:
        self._value: object | None = value
        self._used_s = time.monotonic()
        with _lock:
            _kept.add(self)

    @property
    def value(self) -> object | None:
        """The value; None if it is forgotten."""
        self._used_s = time.monotonic()
        return self._value

    def forget(self) -> None:
        """Let go of the value."""
        self._value = None

    def idle_s(self) -> float:
        """Return the seconds since the last use."""
        return time.monotonic() - self._used_s


def _sweep_forever(own: Path) -> None:
    while True:
        with suppress(OSError):  # a disk that is full for a moment must not end the thread
            sweep(own)
        time.sleep(SWEEP_SECONDS)


def sweep(own: Path) -> None:
    """Delete from `own` what is old, and beside it the folders of processes that were killed."""
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.utime(own)
    for sibling in own.parent.glob(f"{PREFIX}*"):
        if sibling != own and _is_older(sibling, KILLED_SWEEPS * SWEEP_SECONDS):
            shutil.rmtree(sibling, ignore_errors=True)
    with _lock:
        spared = _lasting.union(*_in_use)
        for kept in _kept:
            if kept.idle_s() > KEEP_SECONDS:
                kept.forget()
    for found in _inside(own):
        if str(found) not in spared and _is_old(found, own):
            _delete(found)


@asynccontextmanager
async def emptied_at_end(app: object) -> AsyncIterator[None]:
    """Delete what visitors sent and took away when the server of `app` ends: its lifespan.

    A server that ends by a signal, as uvicorn does where the page is mounted, runs no `atexit`.
    """
    try:
        yield
    finally:
        for found in _inside(path()):
            if str(found) not in _lasting:
                _delete(found)


def _inside(own: Path) -> Iterator[Path]:
    """Yield the files of a folder and its folders, what they hold before them."""
    for folder, _, names in os.walk(own, topdown=False):
        yield from (Path(folder) / name for name in names)
        if Path(folder) != own:
            yield Path(folder)


def _delete(found: Path) -> None:
    """Delete a file, or a folder that is empty."""
    with suppress(OSError):  # gone by now, or a folder that holds something
        found.rmdir() if found.is_dir() else found.unlink()


def _is_old(found: Path, own: Path) -> bool:
    on_its_way = found.parent == own and not found.is_dir()
    return _is_older(found, UPLOADING_SECONDS if on_its_way else KEEP_SECONDS)


def _is_older(found: Path, seconds: float) -> bool:
    """Tell whether nobody changed, moved or touched a file for so long; what is gone is not old."""
    try:
        return time.time() - found.lstat().st_ctime > seconds
    except OSError:
        return False
