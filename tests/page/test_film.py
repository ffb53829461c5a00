"""What the player in the browser is given of a video."""

import json
from functools import partial

import pytest
from PIL import Image
from small import prediction

from emotion_detective import LABELS
from emotion_detective.page import film
from emotion_detective.video import follow
from emotion_detective.video.timeline import Reading, Timeline

LEFT, RIGHT = (0, 0, 64, 72), (320, 180, 384, 252)
face = partial(prediction, confidence=0.75, box=LEFT)


def shown(*labels: str | None, every_s: float = 0.25) -> list[Reading]:
    """Readings of one face whose smoothed answers are these; None is an unsure one."""
    faces = [face(label or "sad", unsure=label is None) for label in labels]
    return [Reading(i * every_s, 1, one, one) for i, one in enumerate(faces)]


@pytest.fixture
def progress() -> follow.Progress:
    """Two seconds: a sad face on the right all the time, a happy one on the left for a second."""
    timeline = Timeline(LABELS, unsure_below=0.5)
    for i in range(9):
        timeline.add(i / 4, [face("sad", box=RIGHT)] + [face("happy")] * (i < 4))
    moments = tuple(
        follow.Moment(reading, Image.new("RGB", (640, 360))) for reading in timeline.key_moments()
    )
    portraits = {track: Image.new("RGB", (112, 112)) for track in timeline.tracks}
    return follow.Progress(timeline, 2.0, 1.0, moments, ("A notice.",), (640, 360), portraits)


def test_the_face_seen_longest_comes_first(progress):
    faces = film.over_time(progress.timeline)
    assert [one.track for one in faces] == [1, 2]
    assert faces[0].words == "mostly looks sad"
    assert faces[1].shares["happy"] == pytest.approx(1)
    assert faces[0].seconds == pytest.approx(2.25)
    assert film.summarize(progress, faces) == "2 faces in 2.0 seconds. A notice."


def test_the_player_gets_places_and_shares_as_whole_numbers(progress):
    content = json.loads(film.to_json(progress, film.over_time(progress.timeline)))
    assert content["size"] == [640, 360]
    assert content["seconds"] == 2.0
    time_s, answers = content["frames"][1]
    assert time_s == 0.25
    assert answers[1] == [2, 0, 0, 1000, 2000, 500, 500, 7500, 500, 500, 500]
    assert [len(faces) for _, faces in content["frames"]] == [2] * 4 + [1] * 5
    assert [one["words"] for one in content["faces"]] == [
        "Mostly looks sad.",
        "Mostly looks happy.",
    ]
    assert content["faces"][0]["shares"]["sad"] == 10_000
    assert [one["track"] for one in content["moments"]] == [2, 1]
    pictures = [one["picture"] for one in content["faces"] + content["moments"]]
    assert all(picture.startswith("data:image/jpeg;base64,") for picture in pictures)


def test_a_crowd_is_listed_up_to_the_limit(progress, monkeypatch):
    monkeypatch.setattr(film, "MAX_LISTED", 1)
    content = json.loads(film.to_json(progress, film.over_time(progress.timeline)))
    assert [one["track"] for one in content["faces"]] == [1]
    assert content["unlisted"] == 1


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        (["happy"] * 4 + ["sad"] * 2 + ["happy"] * 2, {"happy": 2, "sad": 1}),
        (["happy"] * 4 + ["sad"] + ["happy"] * 2, {"happy": 2}),  # one frame is no episode
        (["happy"] * 2 + [None] * 2 + ["happy"] * 2, {"happy": 1}),  # back at once
        (["happy"] * 2 + [None] * 5 + ["happy"] * 2, {"happy": 2}),
        ([None] * 4, {}),
    ],
)
def test_an_emotion_is_counted_when_it_comes(answers, counts):
    assert +film.episodes(shown(*answers)) == counts
