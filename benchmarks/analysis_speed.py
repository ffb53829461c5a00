"""Pictures a second of `train_hub.py analyze`, against the sum of its parts run alone.

    python benchmarks/analysis_speed.py
    EMOTION_DEVICE=cuda python benchmarks/analysis_speed.py --processes 4

The folder holds JPEG photos of 1280x960, each of COUNTS faces in turn (crowds.py). Alone, a part
(decode, detect, classify) has one core and its input ready; what the processes take for a picture
should be no more than the parts' sum divided by the cores. Starting a process and its model is
left out: it is the same for a million pictures.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import crowds
import report
import timing
import torch

from emotion_detective.bulk import analysis
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.engines import runtime
from emotion_detective.evaluation.plots import table
from emotion_detective.files import pictures

SIZE = (1280, 960)
COUNTS = (1, 0, 2, 1, 5)
PHOTOS = 2000
# So many tell a part's time within a percent.
PHOTOS_ALONE = 200
# How much longer a picture may take than its parts' share of the cores.
MOST_OVER = 1.1


def write_photos(folder: Path, count: int) -> None:
    """Write the photos; those with as many faces differ in where the faces are."""
    for i in range(count):
        picture = crowds.crowd(SIZE, COUNTS[i % len(COUNTS)], shift_px=i % 40)
        picture.save(folder / f"{i:05d}.jpg", quality=crowds.JPEG_QUALITY)


def parts(detective: EmotionDetective, paths: list[Path]) -> dict[str, float]:
    """Return the seconds of each part for a picture, alone and one picture after the other."""
    opened = [pictures.open_picture(path) for path in paths]
    crops = [detective.look(picture)[1] for picture in opened]
    calls = {
        "decode": lambda: [pictures.open_picture(path) for path in paths],
        "detect": lambda: [detective.detector.detect_any_turn(picture) for picture in opened],
        "classify": lambda: [detective.classifier.probabilities(some) for some in crops if some],
    }
    return {name: timing.seconds(call) / len(paths) for name, call in calls.items()}


def measure(model: str, folder: Path, photos: int, processes: int) -> dict:
    """Return the seconds of each part, and those that `processes` take for a picture together."""
    source, threads = folder / "photos", torch.get_num_threads()
    source.mkdir()
    write_photos(source, photos)
    torch.set_num_threads(1)
    detective = EmotionDetective.from_pretrained(model)
    alone = parts(detective, sorted(source.iterdir())[:PHOTOS_ALONE])
    torch.set_num_threads(threads)
    # The difference of two runs has no start in it: one picture a process, and all.
    begin = analysis.write_rows(
        model,
        str(_few(source, folder, processes)),
        folder / "begin",
        shards=processes,
        processes=processes,
    )
    done = analysis.write_rows(
        model, str(source), folder / "rows", shards=4 * processes, processes=processes
    )
    return {
        "photos": photos,
        "processes": processes,
        "device": str(runtime.claim_device()),
        "alone_s": alone,
        "start_s": begin.seconds,
        "picture_s": (done.seconds - begin.seconds) / (photos - processes),
        "rows": dict(done.rows),
    }


def _few(source: Path, folder: Path, count: int) -> Path:
    few = folder / "few"
    few.mkdir()
    for path in sorted(source.iterdir())[:count]:
        (few / path.name).symlink_to(path)
    return few


def goals(result: dict) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether."""
    share_s = sum(result["alone_s"].values()) / result["processes"]
    over = result["picture_s"] / share_s
    return [
        (
            f"at most {MOST_OVER - 1:.0%} above the parts' share of {result['processes']} cores",
            f"{over - 1:+.0%}",
            over <= MOST_OVER,
        )
    ]


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("Analysis of a folder", result)
    yield (
        f"{result['photos']} photos of {SIZE[0]}x{SIZE[1]} with {COUNTS} faces in turn, "
        f"{result['processes']} processes on {result['device']}, {result['start_s']:.1f} s for "
        "their start:"
    )
    yield ""
    rows = [
        [f"{name}, alone on one core", f"{1000 * s:.1f}"] for name, s in result["alone_s"].items()
    ]
    rows.append(["their sum", f"{1000 * sum(result['alone_s'].values()):.1f}"])
    rows.append([f"{result['processes']} processes together", f"{1000 * result['picture_s']:.1f}"])
    yield table(["", "ms a picture"], rows)
    yield ""
    yield f"{1 / result['picture_s']:.1f} pictures a second."
    yield ""
    yield report.goals(result["goals"])


def main() -> None:
    parser = report.parser(__file__, __doc__, "model")
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    model = str(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(model, Path(folder), arguments.photos, arguments.processes)
    result = report.origin("composites of scikit-image's astronaut") | measured
    result["goals"] = goals(result)
    report.write(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
