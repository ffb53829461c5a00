r"""Train, evaluate, compare and publish the emotion classifier.

    python train_hub.py find-lr --data emotion-detection-fer.zip --output runs/find-lr
    python train_hub.py train --data emotion-detection-fer.zip --output runs/first
    python train_hub.py evaluate --model runs/first --data emotion-detection-fer.zip --split test
    python train_hub.py push --model runs/first --repo-id USER/NAME
    python train_hub.py export --model runs/first --format onnx --output runs/javascript
    python train_hub.py deploy-space --repo-id USER/SPACE --model USER/NAME
    python train_hub.py analyze --model USER/NAME --data pictures --output rows --processes 8
    python train_hub.py compare --data emotion-detection-fer.zip --output runs/study \
        --archs alexnet vgg16 resnet50 --epochs 4 8 12 16

`--data` takes the zip from Kaggle, the folder it unpacks to, or a Hub dataset id. This file only
reads the command line. What is wrong with the input is said in one line with exit status 2.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Emotion Detective needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

import os

IS_FIRST = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts
if not IS_FIRST:
    os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported

import argparse
import dataclasses
import json
import logging
import time
import typing
from pathlib import Path

from safetensors import SafetensorError

from emotion_detective import EMBEDDED
from emotion_detective.training import recipe
from emotion_detective.training.recipe import FRESH, TrainConfig

DTYPES = ("float32", "float16")
# Settings that most runs are given; the others are best left to the recipe.
USUAL = ("architecture", "epochs", "batch_size", "learning_rate", "limit", "class_weights")
USUAL += ("votes", "teacher", "seed")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status: 0, or 2 for input that cannot be used."""
    logging.basicConfig(level=logging.INFO if IS_FIRST else logging.CRITICAL, format="%(message)s")
    # Their requests and notices would drown the one line an epoch.
    for name in ("httpx", "httpx2", "datasets", "accelerate"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("timm", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a pipe on Windows has few characters
    options = _parser().parse_args(arguments)
    try:
        if empty := [name for name, value in vars(options).items() if value == ""]:
            # It would be the folder that the command is given in; a shell's variable was not set.
            option = empty[0].replace("_", "-")
            raise ValueError(f"--{option} is empty; give it a value, or leave it out.")
        options.run(options)
    except ValueError as error:
        return _complain(options.command, str(error))
    except (OSError, SafetensorError) as error:  # a full disk, a folder that cannot be written
        return _complain(options.command, _explain(error))
    except KeyboardInterrupt:
        more = "; --resume goes on after the last whole epoch" if options.run is train else ""
        return _complain(options.command, f"stopped{more}.", status=130)
    return 0


def _complain(command: str, sentence: str, status: int = 2) -> int:
    if IS_FIRST:
        print(f"train_hub.py {command}: {sentence}", file=sys.stderr)
    return status


def _explain(error: Exception) -> str:
    """Return what could not be read or written, and what to do."""
    name, reason = getattr(error, "filename", None), getattr(error, "strerror", None)
    if name and ".cache" in Path(name).parts:
        return f"{name} cannot be written ({reason}): set HF_HOME to a folder that can."
    what = f"{name} cannot be read or written ({reason})" if name else error
    return f"{what}. Mend it and repeat."


def train(options: argparse.Namespace) -> None:
    """Train, calibrate, evaluate and write the checkpoint with its card."""
    begin = time.perf_counter()
    config, output = _train_config(options), Path(options.output)

    import torch

    from emotion_detective import data
    from emotion_detective.core.loading import load_classifier
    from emotion_detective.evaluation import votes
    from emotion_detective.training import export, loop, networks, run_folder

    run_folder.check_free(output, options.resume)
    start = None if config.init in FRESH else load_classifier(config.init)
    if start:
        own = start.network.pretrained_cfg["architecture"]
        config = dataclasses.replace(config, architecture=own)
    networks.check_architecture(config)
    parts = data.load(options.data)
    config = _fit(config, options, parts)
    if config.votes:  # votes that do not cover a split are refused before the training
        for split in parts.values():
            votes.read_votes(config.votes, split["file"])
    before = None
    if start:
        before = export.measure(start, parts["validation"], "validation", None, config.votes)
    network, history = loop.train(config, parts, output, options.resume)
    if not IS_FIRST:
        return
    from emotion_detective.publish import card  # after the hours of training, not before

    run = export.describe_run(config, options.data, parts, history)
    dtype = getattr(torch, options.dtype)
    size = config.image_sizes[-1]
    metrics = export.export(network, parts, output, size, run, history, dtype, before, config.votes)
    card.write_card(output)
    run_folder.remove_state(output)
    _print_summary(metrics["validation"], "validation")
    if before:
        _print_change(before, metrics["validation"], config.init)
    _print_summary(metrics["test"], "test")
    logging.info("wrote %s in %.0f s", output, time.perf_counter() - begin)


def find_lr(options: argparse.Namespace) -> None:
    """Raise the learning rate batch by batch and suggest where to train."""
    config = _train_config(options)

    from emotion_detective import data
    from emotion_detective.study import lr_finder

    parts = data.load(options.data)
    config = _fit(config, options, parts)
    test = lr_finder.find_lr(config, parts)
    for path in lr_finder.write(test, Path(options.output)):
        logging.info("wrote %s", path)
    if test.suggestion is None:
        raise ValueError(test.problem)
    print(f"suggested: {test.suggestion:.2e} for batches of {config.batch_size}")


def compare(options: argparse.Namespace) -> None:
    """Train several architectures for several lengths and put them into one table.

    Each learns at the rate that its own range test suggests, where --lr names none.
    """
    options.epochs = max(options.lengths)
    config = _train_config(options)

    from emotion_detective import data
    from emotion_detective.study import comparison
    from emotion_detective.training import networks

    output, rates = Path(options.output), dict(options.rates)
    for architecture in options.archs:
        networks.check_known(architecture)
    if unknown := sorted(rates.keys() - set(options.archs)):
        raise ValueError(f"--lr names {', '.join(unknown)}, which --archs does not.")
    parts = data.load(options.data)
    config = _fit(config, options, parts)
    rows = comparison.compare(
        config, options.archs, options.lengths, parts, options.data, output, rates
    )
    print((output / "comparison.md").read_text(encoding="utf-8"))
    failed = [f"{row['architecture']}-{row['epochs']}" for row in rows if "error" in row]
    if failed:
        raise ValueError(f"{', '.join(failed)} failed; the same command tries only these again.")


def evaluate(options: argparse.Namespace) -> None:
    """Print a checkpoint's metrics on one split."""
    from emotion_detective import data
    from emotion_detective.core.loading import load_classifier
    from emotion_detective.publish import card
    from emotion_detective.training import export

    folder = Path(options.model) if options.update else None
    if folder and not folder.is_dir():
        raise ValueError(f"--update writes into a checkpoint folder; {folder} is none.")
    classifier = load_classifier(options.model)
    split = data.load_split(options.data, options.split)
    metrics = export.measure(classifier, split, options.split, folder, options.votes)
    if folder:
        card.write_card(folder)
    if options.json:
        print(json.dumps(metrics, indent=2))
    else:
        _print_summary(metrics, options.split)


def push(options: argparse.Namespace) -> None:
    """Upload a checkpoint folder to the Hub and print its address."""
    from emotion_detective.publish.push import push

    folder = Path(options.model)
    print(push(folder, options.repo_id, options.private, options.force, options.onnx))


def export(options: argparse.Namespace) -> None:
    """Write a checkpoint for JavaScript, C++ and other programs than Python's."""
    from emotion_detective.publish.onnx_folder import write_onnx

    print(write_onnx(options.model, Path(options.output)))


def prepare(options: argparse.Namespace) -> None:
    """Publish the six-class dataset on the Hub, to train from by its id."""
    from emotion_detective import data
    from emotion_detective.publish import dataset_card

    parts = data.load(options.data)
    name = data.display_name(options.data)
    print(dataset_card.publish(parts, name, options.push_to, private=options.private))


def join_votes(options: argparse.Namespace) -> None:
    """Write the votes of FER+ as the CSV that --votes takes."""
    from emotion_detective import data
    from emotion_detective.evaluation import ferplus

    parts = data.load(options.data)
    output = Path(options.output)
    count = ferplus.join_votes(parts, Path(options.fer2013), Path(options.ferplus), output)
    logging.info("wrote %s with the votes of %d images", output, count)


def deploy_space(options: argparse.Namespace) -> None:
    """Publish the page as a Space that serves a model of the Hub, and print its address."""
    from emotion_detective.publish import space

    print(space.deploy(options.repo_id, options.model, private=options.private))


def analyze(options: argparse.Namespace) -> None:
    """Rate every face in the pictures of a folder, zip or dataset; write the rows as parquet."""
    output = Path(options.output)
    if output.is_file():
        raise ValueError(f"--output {output} is a file; give a folder.")
    from emotion_detective.bulk import analysis

    done = analysis.write_rows(
        options.model,
        options.data,
        output,
        processes=options.processes,
        whole_picture=options.whole_picture,
    )
    print(done)


def _print_summary(metrics: dict, split: str) -> None:
    _print_scores(split, metrics)
    if clean := metrics["clean"]:
        _print_scores(f"{split}, in no other split", clean)
    if voters := metrics.get("votes"):
        people = voters["majority"] | {"ece": voters["distribution"]["ece"]}
        _print_scores(f"{split}, by FER+'s voters", people)
        recalls = [scores["recall"] for scores in people["per_class"].values()]
        print(
            f"mean recall over the emotions {sum(recalls) / len(recalls):.4f}; "
            f"{people['answered_share']:.4f} are not unsure, accuracy "
            f"{people['answered_accuracy']:.4f}; the labels' is {voters['label_agreement']:.4f}"
        )


def _print_scores(measured: str, scores: dict) -> None:
    low, high = scores["accuracy_interval"]
    print(
        f"{measured}: {scores['n']} faces, accuracy {scores['accuracy']:.4f} ({low:.4f} to "
        f"{high:.4f}), macro-F1 {scores['macro_f1']:.4f}, ECE {scores['ece']:.4f}"
    )


def _score(metrics: dict) -> float:
    """Return what the best epoch is chosen by: the labels, and the voters where there are votes."""
    if voters := metrics.get("votes"):
        return (metrics["accuracy"] + voters["majority"]["accuracy"]) / 2
    return metrics["accuracy"]


def _print_change(before: dict, after: dict, init: str) -> None:
    """Say whether the new checkpoint is better on validation than the one it started from."""
    gain = _score(after) - _score(before)
    verdict = f"It rose by {gain:.4f}"
    if gain <= 0:
        verdict = f"The new one is no better: keep {init}, or try more images or a lower --lr"
    elif gain <= before["accuracy_interval"][1] - before["accuracy"]:
        verdict += f", which may be chance among {after['n']} faces"
    scored = "mean of label accuracy and agreement with voters" if "votes" in after else "accuracy"
    print(f"validation before training: {scored} {_score(before):.4f}. {verdict}.")


def _fit(config: TrainConfig, options: argparse.Namespace, parts: typing.Mapping) -> TrainConfig:
    """Return the recipe with batch and rate for few images, where the user gives neither."""
    if options.batch_size or getattr(options, "recipe", None):
        return config
    images = len(parts["train"])
    fitted = config.for_images(min(images, config.limit or images))
    rate = getattr(options, "learning_rate", None) or fitted.learning_rate
    return dataclasses.replace(fitted, learning_rate=rate)


def _train_config(options: argparse.Namespace) -> TrainConfig:
    """Return the recipe for `--init`, or that of `--recipe`, with what the command line says."""
    given = {
        field.name: tuple(value) if isinstance(value, list) else value
        for field in dataclasses.fields(TrainConfig)
        if (value := getattr(options, field.name, None)) is not None
    }
    if "architecture" in given and options.init not in (None, *FRESH):
        raise ValueError(f"--init {options.init} has an architecture of its own: leave out --arch.")
    given |= {name: None for name in ("votes", "teacher") if given.get(name) == "none"}
    if file := getattr(options, "recipe", None):
        return recipe.read_recipe(Path(file), given)
    if getattr(options, "quick", False):
        given = {"init": str(EMBEDDED)} | recipe.QUICK | given
        start, most = Path(given["init"]).name, given["limit"]
        logging.info(
            f"A first try: {given['epochs']} epochs from {start} on {most} images at most. Without "
            "--quick training starts from ImageNet's weights, takes all images, and hours on a CPU."
        )
    return TrainConfig.for_init(given.pop("init", "imagenet"), **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train_hub.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_training(commands)
    _add_reading(commands)
    _add_publishing(commands)
    return parser


def _add_command(commands, run: typing.Callable, data: bool = True) -> argparse.ArgumentParser:
    name = run.__name__.replace("_", "-")
    command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
    command.set_defaults(run=run)
    if data:
        command.add_argument(
            "--data", required=True, metavar="SRC", help="zip, folder, fer2013.csv or Hub id"
        )
    return command


def _add_training(commands) -> None:
    command = _add_command(commands, find_lr)
    command.add_argument("--output", default="runs/find-lr", metavar="DIR", help="for the curve")
    _add_config_options(command)

    command = _add_command(commands, train)
    command.add_argument("--output", required=True, metavar="DIR", help="the checkpoint's folder")
    quick = "a first try: few epochs from this repository's weights"
    command.add_argument("--quick", action="store_true", help=quick)
    command.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    repeat = "metrics.json of a run to repeat; options given go before"
    command.add_argument("--recipe", metavar="FILE", help=repeat)
    command.add_argument("--dtype", choices=DTYPES, default="float32", help="of stored weights")
    _add_config_options(command)

    command = _add_command(commands, compare)
    command.add_argument("--output", default="runs/study", metavar="DIR", help="for runs and table")
    command.add_argument("--archs", nargs="+", required=True, help="timm's names, or alexnet")
    several = {"nargs": "+", "required": True, "type": int, "help": "one run for each"}
    command.add_argument("--epochs", dest="lengths", **several)
    rates = {"nargs": "+", "type": rate, "default": [], "metavar": "ARCH=RATE"}
    command.add_argument("--lr", dest="rates", **rates)
    _add_config_options(command, without=("epochs", "architecture", "learning_rate"))


def rate(word: str) -> tuple[str, float]:
    """Return the architecture and the rate of `ARCH=RATE`."""
    name, number = word.split("=")
    return name, float(number)


def _add_config_options(command: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Add an option for every field of TrainConfig; what is not given, the recipe decides."""
    usual = command.add_argument_group("what you may want to set")
    rest = command.add_argument_group("what the recipe decides")
    start = "imagenet (the default), scratch (random weights) or a checkpoint"
    usual.add_argument("--init", help=start)
    scratch, fine_tuning = (TrainConfig.for_init(init) for init in FRESH)
    types = typing.get_type_hints(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        if field.name in ("init", *without):
            continue
        kind = (typing.get_args(types[field.name]) or (types[field.name],))[0]
        value = {"type": kind, "metavar": kind.__name__.upper()}
        if kind is bool:
            value = {"action": "store_true", "default": None}
        elif typing.get_origin(types[field.name]) is tuple:
            value["nargs"] = "+"
        default, other = (_show(getattr(c, field.name)) for c in (fine_tuning, scratch))
        other = "" if other == default else f", from scratch {other}"
        value["help"] = f"{field.metadata['meaning']} (default: {default}{other})"
        group = usual if field.name in USUAL else rest
        group.add_argument(*recipe.option_names(field.name), dest=field.name, **value)


def _show(default: object) -> str:
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return "none" if default is None else "off" if default is False else str(default)


def _add_reading(commands) -> None:
    command = _add_command(commands, evaluate)
    command.add_argument("--model", required=True, metavar="DIR_OR_REPO")
    command.add_argument("--split", choices=("validation", "test"), default="test")
    command.add_argument("--votes", metavar="CSV", help="FER+ votes, as a second set of labels")
    command.add_argument("--json", action="store_true", help="print everything as one JSON object")
    update = "write metrics, plots and card into the folder"
    command.add_argument("--update", action="store_true", help=update)

    command = _add_command(commands, analyze)
    command.add_argument("--model", required=True, metavar="DIR_OR_REPO")
    command.add_argument("--output", required=True, metavar="DIR", help="for the parquet files")
    command.add_argument("--processes", type=int, default=1, help="that work at the same time")
    whole = "for pictures cropped to a face already"
    command.add_argument("--whole-picture", action="store_true", help=whole)

    command = _add_command(commands, join_votes)
    command.add_argument("--fer2013", required=True, metavar="CSV", help="Kaggle's fer2013.csv")
    command.add_argument("--ferplus", required=True, metavar="CSV", help="FER+'s fer2013new.csv")
    command.add_argument("--output", default="ferplus_votes.csv", metavar="CSV")


def _add_publishing(commands) -> None:
    command = _add_command(commands, push, data=False)
    command.add_argument("--model", required=True, metavar="DIR")
    command.add_argument("--repo-id", required=True, metavar="USER/NAME")
    command.add_argument("--private", action="store_true")
    command.add_argument("--force", action="store_true", help="even over a better model")
    command.add_argument("--onnx", action="store_true", help="add what `export` writes")

    command = _add_command(commands, export, data=False)
    command.add_argument("--model", required=True, metavar="DIR_OR_REPO")
    command.add_argument("--format", choices=("onnx",), required=True)
    command.add_argument("--output", required=True, metavar="FOLDER")

    command = _add_command(commands, prepare)
    command.add_argument("--push-to", required=True, metavar="USER/NAME")
    command.add_argument("--private", action="store_true")

    command = _add_command(commands, deploy_space, data=False)
    command.add_argument("--repo-id", required=True, metavar="USER/SPACE")
    command.add_argument("--model", required=True, metavar="USER/NAME[@REVISION]")
    command.add_argument("--private", action="store_true")


if __name__ == "__main__":
    sys.exit(main())
