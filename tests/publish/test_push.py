"""Push and pull over a Hub on loopback, with the genuine clients."""

import ast
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import datasets
import numpy as np
import pytest
import serving
import torch
from hub_server import NOWHERE
from measured import measured_checkpoint
from safetensors.torch import load
from small import ROOT, write_source

import train_hub
from emotion_detective import LABELS
from emotion_detective.core import checkpoint
from emotion_detective.publish import card, dataset_card
from emotion_detective.publish import push as pushing
from emotion_detective.publish.push import push

pytest_plugins = ["hub_server"]

REPO = "user/tiny"
# Alone on two cores a process takes 20 seconds; other work beside it must not fail the test.
TIMEOUT_S = 600


@pytest.fixture(scope="module")
def measured(tiny_checkpoint, tmp_path_factory) -> Path:
    return measured_checkpoint(tiny_checkpoint, tmp_path_factory.mktemp("hub") / "measured")


@pytest.fixture(scope="module")
def better(tiny_checkpoint, tmp_path_factory) -> Path:
    """A checkpoint that was more accurate on the same split."""
    folder = tmp_path_factory.mktemp("hub") / "better"
    return measured_checkpoint(tiny_checkpoint, folder, skill=2.0)


def commits(hub) -> int:
    return sum("/commit/" in request for request in hub.requests)


# Push


def test_push_uploads_everything_in_one_tagged_commit(hub_here, measured):
    assert push(measured, REPO) == f"{hub_here.url}/{REPO}"
    repo = hub_here.store.repo(REPO)
    assert commits(hub_here) == 1
    assert repo.tags == {"v1": repo.head}
    assert not repo.private
    plots = {"plots/confusion_matrix.png", "plots/per_class.png"}  # and no faces
    files = {".gitattributes", "README.md", "config.json", "metrics.json", "model.safetensors"}
    assert set(repo.files) == files | plots
    assert f'model="{REPO}"' in hub_here.store.read(REPO, "README.md").decode()


def test_half_precision_weights_are_pushed_as_float32(hub_here, measured, tmp_path):
    folder = Path(shutil.copytree(measured, tmp_path / "half"))
    checkpoint.convert_weights(measured, folder / checkpoint.WEIGHTS_FILE, torch.float16)
    push(folder, REPO)
    tensors = load(hub_here.store.read(REPO, checkpoint.WEIGHTS_FILE)).values()
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float32}


def test_only_what_changed_makes_a_commit_and_the_next_version(hub_here, measured, better):
    push(measured, REPO)
    push(measured, REPO)
    repo = hub_here.store.repo(REPO)
    assert commits(hub_here) == 1
    first = repo.head
    push(better, REPO)
    assert repo.tags == {"v1": first, "v2": repo.head}


def test_a_better_model_on_the_hub_stays_unless_forced(hub_here, measured, better):
    push(better, REPO)
    before = hub_here.store.repo(REPO).head
    with pytest.raises(ValueError, match=r"holds a better model: 0\.\d+ of validation.*--force"):
        push(measured, REPO)
    assert hub_here.store.repo(REPO).head == before
    push(measured, REPO, force=True)
    assert hub_here.store.repo(REPO).head != before


def test_a_plot_that_is_gone_is_gone_from_the_hub(hub_here, measured, tmp_path):
    folder = Path(shutil.copytree(measured, tmp_path / "changed"))
    push(folder, REPO)
    (folder / "plots" / "per_class.png").unlink()
    push(folder, REPO)
    assert "plots/per_class.png" not in hub_here.store.repo(REPO).files


def test_a_private_push_is_private_and_never_lands_in_a_public_repository(hub_here, measured):
    push(measured, "user/secret", private=True)
    assert hub_here.store.repo("user/secret").private
    push(measured, REPO)
    with pytest.raises(ValueError, match="public already"):
        push(measured, REPO, private=True)


# Push, when something fails


def not_pushed(folder: Path, repo_id: str, *parts: str) -> None:
    with pytest.raises(ValueError) as error:
        push(folder, repo_id)
    message = str(error.value)
    assert "\n" not in message
    for part in (repo_id, "can be repeated", *parts):
        assert part in message


@pytest.mark.parametrize("how", [500, "cut"])
def test_a_push_that_breaks_off_leaves_the_repository_as_it_was(hub_here, measured, better, how):
    push(measured, REPO)
    repo = hub_here.store.repo(REPO)
    before = repo.head
    hub_here.fail("POST .*/commit/", how)
    not_pushed(better, REPO)
    assert (repo.head, repo.tags) == (before, {"v1": before})
    hub_here.fail("POST .*/tag/", how)
    not_pushed(better, REPO)
    assert repo.head != before
    push(better, REPO)
    assert commits(hub_here) == 3
    assert repo.tags == {"v1": before, "v2": repo.head}


def test_two_pushes_at_once_do_not_mix(hub_here, measured, better, monkeypatch):
    push(measured, REPO)
    upload = pushing.HfApi.upload_folder

    def interrupted(*arguments, **options):
        repo = hub_here.store.repo(REPO)
        repo.add_commit({**repo.files, "other.txt": hub_here.store.add(b"from somebody else")})
        return upload(*arguments, **options)

    monkeypatch.setattr(pushing.HfApi, "upload_folder", interrupted)
    not_pushed(better, REPO, "at the same time")
    assert "other.txt" in hub_here.store.repo(REPO).files


@pytest.mark.parametrize(
    ("request_line", "status", "part"),
    [("whoami", 401, "does not know this token"), ("repos/create", 403, "may not write")],
)
def test_a_token_that_may_not_write_is_refused(hub_here, measured, request_line, status, part):
    hub_here.fail(request_line, status)
    not_pushed(measured, REPO, part, "hf auth login")
    assert hub_here.store.repos == {}


def test_without_a_token_or_without_the_hub_push_says_so(hub_here, measured, monkeypatch, unplug):
    monkeypatch.setenv("HF_TOKEN", "")
    not_pushed(measured, REPO, "no token", "hf auth login")
    monkeypatch.setenv("HF_TOKEN", "hf_token")
    unplug()
    not_pushed(measured, REPO, "cannot be reached", "Check the network")
    assert hub_here.requests == []


@pytest.mark.parametrize("repo_id", ["tiny", "a/b/c", "user/a b"])
def test_push_needs_user_and_name(measured, repo_id):
    with pytest.raises(ValueError, match="must be USER/NAME"):
        push(measured, repo_id)


def test_what_was_not_measured_is_not_pushed(tiny_checkpoint):
    with pytest.raises(ValueError, match=r"has no metrics\.json"):
        push(tiny_checkpoint, REPO)


# End to end, in processes of their own


def run(arguments: list[str], env: dict[str, str], folder: Path) -> str:
    """Run Python in `folder` with our modules at hand and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def snippets(store) -> list[str]:
    """Return the Python snippets of the card on the Hub."""
    return re.findall(r"```python\n(.*?)```", store.read(REPO, "README.md").decode(), re.DOTALL)


PULL = f"""
import json, sys
import timm
from PIL import Image
from transformers import pipeline
from emotion_detective.core.loading import load_classifier
from emotion_detective import LABELS

picture = Image.open("examples/face.png")
ours = load_classifier("{REPO}@v1")
said = pipeline("image-classification", model="{REPO}", revision="v1")(picture, top_k=6)
network = timm.create_model("hf-hub:{REPO}@v1", pretrained=True).eval()
print(ours.revision)
print(ours.probabilities([picture])[0].tolist())
print(said)
print(dict(zip(LABELS, network(ours.preprocess([picture])).softmax(1)[0].tolist())))
for snippet in json.loads(sys.argv[1]):
    exec(snippet, {{}})
"""


@pytest.mark.slow
def test_what_the_command_line_pushes_every_client_pulls(hub, measured, tmp_path):
    env = hub.env(tmp_path / "home")
    push = [str(ROOT / "train_hub.py"), "push", "--model", str(measured), "--repo-id", REPO]
    assert run([*push, "--onnx"], env, tmp_path).split()[-1] == f"{hub.url}/{REPO}"
    assert "javascript/onnx/model.onnx" in hub.store.repo(REPO).files
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    by_pipeline, by_timm, _ = snippets(hub.store)
    arguments = ["-c", PULL, json.dumps([by_pipeline, by_timm])]
    lines = run(arguments, hub.env(tmp_path / "other home", token=""), tmp_path).splitlines()
    revision, ours, *answers = lines
    assert revision == hub.store.repo(REPO).tags["v1"]
    assert len(answers) == 4  # pipeline and timm, then the card's snippets for both
    for answer in map(ast.literal_eval, answers):
        if isinstance(answer, list):  # pipeline's
            answer = {each["label"]: each["score"] for each in answer}
        row = [answer[label] for label in LABELS]
        np.testing.assert_allclose(row, ast.literal_eval(ours), atol=1e-5)


APP = [sys.executable, str(ROOT / "app.py")]


@pytest.mark.slow
def test_the_app_serves_the_model_named_in_its_environment(hub, measured, tmp_path):
    card.write_card(measured, REPO)
    repo = hub.store.upload(REPO, measured)
    repo.tags["v1"] = repo.head
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    env = hub.env(tmp_path / "home", token="") | {"EMOTION_MODEL": f"{REPO}@v1"}
    by_client = snippets(hub.store)[2]
    with serving.start(APP, tmp_path, env, tmp_path / "app.log") as server:
        assert "http://127.0.0.1:7860" in by_client
        snippet = by_client.replace("http://127.0.0.1:7860", server.url) + "print(answer)"
        shown, answer = run(["-c", snippet], env, tmp_path).splitlines()[-2:]
    answer = ast.literal_eval(answer)
    assert answer["model"] == {"id": REPO, "revision": repo.head}
    assert len(ast.literal_eval(shown)) == len(answer["faces"]) == 1
    assert set(answer["faces"][0]["probabilities"]) == set(LABELS)


@pytest.mark.slow
def test_the_app_falls_back_to_its_own_model_and_says_so(hub, tmp_path):
    env = hub.env(tmp_path / "home") | {"EMOTION_MODEL": "user/missing@v1"}
    env["HF_ENDPOINT"] = NOWHERE
    with serving.start(APP, tmp_path, env, tmp_path / "app.log") as server:
        page = urllib.request.urlopen(f"{server.url}/config", timeout=10).read().decode()
    assert "runs on its embedded model instead of user/missing@v1" in page


# Datasets


COMPARE = """
import sys
from emotion_detective import LABELS, data
source, published = map(data.load, sys.argv[1:])
for split in data.SPLITS:
    for column in ("label", "file", "clean"):
        assert source[split][column] == published[split][column]
    assert source[split].features == published[split].features
assert published["train"].features["label"].names == list(LABELS)
"""


@pytest.mark.slow
def test_prepare_publishes_a_dataset_that_loads_with_the_same_splits(hub, tmp_path):
    hub.store.upload("user/faces", write_source(tmp_path / "faces", train=10, test=2), "dataset")
    env = hub.env(tmp_path / "home")
    prepare = [str(ROOT / "train_hub.py"), "prepare", "--data", "user/faces"]
    assert f"{hub.url}/datasets/user/six" in run([*prepare, "--push-to", "user/six"], env, tmp_path)
    run(["-c", COMPARE, "user/faces", "user/six"], env, tmp_path)
    assert any(name.endswith(".parquet") for name in hub.store.repo("user/six", "dataset").files)
    readme = hub.store.read("user/six", "README.md", "dataset").decode()
    assert "| train | 9 | 9 | 9 | 9 | 9 | 9 | 54 | 54 |" in readme
    assert "dataset_info:" in readme


def test_a_private_dataset_never_lands_in_a_public_repository(hub_here, tmp_path):
    repo = hub_here.store.upload("user/six", write_source(tmp_path / "faces", 2, 1), "dataset")
    before = repo.head
    with pytest.raises(ValueError, match="user/six is public already"):
        dataset_card.publish(datasets.DatasetDict(), "faces", "user/six", private=True)
    assert repo.head == before


def test_a_dataset_that_is_not_there_is_named(hub_here, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub_here.url)
    arguments = ["train", "--data", "user/none", "--output", str(tmp_path / "run")]
    assert train_hub.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "No dataset user/none could be loaded from the Hub" in line
    assert any("/user/none" in request for request in hub_here.requests)
