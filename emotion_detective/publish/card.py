"""The README.md of a checkpoint, from the metrics that lie beside it.

The Jinja template `model_card.md` holds the sentences; what was measured comes from here. Fields of
the front matter: https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

import json
import shlex
from pathlib import Path

import timm
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from emotion_detective import HOME, LABELS
from emotion_detective.core.checkpoint import (
    CONFIG_FILE,
    FER_PRIVATE_COUNT,
    METRICS_FILE,
    PLOTS_FOLDER,
    read_metrics,
)
from emotion_detective.core.hub import is_hub_id
from emotion_detective.evaluation.plots import table

TEMPLATE = HOME / "model_card.md"
CARD_FILE = "README.md"
FER_SPLITS = {"test": "FER2013 PrivateTest", "validation": "FER2013 PublicTest"}
# Which images of a split are measured, and by whose word -> how a table names them.
PARTS = {"all": "", "clean": ", clean", "voters": ", by the majority of ten voters"}
MOST_CONFUSED_SHOWN = 3
# The plots that the card shows and `push` uploads -> their alternative text. Others show faces.
PLOTS = {
    "confusion_matrix": "Confusion matrix: rows are labels, columns predictions",
    "per_class": "Precision, recall and F1 of each label with their intervals",
    "reliability": "Reliability: accuracy at each confidence",
    "confidence": "Fraction of the faces above each confidence, and of these labelled right",
    "curves": "Loss, accuracy and learning rate by epoch of the last run, before calibration",
}


def write_card(folder: Path | str, repo_id: str | None = None) -> Path:
    """Write README.md from the folder's metrics.json and return its path.

    The snippets load `repo_id`, by default USER/ and the folder's name.
    """
    folder = Path(folder).resolve()
    repo_id = repo_id or f"USER/{folder.name}"
    config, metrics = json.loads((folder / CONFIG_FILE).read_text()), read_metrics(folder)
    try:
        card = fill_template(repo_id, config, metrics, find_plots(folder))
    except KeyError as error:
        raise ValueError(
            f"The card of {folder.name} cannot be written: {METRICS_FILE} lacks {error}. "
            "Evaluate the checkpoint again with train_hub.py."
        ) from error
    card.save(folder / CARD_FILE)
    return folder / CARD_FILE


def find_plots(folder: Path) -> list[str]:
    """Return the paths of the plots that a card shows, those that there are."""
    names = [f"{PLOTS_FOLDER}/{name}.png" for name in PLOTS]
    return [name for name in names if (folder / name).is_file()]


def fill_template(repo_id: str, config: dict, metrics: dict, plots: list[str]) -> ModelCard:
    """Return the card of a checkpoint; `KeyError` for what its metrics lack."""
    training, test = metrics["training"], metrics["test"]
    source = training["dataset"]["source"]
    runs = [*training.get("earlier", []), training]
    judged = test.get("votes", {}).get("majority", test)  # what "unsure" is chosen by
    base = _base_model(runs[0]["config"])
    data = ModelCardData(
        license="other",
        license_name="training-data-licence-unclear",
        library_name="timm",
        pipeline_tag="image-classification",
        base_model=base,
        datasets=[source] if is_hub_id(source) else None,
        metrics=["accuracy", "f1"],
        tags=["timm", "transformers", "facial-expression-recognition", "emotion-recognition"],
        model_name=repo_id.partition("/")[2],
        eval_results=_eval_results(metrics),
    )
    return ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        repo_id=repo_id,
        name=data.model_name,
        labels=", ".join(LABELS),
        architecture=config["architecture"],
        image_size=config["pretrained_cfg"]["input_size"][-1],
        is_fer2013=_is_fer2013(training),
        test_name=_split_name("test", training),
        n=test["n"],
        accuracy=_percent(test["accuracy"], test["accuracy_interval"]),
        macro_f1=_percent(test["macro_f1"]),
        ece=_percent(test["ece"]),
        people=_describe_people(test),
        against_votes=metrics.get("calibration", {}).get("against") == "votes",
        results=_results_table(metrics),
        per_class=_per_class_table(test["per_class"]),
        most_confused="; ".join(
            f"{pair['true']} taken for {pair['predicted']} ({_percent(pair['share'])} of the "
            f"{pair['true']} faces)"
            for pair in test["most_confused"][:MOST_CONFUSED_SHOWN]
        ),
        plots="\n\n".join(f"![{PLOTS[Path(path).stem]}]({path})" for path in plots),
        unsure_below=_percent(config["unsure_below"]),
        unsure=_percent(1 - judged["answered_share"]),
        answered_accuracy=_percent(judged["answered_accuracy"]),
        start=base or runs[0]["config"]["init"],
        counts={split: training["dataset"][split] for split in ("train", "validation", "test")},
        source=source,
        votes=any(run["config"].get("votes") for run in runs),
        distilled=any(run["config"].get("teacher") for run in runs),
        runs="\n".join(map(_describe_run, runs)),
        command=None if len(runs) > 1 else f"{shlex.quote(source)} --output {data.model_name}",
        duration=_duration(sum(run["seconds"] for run in runs)),
        versions=", ".join(f"{name} {version}" for name, version in training["versions"].items()),
    )


def _describe_people(measured: dict) -> dict | None:
    """Return what the card says of the voters of a split, None where it has no votes."""
    if not (voters := measured.get("votes")):
        return None
    majority = voters["majority"]
    recalls = [scores["recall"] for scores in majority["per_class"].values()]
    return {
        "n": majority["n"],
        "agreement": _percent(majority["accuracy"], majority["accuracy_interval"]),
        "macro_recall": _percent(sum(recalls) / len(recalls)),
        "label_agreement": _percent(voters["label_agreement"]),
        "ece": _percent(voters["distribution"]["ece"]),
    }


def _is_fer2013(training: dict) -> bool:
    return training["dataset"]["test"] == FER_PRIVATE_COUNT


def _split_name(split: str, training: dict) -> str:
    source = training["dataset"]["source"]
    return FER_SPLITS[split] if _is_fer2013(training) else f"{source}, {split}"


def _base_model(settings: dict) -> str | None:
    """Return the Hub id of the weights that training started from, None where they have none."""
    init = settings["init"].partition("@")[0]
    if init == "imagenet":
        weights = timm.get_pretrained_cfg(settings["architecture"])
        return weights.hf_hub_id if weights else None
    return init if is_hub_id(init) else None


def _measured_parts(metrics: dict) -> list[tuple[str, str, dict]]:
    """Return split, a key of PARTS, and their metrics, of what was measured."""
    found = []
    for split in FER_SPLITS:
        measured = metrics[split]
        parts = measured, measured["clean"], measured.get("votes", {}).get("majority")
        found += [(split, name, part) for name, part in zip(PARTS, parts, strict=True) if part]
    return found


def _eval_results(metrics: dict) -> list[EvalResult]:
    training = metrics["training"]
    kinds = {
        "accuracy": ("accuracy", "Accuracy"),
        "macro_f1": ("f1", "Macro-F1"),
        "ece": ("ece", "Expected calibration error"),
    }
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Facial expression recognition",
            dataset_type="fer2013" if _is_fer2013(training) else training["dataset"]["source"],
            dataset_name=f"{_split_name(split, training)}{PARTS[which]} (n = {part['n']})",
            dataset_config=which,
            dataset_split=split,
            metric_type=kind,
            metric_name=name,
            metric_value=round(part[field], 4),
        )
        for split, which, part in _measured_parts(metrics)
        for field, (kind, name) in kinds.items()
    ]


def _results_table(metrics: dict) -> str:
    rows = [
        [
            _split_name(split, metrics["training"]) + PARTS[which],
            part["n"],
            _percent(part["accuracy"], part["accuracy_interval"]),
            _percent(part["macro_f1"], part["macro_f1_interval"]),
            _percent(part["ece"]),
            f"{part['nll']:.3f}",
        ]
        for split, which, part in _measured_parts(metrics)
    ]
    return table(["split", "n", "accuracy", "macro-F1", "ECE", "log loss"], rows)


def _per_class_table(scores: dict[str, dict]) -> str:
    rows = []
    for label in LABELS:
        score = scores[label]
        pair = _percent(score["precision"]), _percent(score["recall"])
        rows.append([label, score["support"], *pair, _percent(score["f1"], score["f1_interval"])])
    return table(["label", "n", "precision", "recall", "F1"], rows)


def _percent(value: float, interval: list[float] | None = None) -> str:
    if interval is None:
        return f"{100 * value:.1f}%"
    low, high = (100 * limit for limit in interval)
    return f"{100 * value:.1f}% [{low:.1f}, {high:.1f}]"


def _describe_run(run: dict) -> str:
    """Return the item of the card's list for one of the runs behind the weights."""
    settings, teacher, votes = run["config"], "", ""
    if name := settings.get("teacher"):
        teacher = f"{settings['teacher_share']:.0%} of each target is distilled from `{name}`."
    if settings.get("votes"):
        whole = "the rest" if teacher else "each target"
        votes = f"{settings['vote_share']:.0%} of {whole} comes from FER+'s votes."
    sentences = [
        f"- {run['epochs']} epochs of `{run['dataset']['source']}` with seed {run['seed']}; the "
        f"weights of epoch {run['best_epoch']} are kept.",
        teacher,
        votes,
        f"It took {_duration(run['seconds'])} on {run['hardware']}, {run['date']}.",
        run.get("note", ""),  # what a person wrote into the record
    ]
    return " ".join(filter(None, sentences))


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
