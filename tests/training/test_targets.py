"""Targets: label, votes and teacher have their shares, and a run that goes on has the same."""

import logging

import torch
from PIL import ImageOps
from small import SMALL_RUN, write_votes

from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation import votes
from emotion_detective.training import targets
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run import prepare

SMALL = SMALL_RUN | dict(epochs=1, image_sizes=(64,), size_spread=0.0, teacher_share=0.5)


def test_votes_move_the_targets_of_the_images_that_have_some(parts, tmp_path):
    labels = torch.tensor(parts["train"]["label"])
    rows = [
        f"{file},{','.join('6' if i == 0 else '2' if i == label else '0' for i in range(10))}"
        for file, label in zip(parts["train"]["file"], labels.tolist(), strict=True)
        if label not in (0, 5)
    ]
    path = tmp_path / "votes.csv"
    path.write_text("\n".join([f"path,{','.join(votes.COUNTED)}", *rows]))
    config = TrainConfig(**SMALL, votes=str(path), vote_share=0.4)
    made = targets.make_targets(config, parts["train"], None)
    own = made[torch.arange(len(labels)), labels]
    assert (own[(labels == 5) | (labels == 0)] == 1).all()
    voted = (labels != 5) & (labels != 0)
    torch.testing.assert_close(own[voted], torch.full((int(voted.sum()),), 0.6 + 0.4 * 0.25))
    torch.testing.assert_close(made[voted, 0], torch.full((int(voted.sum()),), 0.4 * 0.75))


def test_a_teacher_s_predictions_are_a_fraction_of_each_target(parts, tiny_checkpoint):
    run = prepare(TrainConfig(**SMALL, teacher=str(tiny_checkpoint)), parts)
    pictures, classifier = parts["train"]["image"], load_classifier(tiny_checkpoint)
    plain, mirrored = (
        torch.tensor(classifier.probabilities(faces))
        for faces in (pictures, [ImageOps.mirror(picture) for picture in pictures])
    )
    labels = torch.nn.functional.one_hot(run.labels["train"], 6)
    expected = ((plain + mirrored) / 2 + labels) / 2
    torch.testing.assert_close(run.targets["train"], expected, atol=1e-5, rtol=0)
    assert not torch.allclose(plain, mirrored, atol=0.01)


def test_what_voters_call_no_face_is_left_out_and_the_log_says_so(parts, tmp_path, caplog):
    path = write_votes(tmp_path / "votes.csv", parts["train"])
    lines = path.read_text().splitlines()
    name = lines[3].partition(",")[0]
    lines[3] = f"{name},{','.join('0' for _ in votes.COUNTED[:-2])},4,6"
    path.write_text("\n".join(lines) + "\n")
    with caplog.at_level(logging.INFO):
        left = targets.leave_out_no_face(TrainConfig(votes=str(path)), parts["train"])
    assert len(left) == len(parts["train"]) - 1
    assert name not in left["file"]
    assert "left out 1 training images: most voters see no face" in caplog.text
