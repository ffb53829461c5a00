"""The pictures that a checkpoint gets most wrong, with their captions."""

from unittest import mock

import numpy as np
from PIL import Image
from small import one_hot_like

from emotion_detective.evaluation import galleries, votes


def test_top_losses_show_the_worst_images_first(tmp_path, small_split, monkeypatch):
    labels = np.array(small_split["label"])
    probabilities = one_hot_like(labels.tolist(), [0.9] * 12)
    probabilities[7] = one_hot_like([4], [0.8])[0]  # labelled fearful
    probabilities[3] = one_hot_like([0], [0.6])[0]  # labelled neutral
    draw = mock.Mock()
    monkeypatch.setattr(galleries, "draw", draw)
    galleries.draw_top_losses(small_split, probabilities, labels, tmp_path / "top_losses.png")
    assert draw.call_args.args[1][:2] == [
        "test/fearful/im7.png\nlabelled fearful 4.0%\npredicted sad 80%",
        "test/neutral/im3.png\nlabelled neutral 8.0%\npredicted angry 60%",
    ]


def test_images_that_contradict_their_label_become_a_gallery(tmp_path, small_split):
    files = small_split["file"]
    read = votes.Votes(np.tile([0, 0, 10, 0, 0, 0], (12, 1)), np.zeros((12, 4), int))
    labels = np.array(small_split["label"])
    found = votes.vote_metrics(one_hot_like([2] * 12, [0.9] * 12), labels, read, files, 0.5)
    assert len(found["disagreements"]) == 10  # all but the two labelled happy
    path = galleries.draw_disagreements(small_split, found, tmp_path / "votes.png")
    with Image.open(path) as picture:
        assert picture.width == 1200
