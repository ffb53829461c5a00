"""Names of folders become splits and classes; nothing is left out in silence."""

import logging
from collections import Counter

import pytest

from emotion_detective import LABELS
from emotion_detective.data.layout import arrange
from emotion_detective.data.splits import assign_splits


def tree(splits: dict[str, int], classes=LABELS) -> list[str]:
    """Return the paths of so many pictures of each class in each split."""
    return [
        f"{split}/{label}/im{i}.png".lstrip("/")
        for split, count in splits.items()
        for label in classes
        for i in range(count)
    ]


def divide(paths: list[str]) -> dict[str, Counter]:
    """Return how many images of each class the splits have."""
    found = {"train": Counter(), "validation": Counter(), "test": Counter()}
    for entry in assign_splits("faces", arrange("faces", paths)):
        found[entry.split][entry.label] += 1
    return found


def sizes(paths: list[str]) -> list[int]:
    return [counts.total() for counts in divide(paths).values()]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", "PublicTest", "PrivateTest"),
        ("images/TRAIN", "images/val", "images/test set"),
        ("01-train_dir", "cross-validation", "03-testing"),
    ],
)
def test_other_names_of_the_splits_are_used_and_logged(train, validation, test, caplog):
    names = {train: 5, validation: 3, test: 2}
    with caplog.at_level(logging.INFO):
        assert sizes(tree(names)) == [30, 18, 12]
    for split, name in zip(("train", "validation", "test"), names, strict=True):
        assert f"{split} has {6 * names[name]} images, from {name.split('/')[-1]}." in caplog.text


def test_other_names_of_the_classes_are_the_same_classes():
    names = ("Angry People", "fear", "Happiness", "NEUTRAL_expression", "1_sadness", "suprise")
    assert divide(tree({"train": 5, "test": 2}, names)) == divide(tree({"train": 5, "test": 2}))


@pytest.mark.parametrize("top", ["", "archive/faces"])
def test_class_folders_alone_are_divided_the_same_way_each_time_and_logged(top, caplog):
    paths = tree({top: 20})
    assert divide(paths) == {
        "train": Counter(dict.fromkeys(LABELS, 16)),
        "validation": Counter(dict.fromkeys(LABELS, 2)),
        "test": Counter(dict.fromkeys(LABELS, 2)),
    }
    sentence = "has no validation and no test: a stratified 10% of train becomes validation and as "
    assert sentence in caplog.text
    once, again = (assign_splits("faces", arrange("faces", paths)) for _ in range(2))
    assert once == again


def test_folders_of_no_splits_name_are_one_whole_and_the_log_says_so(caplog):
    assert sum(sizes(tree({"first batch": 20, "second batch": 4}))) == 144
    sentence = ": the class folders in first batch, second batch are taken as one whole: none is"
    assert sentence in caplog.text


def test_a_folder_without_test_gets_one_and_keeps_its_validation():
    assert sizes(tree({"train": 20, "val": 3})) == [108, 18, 12]


def test_folders_inside_a_class_and_around_all_are_looked_into():
    paths = [f"a/b/{path.replace('/im', '/c/d/im')}" for path in tree({"train": 20, "test": 4})]
    assert sizes(paths) == [108, 12, 24]
    assert arrange("faces", paths)[0].file == "train/angry/c/d/im0.png"


def test_an_unknown_class_beside_the_others_is_named():
    with pytest.raises(ValueError, match=r"'bored'; the known .* angry, .* Rename or remove it\.$"):
        sizes([*tree({"train": 20}), "train/bored/im0.png"])


def test_what_is_left_out_is_counted_and_named(caplog):
    others = ["extra/happy/im0.png", "train/im0.png", "train/disgust/im0.png"]
    others += ["train/contempt/im0.png"]
    assert sizes([*tree({"train": 20, "test": 4}), *others]) == [110, 12, 24]
    folders = "2 pictures in folders of no split and class are left out (extra/happy, train)."
    assert folders in caplog.text
    assert "2 images of classes that are not used are left out (contempt, disgusted)" in caplog.text


def test_two_images_a_class_are_enough_to_divide_and_one_is_not():
    assert sizes(tree({"train": 2, "test": 1})) == [6, 6, 6]
    with pytest.raises(ValueError, match=r"validation: .* train 2 of each where validation"):
        sizes(tree({"train": 1, "test": 1}))


def test_public_and_private_files_in_one_folder_are_two_splits(caplog):
    paths = tree({"train": 20})
    for part in ("PublicTest", "PrivateTest"):
        paths += [path.replace("im", f"{part}_") for path in tree({"test": 2})]
    with caplog.at_level(logging.INFO):
        assert sizes(paths) == [120, 12, 12]
    assert "validation has 12 images, from test, files PublicTest." in caplog.text


@pytest.mark.parametrize(
    ("paths", "measured", "sentence"),
    [
        (tree({"test": 2}), 12, ""),
        (tree({"": 2}), 12, "faces has no splits: all of it is measured, trained on or not."),
        (tree({"test": 2}, LABELS[:4]), 8, "faces has no images of sad, surprised in test."),
        (tree({"train": 20, "validation": 2}), 12, "has no test: a stratified 10% of train"),
    ],
)
def test_what_is_measured_needs_no_other_split_and_not_every_class(
    paths, measured, sentence, caplog
):
    entries = assign_splits("faces", arrange("faces", paths), "test")
    assert sum(entry.split == "test" for entry in entries) == measured
    assert sentence in caplog.text


def test_a_split_without_images_cannot_be_measured():
    with pytest.raises(ValueError, match=r"no images of angry, .*, surprised for the split test"):
        assign_splits("faces", arrange("faces", tree({"validation": 2})), "test")


def test_a_train_with_few_images_of_a_class_is_said_to_be_so(caplog):
    few = tree({"train": 12, "test": 2}, LABELS[1:])
    assert sum(sizes([*tree({"train": 400, "test": 2}, LABELS[:1]), *few])) == 472
    assert "train has 360 images of angry and 11 of surprised. Accuracy will say" in caplog.text


def test_pictures_in_no_class_folders_are_refused():
    with pytest.raises(ValueError, match="holds no pictures in folders named for classes, such as"):
        sizes(["holiday/im0.png"])
