"""`EmotionDetective.analyze_many` against a loop over `analyze`, on photos of one to three faces.

    python benchmarks/many_pictures.py

Both read the same JPEG files; the median of three rounds, in turn.
"""

import tempfile
from pathlib import Path

import crowds
import report
import torch

from emotion_detective import EmotionDetective
from emotion_detective.evaluation.plots import table

SIZE, COUNT, ROUNDS = (1280, 960), 500, 3


def measure(model: Path | str) -> dict[str, float]:
    """Return the median seconds of the loop and of `analyze_many` over all photos."""
    detective = EmotionDetective.from_pretrained(model)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.jpg" for i in range(COUNT)]
        for i, path in enumerate(paths):
            crowds.crowd(SIZE, 1 + i % 3).save(path, quality=90)
        calls = {
            "loop": lambda: [detective.analyze(path) for path in paths],
            "many": lambda: list(detective.analyze_many(paths)),
        }
        return report.medians(calls, ROUNDS)


def markdown(result: dict) -> list[str]:
    """Return the lines of the benchmark's page."""
    seconds = result["seconds"]
    rows = [(name, f"{COUNT / s:.1f}", f"{seconds['loop'] / s:.2f}") for name, s in seconds.items()]
    lines = report.opening("Many pictures", result)
    said = f"{COUNT} photos of {SIZE[0]}x{SIZE[1]}, {result['threads']} threads."
    return [*lines, "", said, "", table(["", "photos a second", "times the loop"], rows)]


def main() -> None:
    arguments = report.parser(__file__, __doc__, "model").parse_args()
    result = report.origin("the astronaut's face, one to three times")
    result |= {"threads": torch.get_num_threads(), "seconds": measure(arguments.model)}
    report.write(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
