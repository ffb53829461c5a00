"""What other packages predict, in an environment where they are installed.

peers.py and photo_to_answer.py run it with that environment's interpreter: the requirements of the
packages contradict each other and ours, and TensorFlow and torch may fail in one process. It
imports nothing of Emotion Detective. By itself:

    python -m venv peers
    peers/bin/pip install --no-deps fer==25.10.3
    peers/bin/pip install tensorflow-cpu==2.21.0 "opencv-python-headless<5" facenet-pytorch==2.5.3 \
        "torch>=2.14" "moviepy<2" pandas requests tqdm "setuptools<81"
    peers/bin/pip uninstall --yes triton
    echo photo.jpg | peers/bin/python benchmarks/peers_apart.py photos
    peers/bin/python benchmarks/peers_apart.py crops fer crops.npy scores.npy

Those are the imports of `fer`, in versions that it works with. Triton's LLVM and TensorFlow's fail
in one process; neither package uses Triton here. Threads are left at their defaults, as a user of
`fer` has them.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

# Columns of angry, fearful, happy, neutral, sad and surprised in the outputs of packages that keep
# FER2013's order of seven classes; 1 is disgust.
OUR_ORDER = (0, 2, 3, 6, 4, 5)
BATCH_SIZE = 256

# Crops `(N, 48, 48)` uint8 -> scores `(N, 7)` in FER2013's order.
Classify = Callable[[np.ndarray], np.ndarray]


def load_fer(use_tflite: bool = True) -> Classify:
    """`fer.FER.detect_emotions` after its face detector: 64x64 by OpenCV, scaled to -1 to 1."""
    import cv2
    from fer.fer import FER  # `from fer import FER`, as its README says, fails in 25.10.3

    classifier = FER(use_tflite=use_tflite)

    def classify(crops: np.ndarray) -> np.ndarray:
        faces = np.stack([cv2.resize(crop, (64, 64)) for crop in crops]).astype(np.float32)
        faces = (faces / 255.0 - 0.5) * 2.0
        if not use_tflite:
            faces = faces[..., None]
        return np.asarray(classifier._classify_emotions(faces))

    return classify


def load_what_the_face() -> Classify:
    """`Image_classifier.predict` after its face detector."""
    import torch
    from what_the_face_classification.inference import Image_classifier

    classifier = Image_classifier()
    classifier.net.eval()

    @torch.no_grad()
    def classify(crops: np.ndarray) -> np.ndarray:
        faces = torch.stack([classifier.transform(Image.fromarray(crop)) for crop in crops])
        return classifier.net(faces).numpy()

    return classify


def load_facial_emotion_recognition() -> Classify:
    """`EmotionRecognition._predict`, its weights loaded as its own constructor can't on a CPU."""
    import torch
    from facial_emotion_recognition import networks

    folder = Path(networks.__file__).parent
    weights = torch.load(folder / "model" / "model.pkl", map_location="cpu", weights_only=True)
    network = networks.NetworkV2(in_c=1, nl=32, out_f=7)
    network.load_state_dict(weights["network"])
    network.eval()

    @torch.no_grad()
    def classify(crops: np.ndarray) -> np.ndarray:
        faces = torch.from_numpy(crops).unsqueeze(1).float() / 255
        return network((faces - 0.5) / 0.5).numpy()

    return classify


# Name -> its package, as its index names it, and how to load its classifier.
PEERS: dict[str, tuple[str, Callable[[], Classify]]] = {
    "fer": ("fer", load_fer),
    "fer-hdf5": ("fer", lambda: load_fer(use_tflite=False)),
    "what-the-face": ("what-the-face-classification", load_what_the_face),
    "facial-emotion-recognition": (
        "facial-emotion-recognition",
        load_facial_emotion_recognition,
    ),
}


def score_crops(name: str, crops: str, scores: str) -> None:
    """Write the peer's scores `(N, 6)` of a file of crops; print its package and version."""
    package, load = PEERS[name]
    classify, images = load(), np.load(crops)
    starts = range(0, len(images), BATCH_SIZE)
    found = np.concatenate([classify(images[start : start + BATCH_SIZE]) for start in starts])
    np.save(scores, found[:, OUR_ORDER])
    _reply({"package": package, "version": version(package)})


def find_in_photos() -> None:
    """Print `fer`'s version, the faces that it finds and its seconds for each path that is read."""
    from fer.fer import FER

    detector = FER(mtcnn=True)
    for line in sys.stdin:
        start = time.perf_counter()
        found = detector.detect_emotions(line.rstrip("\n"))
        seconds = time.perf_counter() - start
        _reply({"version": version("fer"), "found": len(found), "seconds": seconds})


def _reply(reply: dict) -> None:
    print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    replies, sys.stdout = sys.stdout, sys.stderr  # the packages print too
    task, *words = sys.argv[1:]
    {"photos": find_in_photos, "crops": score_crops}[task](*words)
