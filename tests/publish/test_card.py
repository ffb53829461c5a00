"""The model card: what it says was measured, what it may not claim, what it refuses to invent."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from measured import TRAINING, measure, measured_checkpoint
from small import EMBEDDED

from emotion_detective import LABELS
from emotion_detective.core import checkpoint
from emotion_detective.publish import card


@pytest.fixture(scope="module")
def measured(tiny_checkpoint, tmp_path_factory) -> Path:
    return measured_checkpoint(tiny_checkpoint, tmp_path_factory.mktemp("card") / "measured")


@pytest.fixture
def folder(measured, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(measured, tmp_path / "measured"))


@contextmanager
def edited_metrics(folder: Path) -> Iterator[dict]:
    """Yield metrics.json to be changed, and write it back."""
    metrics = checkpoint.read_metrics(folder)
    yield metrics
    (folder / checkpoint.METRICS_FILE).write_text(json.dumps(metrics))


def change(folder: Path, **training) -> None:
    """Change fields of the training record."""
    with edited_metrics(folder) as metrics:
        metrics["training"] |= training


def section(folder: Path, title: str) -> str:
    """Return a section of the folder's card, written anew."""
    text = card.write_card(folder).read_text()
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_tables_hold_the_measured_values_with_intervals(measured):
    text = card.write_card(measured).read_text()
    test = checkpoint.read_metrics(measured)["test"]
    low, high = (100 * limit for limit in test["accuracy_interval"])
    row = f"| FER2013 PrivateTest | 3534 | {test['accuracy']:.1%} [{low:.1f}, {high:.1f}] |"
    assert row in section(measured, "Results")
    assert f"| FER2013 PrivateTest, clean | {test['clean']['n']} |" in text
    for label in LABELS:
        scores = test["per_class"][label]
        row = f"| {label} | {scores['support']} | {scores['precision']:.1%} |"
        assert f"{row} {scores['recall']:.1%} |" in text
    worst = test["most_confused"][0]
    assert f"{worst['true']} taken for {worst['predicted']} ({worst['share']:.1%}" in text


def test_model_index_holds_the_measured_values_of_all_and_clean_images(measured):
    data = ModelCard.load(card.write_card(measured, "user/tiny")).data
    assert data.model_name == "tiny"
    metrics = checkpoint.read_metrics(measured)
    expected = {
        (split, config, kind): pytest.approx(part[field], abs=5e-5)
        for split in ("test", "validation")
        for config, part in (("all", metrics[split]), ("clean", metrics[split]["clean"]))
        for kind, field in (("accuracy", "accuracy"), ("f1", "macro_f1"), ("ece", "ece"))
    }
    assert expected == {
        (result.dataset_split, result.dataset_config, result.metric_type): result.metric_value
        for result in data.eval_results
    }


def test_a_card_says_how_often_people_agree_and_by_whose_word(folder):
    with edited_metrics(folder) as metrics:
        people = measure(300, 2.0, seed=5)
        metrics["calibration"]["against"] = "votes"
        voters = {"majority": people, "label_agreement": 0.66, "distribution": {"ece": 0.0123}}
        metrics["test"]["votes"] = voters
    text = card.write_card(folder).read_text()
    low, high = (100 * limit for limit in people["accuracy_interval"])
    agreement = f"{people['accuracy']:.1%} [{low:.1f}, {high:.1f}]"
    assert f"names that one for {agreement}" in text.replace("\n", " ")
    assert "the data set's own labels do for 66.0%" in text
    assert "say the same by 1.2% (ECE)" in text
    row = f"| FER2013 PrivateTest, by the majority of ten voters | 300 | {agreement} |"
    assert row in section(folder, "Results")
    assert f"{people['answered_accuracy']:.1%} are what most people see" in text
    assert "the latter two by the votes" in text
    results = ModelCard.load(folder / "README.md").data.eval_results
    assert {result.dataset_config for result in results} == {"all", "clean", "voters"}


def test_metadata_says_what_the_hub_needs_to_know(folder):
    change(folder, dataset=TRAINING["dataset"] | {"source": "user/fer-six"})
    data = ModelCard.load(card.write_card(folder)).data
    assert data.library_name == "timm"
    assert data.pipeline_tag == "image-classification"
    assert (data.license, data.license_name) == ("other", "training-data-licence-unclear")
    assert data.datasets == ["user/fer-six"]


@pytest.mark.parametrize(
    ("init", "architecture", "base", "sentence"),
    [
        ("scratch", "resnet50", None, "initialised at random"),
        ("imagenet", "resnet50", "timm/resnet50.a1_in1k", "weights `timm/resnet50.a1_in1k`"),
        ("user/first@v2", "resnet50", "user/first", "weights `user/first`"),
    ],
)
def test_the_base_model_is_named_only_where_there_is_one(
    folder, init, architecture, base, sentence
):
    change(folder, config={"init": init, "architecture": architecture})
    assert sentence in section(folder, "Training")
    assert ModelCard.load(folder / card.CARD_FILE).data.base_model == base


def test_the_run_can_be_repeated_from_the_card(measured):
    training = section(measured, "Training")
    command = "python train_hub.py train --recipe metrics.json --data emotion-detection-fer.zip"
    assert f"`{command} --output {measured.name}`." in training
    assert "- 40 epochs of `emotion-detection-fer.zip` with seed 7; the weights of ep" in training
    assert "It took 30 minutes on 1 x NVIDIA H100 80GB HBM3, 2025-01-31." in training
    assert "torch 2.15.0, timm 1.0.31" in training
    assert "distilled" not in training


def test_every_run_behind_the_weights_has_its_data_targets_and_time(folder):
    votes = {"votes": "votes.csv", "vote_share": 0.25}
    faces = {"source": "my-faces", "train": 600, "validation": 60, "test": 60}
    earlier = TRAINING | {"dataset": faces, "config": TRAINING["config"] | votes}
    teacher = {"init": "first", "teacher": "tiny", "teacher_share": 0.5, "vote_share": 0.25}
    change(folder, earlier=[earlier | {"note": "It was cut."}], config=TRAINING["config"] | teacher)
    training = section(folder, "Training")
    assert "initialised at random" in training  # what the first run started from
    assert "This repeats the run" not in training
    first, second = (line for line in training.splitlines() if line.startswith("- "))
    assert first.startswith("- 40 epochs of `my-faces`")
    assert "25% of each target comes from FER+'s votes." in first
    assert first.endswith("2025-01-31. It was cut.")
    assert "kept. 50% of each target is distilled from `tiny`. It took" in second
    assert "Training took 1.0 hours" in section(folder, "Cost")


def test_plots_are_shown_where_they_exist_and_faces_never(measured):
    text = card.write_card(measured).read_text()
    assert re.findall(r"]\((plots/.*)\)", text) == [
        "plots/confusion_matrix.png",
        "plots/per_class.png",
    ]
    assert (measured / "plots" / "top_losses.png").is_file()


def test_a_card_of_other_data_claims_nothing_of_fer2013(folder):
    dataset = {"source": "my-faces", "train": 600, "validation": 60, "test": 60}
    change(folder, dataset=dataset)
    text = card.write_card(folder).read_text()
    assert "fer2013" not in text.lower()
    assert "my-faces, test" in section(folder, "Results")
    assert "The licence of `my-faces` was not recorded" in text


def test_a_split_without_clean_images_gets_no_clean_row(folder):
    with edited_metrics(folder) as metrics:
        metrics["test"]["clean"] = None
    assert "PrivateTest, clean" not in card.write_card(folder).read_text()


def test_what_was_not_measured_is_an_error_that_names_it(folder):
    with edited_metrics(folder) as metrics:
        del metrics["training"]["seed"]
    with pytest.raises(ValueError, match=r"cannot be written: metrics\.json is not whole .*'seed'"):
        card.write_card(folder)


@pytest.mark.parametrize("source", ["a|b: {{ c }}", "- 'x' # \"y\"", "[z]: &q *r", "null", "1.5"])
def test_no_name_breaks_the_front_matter_or_a_table(folder, source):
    change(folder, dataset=TRAINING["dataset"] | {"source": source, "test": 7})
    rows = [row for row in section(folder, "Results").splitlines() if row.startswith("|")]
    written = ModelCard.load(folder / card.CARD_FILE)
    assert {result.dataset_type for result in written.data.eval_results} == {source}
    columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert columns == {6, 7}  # of the two tables, of splits and of labels


def test_the_embedded_card_says_what_was_measured(tmp_path):
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / EMBEDDED.name))
    assert card.write_card(folder).read_text() == (EMBEDDED / card.CARD_FILE).read_text()
