"""Pictures with a known number of faces that need no download: the astronaut's face on a townscape.

The face is scikit-image's portrait of Eileen Collins (NASA, public domain), the townscape a photo
without people that scikit-learn installs. The size of the faces does not depend on their number, so
that times grow with the number alone.
"""

from functools import cache

from PIL import Image
from skimage.data import astronaut
from sklearn.datasets import load_sample_image

# The astronaut's head in the portrait, and the height of MTCNN's box in it.
HEAD_BOX, HEAD_FACE_PX = (145, 15, 305, 215), 117
# Places for heads, across and down: room for 30, of 45 px a face in a picture of 640x480.
GRID = (6, 5)
# Share of a place's height that a head takes; the rest keeps neighbours apart.
HEAD_SHARE = 0.8
# The quality of a camera's files.
JPEG_QUALITY = 90


@cache  # every frame of a film needs the same heads
def head(face_px: float) -> Image.Image:
    """Return the astronaut's head at the size where its face is `face_px` high."""
    portrait = Image.fromarray(astronaut()).crop(HEAD_BOX)
    size = [round(side * face_px / HEAD_FACE_PX) for side in portrait.size]
    return portrait.resize(size, Image.Resampling.LANCZOS)


@cache
def townscape(size: tuple[int, int]) -> Image.Image:
    """Return a picture without faces; paste onto a copy."""
    return Image.fromarray(load_sample_image("china.jpg")).resize(size, Image.Resampling.BICUBIC)


def crowd(size: tuple[int, int], count: int, shift_px: int = 0) -> Image.Image:
    """Return a picture with `count` faces, at most 30, all moved to the right by `shift_px`."""
    across, down = GRID
    picture = townscape(size).copy()
    place = size[0] / across, size[1] / down
    pasted = head(place[1] * HEAD_SHARE * HEAD_FACE_PX / (HEAD_BOX[3] - HEAD_BOX[1]))
    for i in range(count):
        left = round((i % across + 0.5) * place[0] - pasted.width / 2) + shift_px
        top = round((i // across + 0.5) * place[1] - pasted.height / 2)
        picture.paste(pasted, (left, top))
    return picture
