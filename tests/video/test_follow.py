"""From a video file to tracks, tables and a copy with boxes: a tiny model, real everything else."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small import prediction

from emotion_detective.core.detective import EmotionDetective, Prediction
from emotion_detective.video import follow
from emotion_detective.video.decoding import describe, frames
from tests.films import film, numbered, turned

BOX = (40.0, 30.0, 120.0, 90.0)


class OneFace:
    """A detective that sees a face at one place of every picture."""

    classifier = SimpleNamespace(unsure_below=0.4)

    def __init__(self, box_xyxy=BOX) -> None:
        self.box_xyxy = box_xyxy

    def analyze(self, picture: Image.Image, upright_only: bool) -> list[Prediction]:
        return [prediction(box=self.box_xyxy)]


def last(progress):
    for one in progress:
        result = one
    return result


def walk(face: Image.Image, steps: int, size: tuple[int, int]) -> list[Image.Image]:
    """Return pictures in which the face goes from left to right."""
    pictures = []
    for i in range(steps):
        picture = Image.new("RGB", size, "#445566")
        picture.paste(face, (round((size[0] - face.width) * i / (steps - 1)), 40))
        pictures.append(picture)
    return pictures


@pytest.fixture(scope="module")
def two_seconds(tmp_path_factory):
    """20 numbered frames at 10 a second."""
    return film(tmp_path_factory.mktemp("films") / "film.mp4", numbered(20), rate_hz=10)


@pytest.fixture(scope="module")
def detective(tiny_checkpoint) -> EmotionDetective:
    return EmotionDetective.from_pretrained(tiny_checkpoint)


def test_a_face_that_walks_is_one_track_along_its_way(detective, astronaut, tmp_path):
    face = astronaut.crop((140, 0, 300, 200))
    path = film(tmp_path / "walk.mp4", walk(face, 9, (480, 270)), rate_hz=4)
    result = last(follow.follow_faces(detective, path, rate_hz=4))
    table = result.timeline.table()
    assert result.timeline.tracks == [1]
    assert table["time_s"].tolist() == [i / 4 for i in range(9)]
    middles = np.array([(box[0] + box[2]) / 2 for box in table["box"]])
    assert np.diff(middles) == pytest.approx(np.full(8, 40), abs=6)
    assert (result.fraction, result.notices) == (1.0, ())
    strongest = table.loc[table.groupby("label")["confidence"].idxmax()]
    found = {one.reading.prediction.label: one.reading.time_s for one in result.moments}
    assert found == dict(zip(strongest["label"], strongest["time_s"], strict=True))


def test_a_film_on_its_side_has_its_faces_where_they_lie(detective, astronaut, tmp_path):
    pictures = [Image.new("RGB", (512, 512)), astronaut, astronaut]
    upright, lying = (
        last(follow.follow_faces(detective, film(tmp_path / f"{turn}.mp4", turned), rate_hz=25))
        for turn in (0, 90)
        for turned in [[picture.rotate(turn) for picture in pictures]]
    )
    assert upright.notices == ()
    assert lying.notices == ("Found with the video turned by 90 degrees clockwise.",)
    boxes = [one.timeline.table()["box"] for one in (upright, lying)]
    assert len(boxes[0]) == 2
    for (left, top, right, bottom), beside in zip(*boxes, strict=True):
        assert beside == pytest.approx((top, 512 - right, bottom, 512 - left), abs=4)
    portraits = (np.asarray(one.portraits[1].resize((9, 9)), int) for one in (upright, lying))
    assert np.abs(np.subtract(*portraits)).mean() < 10


def test_boxes_are_in_pixels_of_the_video_as_shown(tmp_path):
    pictures = [Image.new("RGB", (2560, 1440), "navy")] * 2
    path = film(tmp_path / "film.mp4", pictures)
    result = last(follow.follow_faces(OneFace((100.0, 50.0, 300.0, 250.0)), path))
    assert result.timeline.table()["box"].tolist() == [[200, 100, 600, 500]]


def test_progress_grows_with_the_time(two_seconds):
    seen = [(p.time_s, p.fraction) for p in follow.follow_faces(OneFace(), two_seconds, rate_hz=2)]
    assert [time_s for time_s, _ in seen] == [0, 0.5, 1.0, 1.5, 1.5]
    assert [fraction for _, fraction in seen] == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=0.03)


def test_a_film_without_stated_length_has_no_fraction_until_its_end(tmp_path):
    path = film(tmp_path / "film.webm", numbered(2), codec="libvpx", options={"live": "1"})
    assert [p.fraction for p in follow.follow_faces(OneFace(), path, rate_hz=5)] == [None, 1.0]


def test_a_long_film_gives_its_first_readings_and_a_notice(two_seconds, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(follow, "MAX_SECONDS", 0.5)
        result = last(follow.follow_faces(OneFace(), two_seconds, rate_hz=5))
    assert [reading.time_s for reading in result.timeline.readings] == [0, 0.2, 0.4]
    assert result.notices == ("Only the first 0.5 seconds of the video were read.",)
    monkeypatch.setattr(follow, "MAX_ROWS", 3)
    result = last(follow.follow_faces(OneFace(), two_seconds, rate_hz=10))
    assert len(result.timeline.readings) == 3
    assert result.notices == ("Stopped after 0.3 seconds: 3 faces are the limit.",)


def test_sparse_frames_keep_their_track(tmp_path):
    path = film(tmp_path / "film.mp4", numbered(4), [0, 4, 8, 12])
    assert last(follow.follow_faces(OneFace(), path, rate_hz=0.25)).timeline.tracks == [1]


def test_the_annotated_video_shows_the_boxes_where_and_when_the_faces_are(tmp_path):
    odd = [Image.new("RGB", (321, 241), "black")] * 10
    source = film(tmp_path / "film.webm", odd, rate_hz=10, codec="libvpx")
    timeline = last(follow.follow_faces(OneFace(), source, rate_hz=5)).timeline
    target = tmp_path / "annotated.mp4"
    times = list(follow.annotate(source, timeline, target))
    drawn = [np.asarray(picture, int) for _, picture in frames(target, 30)]
    assert len(times) == len(drawn) == 10
    assert describe(target).size == (320, 240)
    left, top, right, bottom = (round(side) for side in BOX)
    for picture in drawn:
        assert picture[(top + bottom) // 2, left - 3 : left + 4].max() > 150  # its left edge
        assert picture[(top + bottom) // 2, right - 3 : right + 4].max() > 150
        assert picture[(top + bottom) // 2, (left + right) // 2].max() < 60  # inside
        assert picture[200:, 200:].max() < 60  # elsewhere


def test_the_annotated_video_keeps_irregular_times_and_stands_upright(tmp_path):
    times = [0, 0.1, 0.5, 1.3]
    source = turned(film(tmp_path / "film.mov", numbered(4, (160, 120)), times))
    timeline = last(follow.follow_faces(OneFace(), source, rate_hz=10)).timeline
    target = tmp_path / "annotated.mp4"
    list(follow.annotate(source, timeline, target))
    assert [time_s for time_s, _ in frames(target, 30)] == pytest.approx(times, abs=0.002)
    assert describe(target).size == (120, 160)


def test_pictures_that_begin_after_the_sound_keep_their_times_in_the_copy(tmp_path):
    times = [2, 2.5, 3]
    source = film(tmp_path / "film.mp4", numbered(3), times, sound=True)
    timeline = last(follow.follow_faces(OneFace(), source)).timeline
    assert [frame.time_s for frame in timeline.frames] == pytest.approx(times, abs=0.01)
    list(follow.annotate(source, timeline, tmp_path / "annotated.mp4"))
    copied = [time_s for time_s, _ in frames(tmp_path / "annotated.mp4", 30)]
    assert copied == pytest.approx([0, 2.5, 3], abs=0.01)  # a player without sound begins there


def test_the_annotated_video_plays_in_browsers_or_is_not_there(two_seconds, tmp_path):
    timeline = last(follow.follow_faces(OneFace(), two_seconds)).timeline
    target = tmp_path / "annotated.mp4"
    writing = follow.annotate(two_seconds, timeline, target)
    next(writing)
    writing.close()
    assert not target.exists()
    list(follow.annotate(two_seconds, timeline, target))
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # starts before it is loaded
    assert b"avc1" in data


def test_moments_are_small_pictures_with_their_face(tmp_path):
    pictures = [Image.new("RGB", (1280, 720), "black")] * 2
    source = film(tmp_path / "film.mp4", pictures)
    (moment,) = last(follow.follow_faces(OneFace((200.0, 200.0, 400.0, 400.0)), source)).moments
    assert moment.picture.size == (640, 360)
    assert moment.reading.prediction.label == "happy"
    assert np.asarray(moment.picture)[150, 95:106].max() > 150  # the box's left edge, halved


def test_a_portrait_is_the_face_where_it_was_nearest(tmp_path):
    pictures = [Image.new("RGB", (400, 300), shade) for shade in ("#202020", "#909090", "#e0e0e0")]
    source = film(tmp_path / "film.mp4", pictures, rate_hz=4)
    detective, sides_px = OneFace(), iter((60, 120, 70))
    detective.analyze = lambda picture, upright_only: [
        prediction(box=(100, 100, *[100 + next(sides_px)] * 2))
    ]
    portraits = last(follow.follow_faces(detective, source, rate_hz=4)).portraits
    assert list(portraits) == [1]
    assert portraits[1].size == (follow.PORTRAIT_SIDE_PX,) * 2
    assert np.asarray(portraits[1]).mean() == pytest.approx(0x90, abs=5)
