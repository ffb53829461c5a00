"""The package `fer`, with its MTCNN, on picture files: how long an answer takes, how many faces.

Called by photo_to_answer.py with the interpreter of an environment where `fer` is installed. It
imports nothing of Emotion Detective, prints one JSON object, and runs by itself too:

    python -m venv peers
    peers/bin/pip install --no-deps fer==25.10.3
    peers/bin/pip install tensorflow-cpu==2.21.0 "opencv-python-headless<5" facenet-pytorch==2.5.3 \
        "torch>=2.14" "moviepy<2" pandas requests tqdm "setuptools<81"
    peers/bin/pip uninstall --yes triton
    peers/bin/python benchmarks/fer_answers.py 9 photo.jpg

These are what `fer` imports, of versions that it works with. Triton's and TensorFlow's LLVM would
not bear each other in one process; neither package uses Triton here. Beside each other, their
threads are left as they are by default, as a user of `fer` has them.
`first_s` is the first answer after everything is loaded, `answer_s` the median of the rest.
"""

import json
import sys
import time
from importlib.metadata import version
from statistics import median


def answer(detector, path: str) -> tuple[int, float]:
    """Return the number of faces in a picture file and the seconds to their emotions."""
    start = time.perf_counter()
    faces = detector.detect_emotions(path)
    return len(faces), time.perf_counter() - start


def main(rounds: int, path: str) -> None:
    """Print `fer`'s version, the faces that it finds and its times."""
    from fer.fer import FER  # `from fer import FER`, as its README says, fails in 25.10.3

    detector = FER(mtcnn=True)
    found, first_s = answer(detector, path)
    answer_s = median(answer(detector, path)[1] for _ in range(rounds))
    print(
        json.dumps(
            {
                "version": version("fer"),
                "found": found,
                "first_s": first_s,
                "answer_s": answer_s,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
