"""Seconds of video analysed, and written with boxes, in a second; by the number of faces.

    python benchmarks/video_speed.py

The film is 720p H.264 at 25 frames a second, with faces (crowds.py) that drift to the right. It is
analysed as on the page by default: `follow.DEFAULT_RATE_HZ` frames a second, every face detected in
each and followed. Writing the annotated copy decodes, draws and encodes every frame.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import crowds
import report

from emotion_detective.core.detective import EmotionDetective
from emotion_detective.evaluation.plots import table
from emotion_detective.video import follow

SIZE = (1280, 720)
FRAME_RATE_HZ = 25
SECONDS = 10
COUNTS = (1, 3)
ROUNDS = 2
DRIFT_PX_A_SECOND = 20
# Key of a row -> its heading.
SPEEDS = {
    "analyzed_s_a_second": "seconds of video analysed a second",
    "frames_a_second": "frames looked at a second",
    "annotated_s_a_second": "seconds of video annotated a second",
}
# A sampled video should not take longer than it lasts.
MIN_SECONDS_A_SECOND = 1.0


def write_film(path: Path, count: int, seconds: float) -> None:
    """Write a film of `count` drifting faces."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FRAME_RATE_HZ, options={"preset": "veryfast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for i in range(round(seconds * FRAME_RATE_HZ)):
            picture = crowds.crowd(SIZE, count, round(i * DRIFT_PX_A_SECOND / FRAME_RATE_HZ))
            output.mux(stream.encode(av.VideoFrame.from_image(picture)))
        output.mux(stream.encode())


def measure(
    detective: EmotionDetective, folder: Path, count: int, seconds: float, rounds: int
) -> dict:
    """Return how fast a film with `count` faces is analysed and its annotated copy is written."""
    path = folder / f"{count}.mp4"
    write_film(path, count, seconds)
    *_, last = follow.follow_faces(detective, path)
    timeline = last.timeline
    times = report.medians(
        {
            "analyze": lambda: list(follow.follow_faces(detective, path)),
            "annotate": lambda: list(follow.annotate(path, timeline, folder / "annotated.mp4")),
        },
        rounds,
    )
    return {
        "faces": count,
        "frames": len(timeline.frames),
        "readings": len(timeline.table()),
        "analyzed_s_a_second": seconds / times["analyze"],
        "frames_a_second": len(timeline.frames) / times["analyze"],
        "annotated_s_a_second": seconds / times["annotate"],
    }


def goals(rows: list[dict]) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether."""
    slowest = min(row["analyzed_s_a_second"] for row in rows)
    every_face = all(row["readings"] == row["frames"] * row["faces"] for row in rows)
    found = ", ".join(f"{row['readings']} of {row['frames'] * row['faces']}" for row in rows)
    is_fast = slowest >= MIN_SECONDS_A_SECOND
    return [
        ("analysed no slower than it plays", f"{slowest:.2f} s of video a second", is_fast),
        ("every face found in every frame", found, every_face),
    ]


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("Video", result)
    yield (
        f"{result['seconds']:g} s of {SIZE[0]}x{SIZE[1]} at {FRAME_RATE_HZ} frames a second, "
        f"{follow.DEFAULT_RATE_HZ:g} of them looked at:"
    )
    yield ""
    films = result["films"]
    rows = [[film["faces"], *(f"{film[name]:.2f}" for name in SPEEDS)] for film in films]
    yield table(["faces", *SPEEDS.values()], rows)
    yield ""
    yield report.goals(result["goals"])


def main() -> None:
    parser = report.parser(__file__, __doc__, "model")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each film")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    detective = EmotionDetective.from_pretrained(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(detective, Path(folder), count, arguments.seconds, arguments.rounds)
            for count in COUNTS
        ]
    result = report.origin("composites of scikit-image's astronaut", packages=("av",))
    result |= {"seconds": arguments.seconds, "films": rows, "goals": goals(rows)}
    report.write(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
