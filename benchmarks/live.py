"""Speed of the Live tab: frames a second in a browser, and the stages of the server's time.

    python benchmarks/live.py

Chromium's fake camera shows the astronaut's face to the real page; a frame counts when its answer
has come. Browser and server share the machine's cores, as on a laptop. The stages are those of
`live_routes` on the same frame, in a process without the browser; "whole answer" adds seats and
JSON.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import crowds
import report
import serving
from PIL import Image
from playwright.sync_api import sync_playwright

from emotion_detective import LABELS
from emotion_detective.core import faces
from emotion_detective.core.detective import ServedDetective
from emotion_detective.evaluation.plots import table
from emotion_detective.files import read_picture
from emotion_detective.page import live_routes, seats
from emotion_detective.video.timeline import Timeline

# At 30 Chromium, which decodes the fake camera itself, is busy with little else on two cores.
CAMERA_SIZE, CAMERA_HZ = (640, 480), 15
ROUNDS = 30
MIN_FRAMES_PER_S = 12.0
MAX_SERVER_S = 0.05
COUNT_FRAMES = """
answers = 0;
const fetchAtOnce = window.fetch;
window.fetch = async (...request) => {
  const response = await fetchAtOnce(...request);
  answers += String(request[0]).endsWith("/live/frame");
  return response;
};
"""


def stages(model: Path | str, rounds: int) -> dict[str, float]:
    """Return the median seconds of each stage of one frame with one face."""
    detective = ServedDetective.from_pretrained(model)
    jpeg = _jpeg(crowds.crowd(CAMERA_SIZE, 1).resize((480, 360)))
    picture = read_picture(jpeg).picture
    found = detective.detector.detect(picture)
    room = seats.Seats(lambda: Timeline(LABELS))
    return report.medians(
        {
            "decode": lambda: read_picture(jpeg).picture,
            "detect": lambda: detective.detector.detect(picture),
            "classify": lambda: detective.classifier.probabilities(faces.crops(picture, found)),
            "whole answer": lambda: json.dumps(
                live_routes.answer(detective, room, "visitor", jpeg)
            ),
        },
        rounds,
    )


def frames_per_second(model: Path | str, seconds: float) -> float:
    """Return the frames that are answered a second, once browser and page are warm."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        film = Path(folder) / "camera.mjpeg"
        film.write_bytes(_jpeg(crowds.crowd(CAMERA_SIZE, 1)) * CAMERA_HZ)
        with serving.serve(model, Path(folder)) as server:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=[
                    "--no-sandbox",
                    "--disable-gpu",
                    f"--use-fake-device-for-media-stream=fps={CAMERA_HZ}",
                    "--use-fake-ui-for-media-stream",
                    f"--use-file-for-fake-video-capture={film}",
                ],
            )
            page = browser.new_page()
            page.add_init_script(COUNT_FRAMES)
            page.goto(server.url)
            page.get_by_role("tab", name="Live", exact=True).click()
            page.get_by_role("button", name="Start camera").click()
            page.locator(".live-boxes button").first.wait_for()
            page.wait_for_timeout(2000)
            before = page.evaluate("[answers, performance.now()]")
            page.wait_for_timeout(1000 * seconds)
            after = page.evaluate("[answers, performance.now()]")
            browser.close()
    return 1000 * (after[0] - before[0]) / (after[1] - before[1])


def _jpeg(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()


def markdown(result: dict) -> Iterator[str]:
    rate, answer_s = result["frames_per_second"], result["stages_s"]["whole answer"]
    yield from report.opening("Live", result)
    rows = [[name, f"{1000 * stage_s:.1f}"] for name, stage_s in result["stages_s"].items()]
    yield table(["stage", "ms"], rows)
    yield ""
    goal, server_goal = MIN_FRAMES_PER_S, f"server's part under {1000 * MAX_SERVER_S:.0f} ms"
    yield report.goals(
        [
            (f"{goal:.0f} frames a second", f"{rate:.1f}", rate >= goal),
            (server_goal, f"{1000 * answer_s:.1f} ms", answer_s < MAX_SERVER_S),
        ]
    )


def main() -> None:
    parser = report.parser(__file__, __doc__, "model")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    result = report.origin("scikit-image's astronaut, one face")
    result["frames_per_second"] = frames_per_second(options.model, options.seconds)
    result["stages_s"] = stages(options.model, ROUNDS)
    report.write(options.output, result, markdown(result))


if __name__ == "__main__":
    main()
