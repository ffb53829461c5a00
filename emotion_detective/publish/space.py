"""The app as a Space on the Hub: only what it needs, in one commit, serving a model of the Hub.

The folder that holds `app.py` is the Space. The README.md of a Space is its front page and its
settings: the uploaded copy names the model and has it fetched when the Space is built.
"""

import shutil
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, SpaceCard
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

import emotion_detective
from emotion_detective import HOME
from emotion_detective.core.checkpoint import CONFIG_FILE, METRICS_FILE, WEIGHTS_FILE
from emotion_detective.core.hub import check_hub_id
from emotion_detective.core.loading import MODEL_VARIABLE
from emotion_detective.publish.push import explain_refusals, make_repo

# What a Space runs and shows; tests and benchmarks are not uploaded.
FILES = ("README.md", "app.py", "model_card.md", "requirements.txt")
FOLDERS = ("examples", "models")


def deploy(repo_id: str, model: str, private: bool = False) -> str:
    """Publish the app as the Space `repo_id`, serving `model` (user/name[@revision]).

    Return the address of the Space. Where nothing changed there is no commit.
    """
    for name in (repo_id, model.partition("@")[0]):
        check_hub_id(name)
    with tempfile.TemporaryDirectory() as staging, explain_refusals(repo_id):
        api = HfApi()
        commit = _find_commit(api, model)
        _stage(Path(staging), model.partition("@")[0], commit)
        url = make_repo(api, repo_id, private, repo_type="space", space_sdk="gradio")
        # Before the files, so that the first start knows it.
        api.add_space_variable(repo_id, MODEL_VARIABLE, model)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="space",
            folder_path=staging,
            delete_patterns="*",  # what an older version had and this one has not
            commit_message=f"Serve {model}",
        )
    return url


def _find_commit(api: HfApi, model: str) -> str:
    repo_id, _, revision = model.partition("@")
    try:
        return api.model_info(repo_id, revision=revision or None).sha
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"There is no model {repo_id} on the Hub that this token may read. Push it first."
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(f"The model {repo_id} has no revision {revision!r}.") from error


def _stage(staging: Path, repo_id: str, commit: str) -> None:
    """Copy what goes up into `staging`, with the model in the front matter of README.md."""
    for name in FILES:
        shutil.copy(HOME / name, staging)
    package = Path(emotion_detective.__file__).resolve().parent
    for folder in (package, *(HOME / name for name in FOLDERS)):
        ignored = shutil.ignore_patterns("__pycache__", HOME.name)  # inside an installed package
        shutil.copytree(folder, staging / folder.name, ignore=ignored)
    card = SpaceCard.load(staging / "README.md")
    card.data.models = [repo_id]
    files = ",".join((CONFIG_FILE, WEIGHTS_FILE, METRICS_FILE))
    card.data.preload_from_hub = [f"{repo_id} {files} {commit}"]
    card.save(staging / "README.md")
