"""WCAG 2.2 AA as axe-core sees it: every tab, before and after an answer, light and dark."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from running import TIMEOUT_MS
from test_readme import NO_NETWORK
from test_tabs import open_tab

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CHECK = """
async () => {
  const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations, passes } = await axe.run(document, { runOnly, preload: false });
  const shorten = ({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 120))];
  return [violations.map(shorten), passes.length];
}
"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """The script of axe-core, from npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--prefix", "."]
    run = subprocess.run([*command, "axe-core@4"], cwd=folder, capture_output=True, text=True)
    if re.search(NO_NETWORK, run.stderr):
        pytest.skip("the registry of npm cannot be reached")
    assert run.returncode == 0, run.stderr
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def check(page, axe: str, state: str) -> None:
    page.mouse.move(0, 0)
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(axe)
    page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")
    violations, passed = page.evaluate(CHECK)
    assert violations == [], state
    assert passed > 10, state


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_no_tab_violates_what_can_be_checked(page, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    page.reload()
    page.get_by_role("button", name="one face", exact=True).wait_for()
    for name in ("Photo", "Live", "Video", "Batch", "About"):
        open_tab(page, name)
        check(page, axe, name)
    for name in ("five_faces.jpg", "no_face.jpg"):
        page.set_input_files("#photo-intake input[type=file]", EXAMPLES / name)
        expect(page.locator("#summary")).to_contain_text("found" if "no" in name else "5 faces: ")
        check(page, axe, name)
    page.set_input_files("#batch-intake input[type=file]", EXAMPLES / "one_face.jpg")
    expect(page.locator(".batch .cards article")).to_be_visible()
    check(page, axe, "Batch with an answer")
    page.set_input_files("#video-intake input[type=file]", EXAMPLES / "film.mp4")
    expect(page.locator(".film .faces label").first).to_be_visible()
    check(page, axe, "Video with an answer")
    page.evaluate("ed.open([new File(['text'], 'notes.txt', { type: 'text/plain' })])")
    check(page, axe, "an error")
