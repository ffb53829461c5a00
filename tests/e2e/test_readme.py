"""The README keeps its word: every snippet runs as printed, every number is a measured one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard

from emotion_detective.model import LABELS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
EMBEDDED = ROOT / "models" / "emotion-detective-resnet50"
ADDRESS = "http://127.0.0.1:7860"


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, astronaut):
    """A user's folder: a photo, a face, and the models beside them."""
    astronaut.save(tmp_path / "photo.jpg")
    astronaut.crop((170, 60, 280, 190)).save(tmp_path / "face.jpg")
    (tmp_path / "models").symlink_to(ROOT / "models")
    return tmp_path


def python(code: str, folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_pipeline_snippet_rates_all_six_emotions(folder):
    shown = python(snippets("python")[0], folder)
    assert all(f"'{label}'" in shown for label in LABELS)


@pytest.mark.slow
def test_package_snippet_finds_the_face(folder):
    (line,) = python(snippets("python")[1], folder).splitlines()
    assert line.split()[0] in LABELS


def test_client_snippet_answers(server, folder):
    shown = python(snippets("python")[2].replace(ADDRESS, server), folder)
    assert "'faces': [{'box'" in shown


def test_curl_snippet_answers(server, folder):
    code = snippets("bash")[0].replace(ADDRESS, server)
    run = subprocess.run(["bash", "-c", code], cwd=folder, capture_output=True, text=True)
    data = next(line for line in run.stdout.splitlines() if line.startswith("data: "))
    (answer,) = json.loads(data.removeprefix("data: "))
    assert [set(face["probabilities"]) for face in answer["faces"]] == [set(LABELS)]


def test_results_are_those_of_the_embedded_checkpoint():
    test = json.loads((EMBEDDED / "metrics.json").read_text())["test"]
    block = README.split("<!-- results -->")[1].split("<!-- /results -->")[0]
    for metrics in (test, test["clean"]):
        row = f"| {metrics['n']:,} | {metrics['accuracy']:.1%} | {metrics['macro_f1']:.1%} |"
        assert row in block
    pictures = re.findall(r"\]\((models/\S+\.png)\)", block)
    assert pictures and all((ROOT / picture).is_file() for picture in pictures)


def test_front_matter_is_what_a_space_needs():
    card = SpaceCard.load(ROOT / "README.md").data.to_dict()
    assert card["sdk"] == "gradio"
    assert (ROOT / card["app_file"]).is_file()
    assert len(card["short_description"]) <= 60  # the Hub's limit


def test_tree_names_every_module():
    tree = README.split("emotion_detective/\n")[-1]
    modules = {path.name for path in (ROOT / "emotion_detective").glob("[a-z]*.py")}
    assert {name for name in modules if name not in tree} == set()
