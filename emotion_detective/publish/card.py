"""The README.md of a checkpoint, from the metrics that lie beside it.

The Jinja template `model_card.md` holds its sentences and tables; the front matter comes from here:
https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

import json
import shlex
from pathlib import Path

import timm
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, StrictUndefined, UndefinedError

from emotion_detective import HOME, LABELS
from emotion_detective.core.checkpoint import (
    CONFIG_FILE,
    FER_PRIVATE_COUNT,
    METRICS_FILE,
    PLOTS_FOLDER,
    read_metrics,
)
from emotion_detective.core.hub import is_hub_id

TEMPLATE = HOME / "model_card.md"
CARD_FILE = "README.md"
FER_SPLITS = {"test": "FER2013 PrivateTest", "validation": "FER2013 PublicTest"}
# Which images of a split are measured, and by whose word -> how a table names them.
PARTS = {"all": "", "clean": ", clean", "voters": ", by the majority of ten voters"}
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
        card = _fill_template(repo_id, config, metrics, find_plots(folder))
    except (KeyError, UndefinedError) as error:
        raise ValueError(
            f"The card of {folder.name} cannot be written: {METRICS_FILE} is not whole ({error}). "
            "Evaluate the checkpoint again with train_hub.py."
        ) from error
    card.save(folder / CARD_FILE)
    return folder / CARD_FILE


def find_plots(folder: Path) -> list[str]:
    """Return the paths of the plots that a card shows, those that there are."""
    names = [f"{PLOTS_FOLDER}/{name}.png" for name in PLOTS]
    return [name for name in names if (folder / name).is_file()]


def _fill_template(repo_id: str, config: dict, metrics: dict, plots: list[str]) -> ModelCard:
    training, name = metrics["training"], repo_id.partition("/")[2]
    source = training["dataset"]["source"]
    is_fer2013 = training["dataset"]["test"] == FER_PRIVATE_COUNT
    runs = [*training.get("earlier", []), training]
    base = _base_model(runs[0]["config"])
    measured = _measured_parts(metrics, source, is_fer2013)
    data = ModelCardData(
        license="other",
        license_name="training-data-licence-unclear",
        library_name="timm",
        pipeline_tag="image-classification",
        base_model=base,
        datasets=[source] if is_hub_id(source) else None,
        metrics=["accuracy", "f1"],
        tags=["timm", "transformers", "facial-expression-recognition", "emotion-recognition"],
        model_name=name,
        eval_results=_eval_results(measured, "fer2013" if is_fer2013 else source),
    )
    # What a sentence needs and metrics.json lacks is an error, not a gap.
    jinja = Environment(undefined=StrictUndefined, trim_blocks=True)
    text = jinja.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        repo_id=repo_id,
        name=name,
        labels=LABELS,
        config=config,
        metrics=metrics,
        measured=measured,
        source=source,
        is_fer2013=is_fer2013,
        runs=runs,
        start=base or runs[0]["config"]["init"],
        by_votes=any(run["config"].get("votes") for run in runs),
        is_distilled=any(run["config"].get("teacher") for run in runs),
        plots={path: PLOTS[Path(path).stem] for path in plots},
        percent=_percent,
        duration=_duration,
        quote=shlex.quote,
    )
    return ModelCard(text)


def _base_model(settings: dict) -> str | None:
    """Return the Hub id of the weights that training started from, None where they have none."""
    init = settings["init"].partition("@")[0]
    if init == "imagenet":
        weights = timm.get_pretrained_cfg(settings["architecture"])
        return weights.hf_hub_id if weights else None
    return init if is_hub_id(init) else None


def _measured_parts(metrics: dict, source: str, is_fer2013: bool) -> list[dict]:
    """Return the metrics of each part that was measured, with its `split`, `kind` and `name`."""
    found = []
    for split, own_name in FER_SPLITS.items():
        measured = metrics[split]
        parts = measured, measured["clean"], measured.get("votes", {}).get("majority")
        name = own_name if is_fer2013 else f"{source}, {split}"
        found += [
            part | {"split": split, "kind": kind, "name": name + PARTS[kind]}
            for kind, part in zip(PARTS, parts, strict=True)
            if part
        ]
    return found


def _eval_results(measured: list[dict], dataset: str) -> list[EvalResult]:
    scores = {
        "accuracy": ("accuracy", "Accuracy"),
        "macro_f1": ("f1", "Macro-F1"),
        "ece": ("ece", "Expected calibration error"),
    }
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Facial expression recognition",
            dataset_type=dataset,
            dataset_name=f"{part['name']} (n = {part['n']})",
            dataset_config=part["kind"],
            dataset_split=part["split"],
            metric_type=metric,
            metric_name=name,
            metric_value=round(part[field], 4),
        )
        for part in measured
        for field, (metric, name) in scores.items()
    ]


def _percent(value: float, interval: list[float] | None = None) -> str:
    if interval is None:
        return f"{100 * value:.1f}%"
    low, high = (100 * limit for limit in interval)
    return f"{100 * value:.1f}% [{low:.1f}, {high:.1f}]"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
