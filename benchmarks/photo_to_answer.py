"""Time from a photo to its answer: by pixels, by faces, by stage, and beside `fer`.

    python benchmarks/photo_to_answer.py
    python benchmarks/photo_to_answer.py --fer peers/bin/python

Pictures are JPEG files with the same face 1, 5 and 30 times (crowds.py). Each is measured in a new
process that has loaded the model: the first answer is cold, the rest are warm. "Answer" is
`EmotionDetective.analyze` on the file: decode, detect, crop and classify. "Draw" is what the page
adds: the view, its boxes, its JPEG. "Bare" is the network's forward pass alone, on the same faces
as a batch. `--fer` names the Python of an environment with that package (peers_apart.py says how to
make one): its answers alternate with ours, and each pair says how many times faster ours is.
"""

import itertools
import json
import multiprocessing
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import crowds
import report

from emotion_detective.core import drawing, faces
from emotion_detective.core.classifier import MAX_BATCH
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.evaluation.plots import table
from emotion_detective.files import read_picture

SIZES = ((640, 480), (4000, 3000))
COUNTS = (1, 5, 30)
ROUNDS = 5
STAGES = ("decode", "detect", "crop", "classify", "draw")
# The goals: the classifier takes at most so much longer than its network alone, and an answer comes
# so many times faster than `fer`'s.
MAX_CLASSIFIER_RATIO = 1.15
MIN_FER_RATIO = 3.0


def measure(model: str, path: str, rounds: int, fer_python: str | None = None) -> dict:
    """Return the times of one picture file in seconds; meant for a new process."""
    detective = EmotionDetective.from_pretrained(model)
    first_s = report.seconds(lambda: detective.analyze(path))
    stages = report.medians(_stages(detective, path), rounds)
    found = len(detective.analyze(path))
    return {
        "found": found,
        "first_s": first_s,
        "answer_s": stages.pop("answer"),
        "bare_s": stages.pop("bare"),
        "stages_s": stages,
        "fer": fer_python and compare(detective, path, rounds, fer_python),
    }


def compare(detective: EmotionDetective, path: str, rounds: int, fer_python: str) -> dict:
    """Return `fer`'s answers to a picture file, each taken right after one of ours.

    "faster" are the quotients of the pairs, sorted, after a warm-up round.
    """
    with _fer(fer_python) as ask:
        first = ask(path)
        pairs = [
            (report.seconds(lambda: detective.analyze(path)), ask(path)["seconds"])
            for _ in range(rounds + 1)
        ][1:]
    return {
        "version": first["version"],
        "found": first["found"],
        "first_s": first["seconds"],
        "answer_s": median(theirs for _, theirs in pairs),
        "faster": sorted(theirs / ours for ours, theirs in pairs),
    }


@contextmanager
def _fer(python: str) -> Iterator[Callable[[str], dict]]:
    """Run `fer` in an interpreter of its own; yield a function that asks it about a file."""
    script = Path(__file__).with_name("peers_apart.py")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([python, script, "photos"], **pipes) as process:

        def ask(path: str) -> dict:
            print(path, file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def _stages(detective: EmotionDetective, path: str) -> dict[str, Callable[[], object]]:
    """Return the timed calls, each with its input ready."""
    picture = read_picture(path).picture
    found = detective.detector.detect(picture)
    crops = faces.crops(picture, found)
    predictions = detective.analyze(picture)
    batches = detective.classifier.preprocess(crops).split(MAX_BATCH)

    def draw() -> None:
        view, in_view = drawing.to_view(picture, predictions)
        drawing.to_jpeg(drawing.draw_faces(view, in_view))

    return {
        "answer": lambda: detective.analyze(path),
        "decode": lambda: read_picture(path).picture,
        "detect": lambda: detective.detector.detect(picture),
        "crop": lambda: faces.crops(picture, found),
        "classify": lambda: detective.classifier.probabilities(crops),
        "bare": lambda: [detective.classifier.logits(batch) for batch in batches],
        "draw": draw,
    }


def measure_all(model: str, rounds: int, fer_python: str | None) -> Iterator[dict]:
    """Yield one row a picture."""
    # Spawned, not forked: each picture has a process without the memory of this one.
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, context, max_tasks_per_child=1) as processes,
    ):
        for size, count in itertools.product(SIZES, COUNTS):
            path = str(Path(folder) / f"{size[0]}x{size[1]}_{count}.jpg")
            crowds.crowd(size, count).save(path, quality=crowds.JPEG_QUALITY)
            measured = processes.submit(measure, model, path, rounds, fer_python).result()
            yield {"size": list(size), "faces": count} | measured


def goals(rows: list[dict]) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether."""
    over = [row["stages_s"]["classify"] / row["bare_s"] - 1 for row in rows]
    goal = f"classifier at most {MAX_CLASSIFIER_RATIO - 1:.0%} over the bare forward pass"
    measured = f"{min(over):+.1%} to {max(over):+.1%}"
    reached = [(goal, measured, max(over) <= MAX_CLASSIFIER_RATIO - 1)]
    if all(row["fer"] for row in rows):
        faster = [median(row["fer"]["faster"]) for row in rows]
        better = all(
            abs(row["found"] - row["faces"]) <= abs(row["fer"]["found"] - row["faces"])
            for row in rows
        )
        goal = f"{MIN_FER_RATIO:g} times faster than `fer`, as near to the true number of faces"
        nearer = "as near or nearer" if better else "further from it"
        measured = f"{min(faster):.1f} to {max(faster):.1f} times; {nearer}"
        reached.append((goal, measured, min(faster) >= MIN_FER_RATIO and better))
    return reached


def markdown(result: dict) -> Iterator[str]:
    rows = result["pictures"]
    yield from report.opening("From a photo to its answer", result)
    yield "Milliseconds, warm but for the column that says cold:"
    yield ""
    beside = ["`fer`, cold", "`fer`", "`fer` found", "times faster", "pair by pair"]
    beside = beside if rows[0]["fer"] else []
    header = ["picture", "faces", "found", "cold", "answer", *STAGES, "bare", *beside]
    yield table(header, [_cells(row) for row in rows])
    yield ""
    yield report.goals(result["goals"])


def _cells(row: dict) -> list[str]:
    times = [row["first_s"], row["answer_s"], *row["stages_s"].values(), row["bare_s"]]
    cells = ["x".join(map(str, row["size"])), str(row["faces"]), str(row["found"])]
    cells += [f"{1000 * s:.1f}" for s in times]
    if row["fer"]:
        cells += [f"{1000 * row['fer'][name]:.1f}" for name in ("first_s", "answer_s")]
        faster = row["fer"]["faster"]
        cells += [str(row["fer"]["found"]), f"{median(faster):.1f}"]
        cells += [f"{faster[0]:.1f} to {faster[-1]:.1f}"]
    return cells


def main() -> None:
    parser = report.parser(__file__, __doc__, "model")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="warm answers to each picture")
    parser.add_argument("--fer", metavar="PYTHON", help="interpreter with the package fer")
    arguments = parser.parse_args()
    model = str(arguments.model)
    rows = list(measure_all(model, arguments.rounds, arguments.fer))
    result = report.origin("composites of scikit-image's astronaut")
    if arguments.fer:
        result["versions"]["fer"] = rows[0]["fer"]["version"]
    result |= {"pictures": rows, "goals": goals(rows)}
    report.write(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
