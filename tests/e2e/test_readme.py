"""README and docs keep their word: every snippet runs as printed, every number is measured."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import handle_file
from huggingface_hub import SpaceCard

import train_hub
from emotion_detective import LABELS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
EMBEDDED = ROOT / "models" / "emotion-detective-resnet50"
ADDRESS = "http://127.0.0.1:7860"
# What npm says where it finds no registry.
NO_NETWORK = r"code (ENOTFOUND|EAI_AGAIN|EAI_FAIL|ECONN\w+|E\w*TIMEDOUT|\w*TIMEOUT|E5\d\d|E429)"


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path):
    """A user's copy of the repository, and a photo."""
    for name in ("models", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "examples" / "one_face.jpg", tmp_path / "photo.jpg")
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


@pytest.fixture(scope="session")
def javascript_client(tmp_path_factory) -> Path:
    """A folder in which node finds the client of the README, in the version it names."""
    if missing := [tool for tool in ("node", "npm") if shutil.which(tool) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed")
    folder = tmp_path_factory.mktemp("javascript")
    (package,) = re.findall(r"`npm install (\S+)`", TEXT)
    command = ["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", package]
    run = subprocess.run([*command, "--prefix", "."], cwd=folder, capture_output=True, text=True)
    if re.search(NO_NETWORK, run.stderr):
        pytest.skip("the registry of npm cannot be reached")
    assert run.returncode == 0, run.stderr
    return folder


def javascript(code: str, folder: Path) -> str:
    (folder / "snippet.mjs").write_text(code)
    run = subprocess.run(
        ["node", "snippet.mjs"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def photo(folder, javascript_client) -> Path:
    """The photo, where a script of the JavaScript client finds it."""
    return Path(shutil.copy(folder / "photo.jpg", javascript_client))


def test_javascript_snippet_prints_what_python_gets(server, client, photo):
    printed = javascript(snippets("js")[0].replace(ADDRESS, server), photo.parent)
    answer = client.predict(handle_file(photo), api_name="/predict")
    assert json.loads(printed) == answer["faces"]


def test_javascript_gets_the_rows_that_python_gets(server, client, photo):
    code = f"""
        import {{ Client, handle_file }} from "@gradio/client";
        const client = await Client.connect("{server}");
        const file = handle_file("photo.jpg");
        const {{ data }} = await client.predict("/analyze_batch", [[file, file]]);
        console.log(JSON.stringify(data[0]));
        process.exit();
    """
    rows, _ = client.predict([handle_file(photo)] * 2, api_name="/analyze_batch")
    assert json.loads(javascript(code, photo.parent)) == rows


def test_curl_snippet_answers(server, folder):
    code = snippets("bash")[0].replace(ADDRESS, server)
    run = subprocess.run(["bash", "-c", code], cwd=folder, capture_output=True, text=True)
    data = [line for line in run.stdout.splitlines() if line.startswith("data: ")][-1]
    (answer,) = json.loads(data.removeprefix("data: "))
    assert [set(face["probabilities"]) for face in answer["faces"]] == [set(LABELS)]


def test_results_are_those_of_the_embedded_checkpoint():
    test = json.loads((EMBEDDED / "metrics.json").read_text())["test"]
    block = README.split("<!-- results -->")[1].split("<!-- /results -->")[0]
    people = test["votes"]["majority"]
    assert f"agree with it in {people['accuracy']:.1%}" in README
    assert f"FER2013's labels in\n{test['votes']['label_agreement']:.1%}" in README
    for metrics in (test, test["clean"], people):
        row = f"| {metrics['n']:,} | {metrics['accuracy']:.1%} | {metrics['macro_f1']:.1%} |"
        row += f" {metrics['ece']:.1%} |"
        assert row in block
    pictures = re.findall(r"\]\((models/\S+\.png)\)", block)
    assert pictures and all((ROOT / picture).is_file() for picture in pictures)


def test_the_best_peer_is_quoted_as_measured():
    peers = json.loads((ROOT / "benchmarks" / "peers.json").read_text())["peers"]
    results = [peer["results"] for peer in peers.values()]
    of_all, clean = (max(r[part]["accuracy"] for r in results) for part in ("all", "clean"))
    assert f"the best has {of_all:.1%} and {clean:.1%}" in README


def test_front_matter_is_what_a_space_needs():
    card = SpaceCard.load(ROOT / "README.md").data.to_dict()
    assert card["sdk"] == "gradio"
    assert (ROOT / card["app_file"]).is_file()
    assert len(card["short_description"]) <= 60  # the Hub's limit


def test_commands_are_ones_that_exist():
    text = TEXT.replace("\\\n", " ")
    commands = re.findall(r"^(?:python|torchrun) .*?train_hub\.py (.+)$", text, re.MULTILINE)
    assert {command.split()[0] for command in commands} >= {"train", "push", "analyze"}
    for command in commands:
        train_hub._parser().parse_args(shlex.split(command))


def test_tree_names_every_module():
    tree = (ROOT / "docs" / "architecture.md").read_text().split("\nemotion_detective/ ")[-1]
    modules = {path.name for path in (ROOT / "emotion_detective").glob("*/[a-z]*.py")}
    assert {name for name in modules if name not in tree} == set()


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
