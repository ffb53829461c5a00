"""Accuracy of packages that ship weights, on FER2013's own crops.

Each classifier gets the crops with its own preprocessing and without its face detector (which finds
few faces in 48x48 pictures: the comparison would be unfair). The answer is the most probable of the
six emotions; `disgusted` images are left out. PublicTest is our validation, PrivateTest our test;
"clean" is PrivateTest without the images that also stand, pixel for pixel, in train/ or PublicTest,
as in `training.data`. Intervals are 95% bootstrap intervals.

The requirements of the packages contradict each other and ours, and TensorFlow and torch may fail
in one process. So this script imports nothing of Emotion Detective, runs in an environment of its
own and adds the rows of each run to peers.json:

    python -m venv peers && peers/bin/pip install fer==25.10.3 "setuptools<81"
    peers/bin/python benchmarks/peers.py --data emotion-detection-fer.zip --peers fer fer-hdf5

Our own row: `python train_hub.py evaluate --model DIR --data SRC --split test --json`.
"""

import argparse
import io
import json
import platform
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image

RESULT = Path(__file__).with_suffix(".json")
LABELS = ("angry", "fearful", "happy", "neutral", "sad", "surprised")
# The number of images in test/CLASS, in numeric order of the file name, that are PublicTest (the
# rest is PrivateTest); checked against the usage column of FER+ (Barsoum et al. 2016, arXiv
# 1608.01041).
PUBLIC_COUNTS = dict(zip(LABELS, (467, 496, 895, 607, 653, 415), strict=True))
# Indices in the outputs of packages that keep FER2013's order of seven classes; 1 is disgust.
FER2013_ORDER = {"angry": 0, "fearful": 2, "happy": 3, "sad": 4, "surprised": 5, "neutral": 6}
BOOTSTRAP_SAMPLES = 2000
BATCH_SIZE = 256

# Crops `(N, 48, 48)` uint8 -> scores `(N, 6)` in the order of LABELS.
Classify = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Split:
    """Crops `(N, 48, 48)` uint8, their label indices `(N,)` and which are clean `(N,)`."""

    crops: np.ndarray
    labels: np.ndarray
    clean: np.ndarray


@dataclass(frozen=True)
class Peer:
    """A package, as its index names it, and how to load its classifier."""

    package: str
    load: Callable[[], Classify]


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
        return in_our_order(np.asarray(classifier._classify_emotions(faces)))

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
        return in_our_order(classifier.net(faces).numpy())

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
        return in_our_order(network((faces - 0.5) / 0.5).numpy())

    return classify


PEERS = {
    "fer": Peer("fer", load_fer),
    "fer-hdf5": Peer("fer", lambda: load_fer(use_tflite=False)),
    "what-the-face": Peer("what-the-face-classification", load_what_the_face),
    "facial-emotion-recognition": Peer(
        "facial-emotion-recognition", load_facial_emotion_recognition
    ),
}


def in_our_order(scores: np.ndarray) -> np.ndarray:
    """Return the columns of LABELS, in their order, from scores in FER2013_ORDER."""
    return scores[:, [FER2013_ORDER[label] for label in LABELS]]


def read_splits(source: Path) -> dict[str, Split]:
    """Return PublicTest and PrivateTest of the Kaggle zip or the folder it unpacks to."""
    names, read = _open(source)
    members: dict[str, list[tuple[bytes, int]]] = {"train": [], "PublicTest": [], "PrivateTest": []}
    for i, label in enumerate(LABELS):
        for part in ("train", "test"):
            found = [name for name in names if f"/{part}/{label}/" in f"/{name}"]
            found.sort(key=lambda name: int(re.search(r"(\d+)\.\w+$", name).group(1)))
            if not found:
                raise ValueError(f"{source} has no images in {part}/{label}/; name FER2013's zip.")
            for position, name in enumerate(found):
                usage = "PublicTest" if position < PUBLIC_COUNTS[label] else "PrivateTest"
                pixels = np.asarray(Image.open(io.BytesIO(read(name))).convert("L")).tobytes()
                members["train" if part == "train" else usage].append((pixels, i))
    return {usage: _split(usage, members) for usage in ("PublicTest", "PrivateTest")}


def _open(source: Path) -> tuple[list[str], Callable[[str], bytes]]:
    if source.is_dir():
        names = [path.relative_to(source).as_posix() for path in source.rglob("*.png")]
        return names, lambda name: (source / name).read_bytes()
    if not zipfile.is_zipfile(source):
        raise ValueError(f"{source} is neither a folder nor a zip; name FER2013's zip or folder.")
    archive = zipfile.ZipFile(source)
    return [name for name in archive.namelist() if name.endswith(".png")], archive.read


def _split(usage: str, members: dict[str, list[tuple[bytes, int]]]) -> Split:
    elsewhere = {pixels for other, rows in members.items() if other != usage for pixels, _ in rows}
    rows = members[usage]
    crops = np.stack([np.frombuffer(pixels, np.uint8).reshape(48, 48) for pixels, _ in rows])
    clean = np.array([pixels not in elsewhere for pixels, _ in rows])
    return Split(crops, np.array([label for _, label in rows]), clean)


def score(predicted: np.ndarray, labels: np.ndarray) -> dict:
    """Return accuracy with its interval, macro-F1 and each label's recall."""
    right = predicted == labels
    f1, recall = [], {}
    for i, label in enumerate(LABELS):
        hits = int((right & (labels == i)).sum())
        f1.append(2 * hits / max((labels == i).sum() + (predicted == i).sum(), 1))
        recall[label] = float(hits / max((labels == i).sum(), 1))
    generator = np.random.default_rng(0)
    sampled = generator.binomial(len(right), right.mean(), BOOTSTRAP_SAMPLES) / len(right)
    return {
        "n": len(labels),
        "accuracy": float(right.mean()),
        "accuracy_interval": np.percentile(sampled, (2.5, 97.5)).tolist(),
        "macro_f1": float(np.mean(f1)),
        "recall": recall,
    }


def measure(classify: Classify, splits: dict[str, Split]) -> dict[str, dict]:
    """Return the scores on PublicTest, PrivateTest and the clean part of PrivateTest."""
    results = {}
    for usage, split in splits.items():
        starts = range(0, len(split.crops), BATCH_SIZE)
        scores = [classify(split.crops[start : start + BATCH_SIZE]) for start in starts]
        predicted = np.concatenate(scores).argmax(axis=1)
        results[usage] = score(predicted, split.labels)
        if usage == "PrivateTest":
            results["clean"] = score(predicted[split.clean], split.labels[split.clean])
    return results


def table(rows: dict[str, dict]) -> str:
    """Return the Markdown page: one line a peer, the most accurate first."""
    first = next(iter(rows.values()))
    sizes = {name: f"{result['n']:,}" for name, result in first["results"].items()}
    lines = [
        "# Peers on FER2013",
        "",
        "Accuracy / macro-F1 over six classes, in percent, from "
        "`python benchmarks/peers.py --data emotion-detection-fer.zip`. Protocol: the script's "
        "first lines.",
        "",
        f"| package | PublicTest, n = {sizes['PublicTest']} "
        f"| PrivateTest, n = {sizes['PrivateTest']} (95% interval) | clean, n = {sizes['clean']} "
        f"| recall on PrivateTest: {' / '.join(LABELS)} | measured |",
        "|---|---|---|---|---|---|",
    ]
    by_accuracy = sorted(
        rows.items(), key=lambda row: -row[1]["results"]["PrivateTest"]["accuracy"]
    )
    return "\n".join(lines + [_line(name, row) for name, row in by_accuracy]) + "\n"


def _line(name: str, row: dict) -> str:
    results, private = row["results"], row["results"]["PrivateTest"]
    low, high = private["accuracy_interval"]
    pair = {
        usage: f"{100 * scores['accuracy']:.2f} / {100 * scores['macro_f1']:.2f}"
        for usage, scores in results.items()
    }
    recall = " / ".join(f"{100 * private['recall'][label]:.0f}" for label in LABELS)
    return (
        f"| {name} ({row['package']} {row['version']}) | {pair['PublicTest']} "
        f"| **{pair['PrivateTest']}** ({100 * low:.1f} to {100 * high:.1f}) | {pair['clean']} "
        f"| {recall} | {row['date']}, Python {row['python']} |"
    )


def main() -> None:
    """Measure the chosen peers that are installed and add them to peers.json and peers.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="FER2013's zip or its folder")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to add to")
    arguments = parser.parse_args()
    splits = read_splits(arguments.data)
    rows = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    for name in arguments.peers:
        peer = PEERS[name]
        try:
            installed = version(peer.package)
        except PackageNotFoundError:
            print(f"{name}: not installed here (pip install {peer.package}); skipped")
            continue
        rows[name] = {
            "package": peer.package,
            "version": installed,
            "python": platform.python_version(),
            "date": date.today().isoformat(),
            "results": measure(peer.load(), splits),
        }
        print(_line(name, rows[name]))
        arguments.output.write_text(json.dumps(rows, indent=2) + "\n")
        arguments.output.with_suffix(".md").write_text(table(rows))


if __name__ == "__main__":
    main()
