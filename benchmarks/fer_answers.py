"""The package `fer`, with its MTCNN, answers for picture files: how many faces, in how long.

Called by photo_to_answer.py with the interpreter of an environment where `fer` is installed. It
imports nothing of Emotion Detective, reads a path a line, prints a JSON object for each, and runs
by itself too:

    python -m venv peers
    peers/bin/pip install --no-deps fer==25.10.3
    peers/bin/pip install tensorflow-cpu==2.21.0 "opencv-python-headless<5" facenet-pytorch==2.5.3 \
        "torch>=2.14" "moviepy<2" pandas requests tqdm "setuptools<81"
    peers/bin/pip uninstall --yes triton
    echo photo.jpg | peers/bin/python benchmarks/fer_answers.py

These are what `fer` imports, of versions that it works with. Triton's and TensorFlow's LLVM would
not bear each other in one process; neither package uses Triton here. Beside each other, their
threads are left as they are by default, as a user of `fer` has them.
"""

import json
import sys
import time
from importlib.metadata import version


def main() -> None:
    """Print `fer`'s version, the faces that it finds and its seconds for each path that is read."""
    replies, sys.stdout = sys.stdout, sys.stderr  # `fer` and what it uses print too
    from fer.fer import FER  # `from fer import FER`, as its README says, fails in 25.10.3

    detector = FER(mtcnn=True)
    for line in sys.stdin:
        start = time.perf_counter()
        found = detector.detect_emotions(line.rstrip("\n"))
        seconds = time.perf_counter() - start
        reply = {"version": version("fer"), "found": len(found), "seconds": seconds}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
