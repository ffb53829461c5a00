"""The pictures beside this file -> `film.mp4` for the Video tab, `pictures.zip` for the Batch tab.

    python examples/film.py

The largest face of each of `SCENES` stands in the middle while the camera comes a little nearer;
one scene fades into the next, so that it is one face to the tracker.
"""

import sys
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from emotion_detective.inference.faces import FaceDetector
from emotion_detective.inference.pictures import open_picture

SCENES = ("one_face.jpg", "blurred.jpg", "one_face.jpg")
SIZE, RATE_HZ = (640, 360), 12
SCENE_S, FADE_S = 2.5, 0.5
# The face's share of the frame's height, at a scene's beginning and end.
FACE_SHARES = (0.42, 0.52)


def scene(path: Path, detector: FaceDetector) -> Iterator[Image.Image]:
    """Yield a scene's frames: the largest face, ever nearer; beside the picture all is dark."""
    picture = open_picture(path).convert("RGB")
    left, top, right, bottom = detector.detect(picture)[0].box_xyxy
    frames = round((SCENE_S + FADE_S) * RATE_HZ)
    for share in np.linspace(*FACE_SHARES, frames):
        height = (bottom - top) / share
        width = height * SIZE[0] / SIZE[1]
        x, y = (left + right - width) / 2, (top + bottom - height) / 2
        window = tuple(round(side) for side in (x, y, x + width, y + height))
        yield picture.crop(window).resize(SIZE, Image.Resampling.BICUBIC)


def frames() -> Iterator[Image.Image]:
    """Yield the film's frames."""
    detector, fade = FaceDetector(), round(FADE_S * RATE_HZ)
    fading: list[Image.Image] = []
    for name in SCENES:
        shots = list(scene(FOLDER / name, detector))
        for i, shot in enumerate(shots[:-fade]):
            yield Image.blend(fading[i], shot, (i + 1) / (fade + 1)) if i < len(fading) else shot
        fading = shots[-fade:]
    yield from fading


def write_film(path: Path) -> None:
    """Write the frames as an mp4 that every browser plays."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream("libx264", RATE_HZ, options={"crf": "27", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for i, picture in enumerate(frames()):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = i, Fraction(1, RATE_HZ)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def write_zip(path: Path) -> None:
    """Pack the example pictures, stored as they are: JPEG files grow no smaller."""
    with zipfile.ZipFile(path, "w") as archive:
        for picture in sorted(FOLDER.glob("*.jpg")):
            archive.writestr(zipfile.ZipInfo(picture.name), picture.read_bytes())


if __name__ == "__main__":
    write_film(FOLDER / "film.mp4")
    write_zip(FOLDER / "pictures.zip")
