"""What the Live tab's script gets for a frame, and what the server refuses."""

import csv
from io import StringIO
from types import SimpleNamespace

import pytest
from PIL import Image
from small import prediction
from starlette.applications import Starlette
from starlette.testclient import TestClient

from emotion_detective.core import drawing
from emotion_detective.core.detective import Prediction
from emotion_detective.page import live_routes, seats

VISITORS = [f"{number:032x}" for number in range(20)]
JPEG = drawing.to_jpeg(Image.new("RGB", (960, 720)))


class Seeing:
    """A detective that sees one happy face at the left, and notes the sizes of its pictures."""

    classifier = SimpleNamespace(unsure_below=0.4)

    def __init__(self) -> None:
        self.sizes = []

    def analyze(self, picture: Image.Image, upright_only: bool) -> list[Prediction]:
        self.sizes.append(picture.size)
        return [prediction("happy", 0.9, (10, 20, 110, 140))]


@pytest.fixture
def detective() -> Seeing:
    return Seeing()


@pytest.fixture
def client(detective) -> TestClient:
    return TestClient(Starlette(routes=live_routes.routes(detective)))


def send(client: TestClient, what: str = "frame", body: bytes = JPEG, visitor: str = VISITORS[0]):
    return client.post(f"{live_routes.ROUTE}/{what}", content=body, headers={"X-Visitor": visitor})


def test_a_frame_is_answered_with_its_faces_as_the_camera_sees_them(client, detective):
    told = send(client).json()
    assert detective.sizes == [(480, 360)]
    assert told["size"] == [480, 360]
    (face,) = told["faces"]
    assert face["box"] == [10, 20, 110, 140]
    assert (face["track"], face["label"], face["unsure"]) == (1, "happy", False)
    assert (face["tag"], face["looks"]) == ("happy 90%", "looks happy (90%)")
    assert face["probabilities"] == pytest.approx([0.02, 0.02, 0.9, 0.02, 0.02, 0.02])
    assert 0 < told["left_s"] <= seats.SESSION_SECONDS


def test_how_often_each_emotion_comes_once_a_second(client, monkeypatch):
    clock = SimpleNamespace(now_s=0.0, monotonic=lambda: clock.now_s)
    monkeypatch.setattr(seats, "time", clock)
    told = []
    for _ in range(12):
        told.append(send(client).json().get("shares"))
        clock.now_s += 0.25
    assert [shares is not None for shares in told] == [n in (4, 8) for n in range(12)]
    assert told[8][0]["track"] == 1
    assert told[8][0]["happy"] == 1
    assert told[8][0]["seconds"] == pytest.approx(2.25)


def test_the_end_hands_out_the_table_once_and_frees_the_seat(client):
    for visitor in VISITORS[:3]:
        told = send(client, visitor=visitor).json()
    assert told == {"place": 1, "minutes": 2}
    answer = send(client, "end", b"")
    assert answer.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(StringIO(answer.text))
    assert (row["track"], row["box"], row["label"]) == ("1", "[10, 20, 110, 140]", "happy")
    assert send(client, "end", b"").text == ""
    assert send(client, body=b"", visitor=VISITORS[2]).json().keys() == {"left_s"}


def test_who_waits_is_told_the_longest_wait_and_no_frame_is_read(client, detective):
    places = [send(client, visitor=visitor).json() for visitor in VISITORS[:7]][2:]
    assert [told["place"] for told in places] == [1, 2, 3, 4, 5]
    assert [told["minutes"] for told in places] == [2, 2, 4, 4, 6]
    assert len(detective.sizes) == 2


def test_a_session_that_is_over_says_so(client, monkeypatch):
    send(client)
    monkeypatch.setattr(seats, "SESSION_SECONDS", 0)
    assert send(client).json() == {"over": True}
    assert send(client, "end", b"").text.count("\n") == 2


@pytest.mark.parametrize(
    ("body", "visitor", "status", "sentence"),
    [
        (JPEG, "short", 400, "X-Visitor must be"),
        (b"no picture", VISITORS[0], 400, "no JPEG that can be read"),
        (b"0" * (live_routes.MAX_FRAME_BYTES + 1), VISITORS[0], 413, ""),
    ],
    ids=["name", "picture", "size"],
)
def test_what_is_no_frame_is_refused(client, body, visitor, status, sentence):
    answer = send(client, body=body, visitor=visitor)
    assert answer.status_code == status
    assert sentence in answer.text


def test_a_second_frame_at_the_same_time_is_refused(client, detective):
    detective.analyze = lambda picture, upright_only: [send(client).raise_for_status()]
    with pytest.raises(Exception, match="400"):
        send(client)
    detective.analyze = lambda picture, upright_only: []
    assert send(client).status_code == 200
