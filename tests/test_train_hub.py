"""The command line: files and JSON for what is right, one line and status 2 for what is not."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from small import EMBEDDED, ROOT, SMALL_OPTIONS, TINY, write_source

import train_hub
from emotion_detective.core.loading import load_classifier
from emotion_detective.training import machine
from emotion_detective.training.recipe import TrainConfig

TRAIN = ["train", "--data", "x", "--output", "out"]
COMPARE = ["compare", "--data", "x", "--archs", "vgg16", "--epochs"]


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "first"
    arguments = ["train", "--data", str(source), "--output", str(output), "--epochs", "2"]
    arguments += ["--init", "scratch", "--seed", "3", *SMALL_OPTIONS]
    assert train_hub.main(arguments) == 0
    return output


def test_train_writes_a_checkpoint_with_metrics_plots_and_card(trained):
    assert load_classifier(trained).probabilities([]).shape == (0, 6)
    metrics = json.loads((trained / "metrics.json").read_text())
    counts = {"source": "fer", "train": 216, "validation": 24, "test": 48}
    assert metrics["training"]["dataset"] == counts
    assert (metrics["validation"]["n"], metrics["test"]["n"]) == (24, 48)
    for name in ("curves", "confusion_matrix", "top_losses"):
        assert (trained / "plots" / f"{name}.png").is_file()
    assert f"{metrics['test']['accuracy']:.1%}"[:-1] in (trained / "README.md").read_text()
    assert not list(trained.glob("state_*")) and not (trained / "best.safetensors").exists()


def test_the_record_names_no_folder_of_this_machine(trained, source):
    record = (trained / "metrics.json").read_text()
    assert not [folder for folder in (trained.parent, source, ROOT) if str(folder) in record]


def test_a_run_is_repeated_from_its_record(trained, source, tmp_path):
    record = trained / "metrics.json"
    words = ["train", "--recipe", str(record), "--data", str(source), "--output", "x"]
    again, changed = (
        train_hub._train_config(train_hub._parser().parse_args([*words, *more]))
        for more in ([], ["--epochs", "5", "--init", "user/name"])
    )
    recorded = json.loads(record.read_text())["training"]["config"]
    assert json.loads(json.dumps(again.recorded())) == recorded
    assert changed == dataclasses.replace(again, epochs=5, init="user/name")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("", "is no record of a training run: name a checkpoint's metrics.json"),
        ('{"training": {"config": {"cutmix": 1.0}}}', "has the settings cutmix, which training"),
        ('{"training": {"config": {"epochs": 1}}}', "does not say architecture, augmentation"),
    ],
)
def test_a_record_that_cannot_be_repeated_says_why(record, message, tmp_path, capsys):
    path = tmp_path / "metrics.json"
    path.write_text(record)
    words = ["train", "--recipe", str(path), "--data", "x", "--output", str(tmp_path / "out")]
    assert train_hub.main(words) == 2
    assert message in capsys.readouterr().err


def test_a_record_whose_start_is_not_here_says_what_to_give(tmp_path, capsys):
    record = str(EMBEDDED / "metrics.json")
    words = ["train", "--recipe", record, "--data", "x", "--output", str(tmp_path / "out")]
    assert train_hub.main(words) == 2
    said = capsys.readouterr().err
    recorded = json.loads(Path(record).read_text())["training"]["config"]
    assert f"init {recorded['init']!r}" in said
    assert "--init models/emotion-detective-resnet50 --votes none --teacher none" in said
    words += ["--init", str(EMBEDDED), "--votes", "none", "--teacher", "none"]
    config = train_hub._train_config(train_hub._parser().parse_args(words))
    assert (config.init, config.votes) == (str(EMBEDDED), None)
    assert config.epochs == recorded["epochs"]


def test_a_quick_run_starts_from_the_embedded_weights():
    words = ["train", "--quick", "--data", "x", "--output", "y", "--epochs", "2"]
    config = train_hub._train_config(train_hub._parser().parse_args(words))
    assert (Path(config.init).name, config.epochs, config.limit) == (EMBEDDED.name, 2, 1000)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "stopped; --resume goes on after the last whole epoch."),
        (PermissionError(13, "Permission denied", "/.cache"), 2, "set HF_HOME to a folder"),
        (FileNotFoundError(2, "No such file", "a.csv"), 2, "a.csv cannot be read or written (No"),
    ],
)
def test_what_stops_a_command_is_said_with_what_to_do(error, status, message, capsys, monkeypatch):
    def fail(options):
        raise error

    monkeypatch.setattr(train_hub, "_train_config", fail)
    assert train_hub.main(TRAIN) == status
    assert message in capsys.readouterr().err


def test_a_pipe_with_few_characters_gets_a_question_mark_for_the_others(monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO(), "cp1252")  # as on Windows
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr("emotion_detective.publish.push.push", lambda *options: "a → b")
    assert train_hub.main(["push", "--model", "m", "--repo-id", "user/name"]) == 0
    pipe.flush()
    assert pipe.buffer.getvalue() == b"a ? b\n"


def test_numbers_of_other_data_are_kept_off_the_card(trained, tmp_path, capsys):
    other = write_source(tmp_path / "other", train=40, test=9)
    before = (trained / "metrics.json").read_text()
    arguments = ["evaluate", "--model", str(trained), "--data", str(other), "--update"]
    assert train_hub.main(arguments) == 2
    assert "--data has 54 images of test" in capsys.readouterr().err
    assert (trained / "metrics.json").read_text() == before


def test_plots_stay_those_of_the_headline_s_split(trained, source):
    plots = {path: path.read_bytes() for path in (trained / "plots").iterdir()}
    arguments = ["evaluate", "--model", str(trained), "--data", str(source), "--update"]
    assert train_hub.main([*arguments, "--split", "validation"]) == 0
    assert {path: path.read_bytes() for path in (trained / "plots").iterdir()} == plots


def test_a_run_from_a_checkpoint_records_the_run_that_made_it(
    trained, source, tmp_path, monkeypatch, capsys
):
    for drawn_before in ("plots.write_plots", "plots.plot_top_losses"):
        monkeypatch.setattr(f"emotion_detective.evaluation.{drawn_before}", lambda *_: None)
    output = tmp_path / "second"
    arguments = ["train", "--data", str(source), "--output", str(output), "--init", str(trained)]
    assert train_hub.main([*arguments, *SMALL_OPTIONS[2:], "--epochs", "2"]) == 0
    before, record = (
        json.loads((folder / "metrics.json").read_text())["training"]
        for folder in (trained, output)
    )
    assert record["before"].keys() == {"n", "accuracy", "macro_f1"}
    assert (output / "plots" / "before_and_after.png").is_file()
    assert "validation before training: accuracy " in capsys.readouterr().out
    assert record["earlier"] == [{k: v for k, v in before.items() if k != "earlier"}]
    assert record["config"]["init"] == trained.name
    assert record["config"]["architecture"] == TINY
    assert record["mixed_precision"] == machine.mixed_precision()


def test_evaluate_prints_one_json_object(trained, source, capsys):
    capsys.readouterr()
    arguments = ["evaluate", "--model", str(trained), "--data", str(source), "--split", "test"]
    assert train_hub.main([*arguments, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    promised = {"n", "accuracy", "macro_f1", "per_class", "ece", "nll", "confusion_matrix"}
    assert promised <= set(metrics)
    assert promised <= set(metrics["clean"])
    assert sum(map(sum, metrics["confusion_matrix"])) == metrics["n"] == 48
    assert metrics == json.loads((trained / "metrics.json").read_text())["test"]


def test_evaluate_with_votes_adds_the_second_label_set(trained, source, tmp_path, capsys):
    columns = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = [f"test/happy/im{i}.png,0,10,0,0,0,0,0,0,0,0" for i in range(8)]
    votes = tmp_path / "votes.csv"
    votes.write_text("\n".join([f"path,{columns}", *rows]) + "\n")
    arguments = ["evaluate", "--model", str(trained), "--data", str(source), "--votes", str(votes)]
    capsys.readouterr()
    assert train_hub.main([*arguments, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["votes"]["majority"]["n"] == 8
    assert metrics["votes"]["label_agreement"] == 1.0
    assert metrics["votes"]["majority"]["accuracy"] == metrics["per_class"]["happy"]["recall"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TRAIN, "--data", "nowhere.zip"], "There is no data at 'nowhere.zip'"),
        ([*TRAIN, "--epochs", "0"], "epochs must be above 0"),
        ([*TRAIN, "--arch", "alexnet"], "can be made of alexnet"),
        ([*TRAIN, "--init", "user/name", "--arch", "vgg16"], "of its own"),
        ([*TRAIN, "--vote-share", "1"], "the fraction of what --votes names"),
        ([*COMPARE, "2", "--lr", "vg16=1e-3"], "--lr names vg16, which --archs does not"),
        ([*COMPARE, "2", "--archs", "resnet5"], "no architecture 'resnet5'. Near it: resnet50"),
        (["evaluate", "--model", "user/name", "--data", "x", "--update"], "user/name is none"),
        (["evaluate", "--model", "no/where/at/all", "--data", "x"], "No folder 'no/where/at/all'"),
        (["analyze", "--model", "x", "--data", "", "--output", "out"], "--data is empty"),
    ],
)
def test_wrong_input_is_one_line_and_exit_status_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert train_hub.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"train_hub.py {arguments[0]}: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_help_does_not_wait_for_torch():
    code = "import sys, train_hub; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_field_of_the_recipe_is_an_option(capsys):
    with pytest.raises(SystemExit) as stop:
        train_hub.main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in text
