"""The exported ONNX gives what the checkpoint gives, in ONNX Runtime and in transformers.js."""

import json
import re
import shutil
import subprocess

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from scipy.special import softmax
from small import EMBEDDED, ROOT

from emotion_detective import LABELS, EmotionDetective
from emotion_detective.core.faces import crop
from emotion_detective.publish.onnx_folder import write_onnx

PAGE = (ROOT / "docs" / "javascript.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory as docs/javascript.md has it, with a folder of faces."""
    folder = tmp_path_factory.mktemp("javascript")
    write_onnx(EMBEDDED, folder / "runs" / "onnx")
    (folder / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "face.png", folder / "examples")
    return folder


@pytest.fixture(scope="module")
def faces():
    """The faces of the examples, and the probabilities of each."""
    detective = EmotionDetective.from_pretrained()
    photos = [Image.open(path).convert("RGB") for path in (ROOT / "examples").glob("*.jpg")]
    found = [
        crop(photo, one.box_xyxy, rotation_degrees=one.rotation_degrees)
        for photo in photos
        for one in detective.analyze(photo)
    ]
    classifier = detective.classifier
    return found, classifier.probabilities(found), classifier.preprocess(found).numpy()


@pytest.mark.slow
def test_onnx_runtime_computes_the_same_probabilities(folder, faces):
    pictures, expected, batch = faces
    session = onnxruntime.InferenceSession(folder / "runs" / "onnx" / "onnx" / "model.onnx")
    (logits,) = session.run(None, {"pixel_values": batch})
    np.testing.assert_allclose(softmax(logits, axis=1), expected, atol=1e-5)
    for picture, probabilities in zip(pictures, expected, strict=True):  # of any size
        pixels = (np.asarray(picture, np.float32) / 255 - 0.5) / 0.25
        (logits,) = session.run(None, {"pixel_values": pixels.transpose(2, 0, 1)[None]})
        np.testing.assert_allclose(softmax(logits, axis=1)[0], probabilities, atol=0.01)


@pytest.mark.slow
def test_transformers_js_says_what_the_page_promises(folder, faces):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    command = ["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
    command += ["--prefix", ".", "@huggingface/transformers@4"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if re.search(r"code (E\w*TIMEDOUT|ENOTFOUND|EAI_\w+|ECONN\w+|E5\d\d)", done.stderr):
        pytest.skip("the registry of npm cannot be reached")
    assert done.returncode == 0, done.stderr
    (snippet,) = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert 'classify("examples/face.png"' in snippet
    pictures, expected, _ = faces
    for number, picture in enumerate(pictures):
        picture.save(folder / "examples" / f"{number}.png")
    more = f"""
        for (let i = 0; i < {len(pictures)}; i++)
            console.log(JSON.stringify(await classify(`examples/${{i}}.png`, {{ top_k: 6 }})));
    """
    (folder / "snippet.mjs").write_text(snippet + more)
    run = subprocess.run(["node", "snippet.mjs"], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    shown = [{one["label"]: one["score"] for one in json.loads(line)} for line in
             run.stdout.splitlines()]  # fmt: skip
    assert max(shown[0], key=shown[0].get) == "happy"
    rows = [[one[label] for label in LABELS] for one in shown[1:]]
    np.testing.assert_allclose(rows, expected, atol=0.01)
