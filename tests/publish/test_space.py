"""A Space deployed to a Hub on loopback: what goes up, its settings, and what is refused."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard

from emotion_detective.publish import space

pytest_plugins = ["hub_server"]

SPACE = "user/faces"


@pytest.fixture(scope="module")
def light_root(tmp_path_factory) -> Path:
    """What a Space is made from, without the 46 MB of the embedded checkpoint's weights."""
    root = tmp_path_factory.mktemp("root")
    for name in space.FILES:
        shutil.copy(space.HOME / name, root)
    for name in space.FOLDERS:
        ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
        shutil.copytree(space.HOME / name, root / name, ignore=ignored)
    return root


@pytest.fixture
def model(hub_here, tiny_checkpoint, light_root, monkeypatch):
    """The Hub with a model user/tiny, tagged v1, and a Space that is quickly made."""
    monkeypatch.setattr(space, "HOME", light_root)
    repo = hub_here.store.upload("user/tiny", tiny_checkpoint)
    repo.tags["v1"] = repo.head
    return repo


def test_a_space_holds_the_app_and_knows_its_model(hub_here, model, tmp_path):
    assert space.deploy(SPACE, "user/tiny@v1") == f"{hub_here.url}/spaces/{SPACE}"
    repo = hub_here.store.repo(SPACE, "space")
    assert repo.variables == {"EMOTION_MODEL": "user/tiny@v1"}
    assert {"app.py", "requirements.txt", "emotion_detective/core/classifier.py"} < set(repo.files)
    unwanted = ("tests/", "benchmarks/", "train_hub.py", ".git/", ".ci/")
    assert [path for path in repo.files if path.startswith(unwanted) or "__pycache__" in path] == []
    readme = tmp_path / "README.md"
    readme.write_bytes(hub_here.store.read(SPACE, "README.md", "space"))
    front_matter = SpaceCard.load(readme).data
    assert (front_matter.sdk, front_matter.app_file) == ("gradio", "app.py")
    assert front_matter.models == ["user/tiny"]
    files = "config.json,model.safetensors,metrics.json"
    assert front_matter.preload_from_hub == [f"user/tiny {files} {model.head}"]


def test_deploying_again_commits_only_what_changed(hub_here, model):
    space.deploy(SPACE, "user/tiny")
    repo = hub_here.store.repo(SPACE, "space")
    before = repo.head
    space.deploy(SPACE, "user/tiny")
    assert repo.head == before
    repo.add_commit({**repo.files, "old.py": hub_here.store.add(b"")})
    space.deploy(SPACE, "user/tiny")
    assert "old.py" not in repo.files


@pytest.mark.parametrize(
    ("repo_id", "model_id", "part"),
    [
        (SPACE, "user/none", "no model user/none"),
        (SPACE, "user/tiny@v9", "no revision 'v9'"),
        ("faces", "user/tiny", "'faces' is no repository id"),
    ],
)
def test_what_cannot_be_deployed_is_said_before_anything_is_made(
    hub_here, model, repo_id, model_id, part
):
    with pytest.raises(ValueError, match=part):
        space.deploy(repo_id, model_id)
    assert list(hub_here.store.repos) == [("model", "user/tiny")]


def test_a_private_space_never_lands_in_a_public_one(hub_here, model):
    space.deploy(SPACE, "user/tiny")
    with pytest.raises(ValueError, match="user/faces is public already"):
        space.deploy(SPACE, "user/tiny@v1", private=True)
    assert hub_here.store.repo(SPACE, "space").variables == {"EMOTION_MODEL": "user/tiny"}
