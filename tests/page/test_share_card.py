"""The share card: its size, what its bars show, and pictures of odd sizes."""

import pytest
from PIL import Image, ImageColor

from emotion_detective import LABELS
from emotion_detective.core.detective import EmotionDetective, Prediction
from emotion_detective.core.drawing import COLORS
from emotion_detective.page import share_card


@pytest.fixture(scope="module")
def classifier(tiny_checkpoint):
    return EmotionDetective.from_pretrained(tiny_checkpoint).classifier


def face(box, **shares: float) -> Prediction:
    probabilities = tuple(shares.get(label, 0.0) for label in LABELS)
    confidence = max(probabilities)
    label = LABELS[probabilities.index(confidence)]
    return Prediction(box, 0.99, label, confidence, confidence < 0.5, probabilities)


def painted(card: Image.Image, label: str) -> int:
    """How many pixels have the label's colour."""
    wanted = ImageColor.getrgb(COLORS[label])
    return sum(count for count, color in card.getcolors(2**24) if color == wanted)


def test_bars_are_as_long_as_the_emotions_are_likely(classifier):
    view = Image.new("RGB", (300, 200), "gray")
    card = share_card.draw(view, [face((20, 20, 90, 90), happy=0.6, sad=0.3)], 0, classifier)
    assert card.size == share_card.SIZE
    framed = 2 * painted(card, "sad")  # happy has the face's frame besides
    assert painted(card, "happy") > framed > 4000
    assert painted(card, "angry") == 0


def test_the_card_shows_the_face_that_was_asked_for(classifier):
    view = Image.new("RGB", (400, 200), "blue")
    view.paste("red", (300, 50, 400, 150))
    faces = [face((20, 20, 90, 90), happy=1.0), face((320, 70, 380, 130), sad=1.0)]
    middle = (share_card.MARGIN + share_card.PHOTO[0] // 2, share_card.SIZE[1] // 2)
    assert share_card.draw(view, faces, 0, classifier).getpixel(middle) == (0, 0, 255)
    assert share_card.draw(view, faces, 1, classifier).getpixel(middle) == (255, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (48, 48), (1600, 10), (10, 1600)])
@pytest.mark.parametrize("faces", [0, 1])
def test_a_picture_of_any_size_has_a_card(classifier, size, faces):
    found = [face((0.0, 0.0, *map(float, size)), neutral=0.4, sad=0.35)] * faces
    card = share_card.draw(Image.new("RGB", size), found, 0, classifier)
    assert card.size == share_card.SIZE
