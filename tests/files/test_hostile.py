"""Four hundred hostile and odd files through the functions that the endpoints call, in one process.

Each gets an answer or one clear sentence, none takes 2 GB or 20 seconds, and afterwards a good
picture is answered as before. `tests/e2e/test_hostile_api.py` sends a sample of them over HTTP.
"""

import json
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import gradio as gr
import odd_films
import pytest
from corpus import GROUPS, OddFile, encoded

MAX_SECONDS = 20
MAX_BYTES = 2_000_000_000
# Longest sentence that anyone reads.
MAX_LETTERS = 300
# One in so many of the pictures goes through a batch too, which opens them the same way; and of
# those that are damaged at random, one in so many is tried in a fast run.
BATCH_SAMPLE, SAMPLE = 9, 4
DAMAGED = ("truncated", "flipped")
# What Pillow says to developers about broken files.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture(scope="module")
def app(tiny_checkpoint):
    """The module app, on the tiny checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOTION_MODEL", str(tiny_checkpoint))
        import app

        yield app


@pytest.fixture(scope="module")
def send(tmp_path_factory) -> Iterator[Callable[[OddFile], dict]]:
    """Lay a file where uploads lie; return what a client says of it."""
    folder = tmp_path_factory.mktemp("uploads")

    def send(odd: OddFile) -> dict:
        path = folder / "upload"
        path.write_bytes(odd.content)
        return {"path": str(path), "orig_name": odd.name}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield send


@pytest.fixture(scope="module")
def good(app, send, astronaut) -> Iterator[dict]:
    """What a portrait is answered before all of this; it must be the same after each test."""
    upload = OddFile("good.png", encoded(astronaut.resize((256, 256)), "PNG"), True)
    before = app.predict(send(upload))
    assert len(before["faces"]) == 1
    yield lambda: app.predict(send(upload)) == before


def final(answer: object) -> object:
    """Return an endpoint's answer; of one that works in steps, the last."""
    return [*answer][-1] if isinstance(answer, Iterator) else answer


def sentence(error: gr.Error) -> str | None:
    """Return what is wrong with an error's message, None if it is one to three clear sentences."""
    text = error.message
    ends = text.endswith(".") and "\n" not in text and "Traceback" not in text
    return None if ends and len(text) <= MAX_LETTERS else f"says {text!r}"


def problems(files: Iterable[OddFile], answer: Callable[[OddFile], object]) -> list[str]:
    """Send every file and return what went otherwise than it should."""
    found = []
    memory = peak_bytes()
    for odd in files:
        begin = time.process_time()
        try:
            json.dumps(answer(odd), allow_nan=False)
            problem = "is answered" if odd.readable is False else None
        except gr.Error as error:
            problem = f"is refused: {error.message}" if odd.readable else sentence(error)
        except Exception as error:  # the very thing looked for
            problem = f"raises {error!r}"
        if time.process_time() - begin > MAX_SECONDS:
            problem = "takes too long"
        if peak_bytes() - memory > MAX_BYTES:
            problem, memory = "takes too much memory", peak_bytes()
        if problem:
            found.append(f"{odd.name[:40]!r} {problem}")
    return found


def peak_bytes() -> int:
    """Return the most memory that this process or one of its children ever had."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return 1024 * max(resource.getrusage(one).ru_maxrss for one in who)


def pictures() -> list[OddFile]:
    return [odd for group in GROUPS.values() for odd in group()]


@pytest.mark.parametrize("group", GROUPS)
def test_every_picture_gets_an_answer_or_a_sentence(app, send, good, group):
    files = GROUPS[group]()[:: SAMPLE if group in DAMAGED else 1]
    assert problems(files, lambda odd: app.predict(send(odd))) == []
    assert good()


@pytest.mark.slow
@pytest.mark.parametrize("group", DAMAGED)
def test_every_damaged_picture_gets_an_answer_or_a_sentence(app, send, good, group):
    assert problems(GROUPS[group](), lambda odd: app.predict(send(odd))) == []
    assert good()


def test_odd_pictures_and_names_get_a_row_in_a_batch(app, send, good):
    files = [*pictures()[::BATCH_SAMPLE], *GROUPS["names"]()]

    def row(odd: OddFile) -> list:
        rows, table = final(app.analyze_batch([send(odd)]))
        assert Path(table["path"]).read_text(encoding="utf-8").count("\n") >= 2
        if [each["status"] for each in rows] == ["unreadable"]:
            raise gr.Error("It is unreadable.")
        return rows

    assert problems(files, row) == []
    assert good()


def test_every_zip_gets_a_row(app, send, good):
    def first(odd: OddFile) -> list:
        rows, _ = final(app.analyze_batch([send(odd)]))
        if not rows or rows[0]["status"] == "unreadable":
            raise gr.Error("It is unreadable.")
        return rows

    assert problems(odd_films.zips(), first) == []
    assert good()


@pytest.mark.slow
@pytest.mark.parametrize("films", [odd_films.films, odd_films.damaged_films])
def test_every_video_gets_an_answer_or_a_sentence(app, send, good, films, tmp_path):
    answered = problems(films(tmp_path), lambda odd: final(app.analyze_video(send(odd), 4)))
    assert answered == []
    assert good()


@pytest.mark.parametrize("rate", ["fast", None, [], {}, float("nan"), 1e9, -1, "4; rm"])
def test_an_odd_rate_is_refused_with_a_sentence(app, send, rate):
    with pytest.raises(gr.Error, match="The rate must be a number"):
        final(app.analyze_video(send(OddFile("a.mp4", b"", False)), rate))


def test_an_upload_that_is_gone_is_said_to_be(app, send):
    upload = send(OddFile("a.png", b"", False))
    Path(upload["path"]).unlink()
    for ask in (app.predict, app.analyze_video):
        with pytest.raises(gr.Error, match=r"The upload is gone.*Send it again\."):
            final(ask(upload))
