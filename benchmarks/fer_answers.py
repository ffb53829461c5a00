"""The answers of the package `fer`, with its MTCNN, to picture files: faces found and seconds.

photo_to_answer.py runs it with the interpreter of an environment where `fer` is installed. It
imports nothing of Emotion Detective, reads a path a line and prints a JSON object for each. By
itself:

    python -m venv peers
    peers/bin/pip install --no-deps fer==25.10.3
    peers/bin/pip install tensorflow-cpu==2.21.0 "opencv-python-headless<5" facenet-pytorch==2.5.3 \
        "torch>=2.14" "moviepy<2" pandas requests tqdm "setuptools<81"
    peers/bin/pip uninstall --yes triton
    echo photo.jpg | peers/bin/python benchmarks/fer_answers.py

These are the imports of `fer`, in versions that it works with. Triton's LLVM and TensorFlow's fail
in one process; neither package uses Triton here. Threads are left at their defaults, as a user of
`fer` has them.
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
