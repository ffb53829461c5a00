"""The model card: what it says was measured, what it may not claim, what it refuses to invent."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from measured import measured_checkpoint
from small import EMBEDDED

from emotion_detective.core import checkpoint
from emotion_detective.core import classifier as model
from emotion_detective.publish import card, card_text

pytest_plugins = ["hub_server"]


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
    for label in model.LABELS:
        scores = test["per_class"][label]
        row = [
            label,
            scores["support"],
            *(f"{scores[name]:.1%}" for name in ("precision", "recall")),
        ]
        assert f"| {' | '.join(map(str, row))} |" in text
    worst = test["most_confused"][0]
    assert f"{worst['true']} taken for {worst['predicted']} ({worst['share']:.1%}" in text


def test_model_index_holds_the_measured_values_of_all_and_clean_images(measured):
    data = ModelCard.load(card.write_card(measured, "user/tiny")).data
    assert data.model_name == "tiny"
    metrics = checkpoint.read_metrics(measured)
    stated = {
        (result.dataset_split, result.dataset_config, result.metric_type): result.metric_value
        for result in data.eval_results
    }
    assert len(stated) == len(data.eval_results) == 12
    for split in ("test", "validation"):
        for config, part in (("all", metrics[split]), ("clean", metrics[split]["clean"])):
            for kind, field in (("accuracy", "accuracy"), ("f1", "macro_f1"), ("ece", "ece")):
                assert stated[split, config, kind] == pytest.approx(part[field], abs=5e-5)


def test_metadata_says_what_the_hub_needs_to_know(measured):
    data = ModelCard.load(card.write_card(measured)).data
    assert data.library_name == "timm"
    assert data.pipeline_tag == "image-classification"
    assert (data.license, data.license_name) == ("other", "training-data-licence-unclear")
    assert "no licence" in section(measured, "Licence")


def test_a_dataset_from_the_hub_is_linked(folder):
    dataset = checkpoint.read_metrics(folder)["training"]["dataset"]
    change(folder, dataset=dataset | {"source": "user/fer-six"})
    data = ModelCard.load(card.write_card(folder)).data
    assert data.datasets == ["user/fer-six"]


@pytest.mark.parametrize(
    ("init", "architecture", "base", "sentence"),
    [
        ("scratch", "resnet50", None, "initialised at random"),
        ("imagenet", "resnet50", "timm/resnet50.a1_in1k", "Fine-tuned from ImageNet-1k weights"),
        ("imagenet", "vgg16", None, "from timm's default ImageNet weights"),
        ("user/first@v2", "resnet50", "user/first", "went on from the checkpoint user/first"),
        ("runs/first/last", "resnet50", None, "went on from the checkpoint in a local folder"),
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
    assert f"- Command: `{command} --output {measured.name}`." in training
    assert "seed 7, 40 epochs, of which number 38 is kept" in training
    assert "in 30 minutes on 1 x NVIDIA H100 80GB HBM3, 2025-01-31" in training
    assert "torch 2.15.0, timm 1.0.31" in training


def test_a_run_that_went_on_from_another_names_both_and_adds_their_time(folder):
    record = checkpoint.read_metrics(folder)["training"]
    later = record["config"] | {"init": "first", "votes": "votes.csv", "vote_share": 0.25}
    change(folder, earlier=[record], config=later | {"architecture": "resnet18"})
    training = section(folder, "Training")
    assert "initialised at random" in training
    assert "No single command repeats it: each run went on from the checkpoint of the" in training
    assert "--recipe" not in training
    assert "- Run 1 of 2: seed 7, 40 epochs" in training
    assert "- Run 2 of 2: seed 7, 40 epochs" in training
    assert "In the last run, of each training target 25% is not the image's label" in training
    assert "Training took 1.0 hours" in section(folder, "Cost")
    assert ModelCard.load(folder / card.CARD_FILE).data.base_model is None


def test_a_teacher_and_votes_are_named_only_where_they_decided_targets(folder):
    config = checkpoint.read_metrics(folder)["training"]["config"]
    config |= {"votes": None, "vote_share": 0.25, "teacher": None, "teacher_share": 0.5}
    change(folder, config=config)
    training = section(folder, "Training")
    assert "FER+" not in training.partition("### Where")[0]
    assert "gives way" not in training
    change(folder, config=config | {"teacher": "tiny", "votes": "votes.csv"})
    training = section(folder, "Training")
    assert "25% is not the image's label" in training
    assert "50% gives way to the mean of what the checkpoint `tiny` answers" in training
    assert "Of the result" in training
    record = checkpoint.read_metrics(folder)["training"]
    earlier = record | {"config": record["config"] | {"teacher_share": 0.3}, "note": "It was cut."}
    change(folder, earlier=[earlier])
    training = section(folder, "Training")
    assert "In the last run, of the result 50% gives way" in training
    (run,) = (line for line in training.splitlines() if line.startswith("- Run 1 of 2: "))
    assert run.endswith(". It was cut.")


def test_what_earlier_runs_learned_from_is_named(folder):
    record = checkpoint.read_metrics(folder)["training"]
    faces = {"source": "my-faces", "train": 600, "validation": 60, "test": 60}
    earlier = record | {"dataset": faces, "config": record["config"] | {"vote_share": 0.5}}
    assert "Earlier runs" not in card.write_card(folder).read_text()
    change(folder, earlier=[earlier], config=record["config"] | {"vote_share": 0.0})
    training = section(folder, "Training")
    assert "Earlier runs learned from `my-faces`: nobody looked" in training
    assert "In an earlier run, of each training target 50% is not" in training


@pytest.mark.parametrize(
    ("hardware", "seconds", "sentence"),
    [
        ("1 x NVIDIA H100 80GB HBM3", 1800, "drew its rated power all the time it took 0.35 kWh"),
        ("2 x NVIDIA H100 80GB HBM3", 7200, "it took 2.80 kWh"),
        ("CPU, 2 cores (x86_64)", 7200, "2.0 hours on CPU, 2 cores (x86_64)"),
    ],
)
def test_energy_is_stated_only_with_the_assumption_behind_it(folder, hardware, seconds, sentence):
    change(folder, hardware=hardware, seconds=seconds)
    cost = section(folder, "Cost")
    assert sentence in cost
    assert ("kWh" in cost) == ("NVIDIA" in hardware)
    assert "not measured" in cost


def test_each_hardware_has_its_own_time(folder):
    record = checkpoint.read_metrics(folder)["training"]
    earlier = record | {"hardware": "CPU, 2 cores (x86_64)", "seconds": 7200}
    change(folder, earlier=[earlier], hardware="1 x NVIDIA H100 80GB HBM3", seconds=1800)
    cost = section(folder, "Cost")
    assert "2.0 hours on CPU, 2 cores (x86_64) and 30 minutes on 1 x NVIDIA H100" in cost
    assert "kWh" not in cost  # a processor's power is not known


def test_plots_are_shown_where_they_exist_and_faces_never(measured):
    text = card.write_card(measured).read_text()
    assert text.count("![") == 2
    assert "](plots/confusion_matrix.png)" in text
    assert "](plots/per_class.png)" in text
    assert (measured / "plots" / "top_losses.png").is_file()
    assert "top_losses" not in text


def test_a_card_of_other_data_claims_nothing_of_fer2013(folder):
    dataset = {"source": "my-faces", "train": 600, "validation": 60, "test": 60}
    change(folder, dataset=dataset)
    text = card.write_card(folder).read_text()
    assert "FER2013" not in text
    assert "fer2013" not in text
    assert "my-faces, test" in section(folder, "Results")
    assert "The licence of `my-faces` was not recorded" in text


def test_before_the_test_split_is_read_validation_gives_the_headline(folder):
    with edited_metrics(folder) as metrics:
        del metrics["test"]
    text = card.write_card(folder).read_text()
    assert "Per class, on FER2013 PublicTest" in text
    assert "PrivateTest" not in text


def test_a_split_without_clean_images_gets_no_clean_row(folder):
    with edited_metrics(folder) as metrics:
        metrics["test"]["clean"] = None
    text = card.write_card(folder).read_text()
    assert "PrivateTest |" in text
    assert "PrivateTest, clean" not in text


def test_what_was_not_measured_is_an_error_that_names_the_slot(folder):
    with edited_metrics(folder) as metrics:
        del metrics["training"]["seed"]
    with pytest.raises(
        ValueError, match=r"slot 'runs' cannot be filled: metrics.json lacks 'seed'"
    ):
        card.write_card(folder)


def test_a_checkpoint_that_was_never_measured_has_no_card(tiny_checkpoint, tmp_path):
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "unmeasured"))
    with pytest.raises(ValueError, match=r"metrics\.json lacks"):
        card.write_card(folder)
    assert not (folder / card.CARD_FILE).exists()


def test_an_unknown_slot_of_the_template_is_named(measured):
    facts = card.read_facts(measured, "user/tiny")
    with pytest.raises(ValueError, match=r"unknown slot 'colour'; known: architecture, cost"):
        card.render(facts, "A ${colour} model")


def test_every_slot_is_used_by_the_template(measured):
    template = card.TEMPLATE.read_text()
    assert [slot for slot in card_text.SLOTS if f"${{{slot}}}" not in template] == []
    assert "${" not in card.write_card(measured).read_text()


def test_the_hub_accepts_the_card_and_refuses_a_broken_one(measured, hub_here):
    accepted = ModelCard.load(card.write_card(measured))
    accepted.validate()
    assert hub_here.requests == ["POST /api/validate-yaml"]
    broken = ModelCard(str(accepted).replace("license_name:", "licence_name:"))
    with pytest.raises(ValueError, match="license_name"):
        broken.validate()


def test_the_embedded_card_tells_what_was_measured(tmp_path):
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / EMBEDDED.name))
    assert card.write_card(folder).read_text() == (EMBEDDED / card.CARD_FILE).read_text()
