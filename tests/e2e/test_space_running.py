"""A deployed Space starts as the Hub starts it: from what was uploaded, and not as root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import serving
from gradio_client import handle_file
from running import connected

from emotion_detective.publish import space

pytest_plugins = ["hub_server"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOBODY = 65534
# Python may lie where only root looks, so this user may read everything. It may write nothing that
# is not its own.
AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
)


@pytest.fixture
def checkout(hub_here, tiny_checkpoint, tmp_path) -> Path:
    """A folder with the files of a deployed Space, and nothing else."""
    hub_here.store.upload("user/tiny", tiny_checkpoint)
    space.deploy("user/faces", "user/tiny")
    folder = tmp_path / "checkout"
    for name in hub_here.store.repo("user/faces", "space").files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(hub_here.store.read("user/faces", name, "space"))
    return folder


def own_folder(path: Path) -> str:
    """Make an empty folder that belongs to the user without rights."""
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    return str(path)


@pytest.fixture
def as_nobody() -> list[str]:
    """The start of a command that runs as the user without rights."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root with setpriv can become another user")
    run = subprocess.run([*AS_NOBODY, sys.executable, "-c", ""], capture_output=True, text=True)
    if run.returncode != 0:  # a container may not have the right to pass rights on
        pytest.skip(f"Python cannot be run as another user here: {run.stderr.strip()}")
    return [*AS_NOBODY]


@pytest.mark.slow
def test_a_space_answers_from_a_checkout_that_it_cannot_write(
    hub_here, checkout, as_nobody, tmp_path
):
    environment = hub_here.store.repo("user/faces", "space").variables | {
        "PATH": os.environ["PATH"],
        "HOME": own_folder(tmp_path / "home"),
        "TMPDIR": own_folder(tmp_path / "temporary"),
        "HF_ENDPOINT": hub_here.url,
        "HF_HUB_DISABLE_XET": "1",
    }
    before = sorted(checkout.rglob("*"))
    command = [*as_nobody, sys.executable, "app.py"]
    with serving.start(command, checkout, environment, tmp_path / "log") as server:
        client = connected(server.url)
        answer = client.predict(handle_file(EXAMPLES / "one_face.jpg"), api_name="/predict")
    assert answer["model"] == {
        "id": "user/tiny",
        "revision": hub_here.store.repo("user/tiny").head,
    }
    assert len(answer["faces"]) == 1
    assert sorted(checkout.rglob("*")) == before
    assert {path.stat().st_uid for path in (tmp_path / "home").rglob("*")} == {NOBODY}
