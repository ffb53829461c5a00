"""The facts of a model card, and its YAML front matter with the measured model-index for the Hub.

`card_text.py` fills the text below the front matter from the same `Facts`. Fields:
https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Reads and writes no files.
"""

from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData

from emotion_detective.core.checkpoint import FER_PRIVATE_COUNT
from emotion_detective.core.hub import is_hub_id
from emotion_detective.training.networks import IMAGENET_WEIGHTS
from emotion_detective.training.recipe import ARCHITECTURE

FER_SPLITS = {"test": "FER2013 PrivateTest", "validation": "FER2013 PublicTest"}
# The first of these that was measured gives the headline.
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Facts:
    """The repository, `config.json` and `metrics.json` of a card, and the paths of its plots."""

    repo_id: str
    config: dict
    metrics: dict
    plots: tuple[str, ...]

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repo_id.partition("/")[2]

    @property
    def training(self) -> dict:
        """The record of the last run behind the weights (`export.describe_run`)."""
        return self.metrics["training"]

    @property
    def runs(self) -> list[dict]:
        """The records of the runs behind the weights; each went on from the one before."""
        return [*self.training.get("earlier", []), self.training]

    @property
    def splits(self) -> dict[str, dict]:
        """The measured splits, the headline's first."""
        measured = {split: self.metrics[split] for split in SPLITS if split in self.metrics}
        if not measured:
            raise KeyError(SPLITS[0])
        return measured

    @property
    def headline(self) -> tuple[str, dict]:
        """The name and the metrics of the split that the card speaks of first."""
        return next(iter(self.splits.items()))

    @property
    def is_fer2013(self) -> bool:
        """Whether the data are FER2013, by the number of its test images."""
        return self.training["dataset"]["test"] == FER_PRIVATE_COUNT

    def split_name(self, split: str) -> str:
        """Return the card's name of a split."""
        if self.is_fer2013:
            return FER_SPLITS[split]
        return f"{self.training['dataset']['source']}, {split}"


def metadata(facts: Facts) -> str:
    """Return the YAML front matter; it names a base model only where weights came from one."""
    data = ModelCardData(
        license="other",
        license_name="training-data-licence-unclear",
        library_name="timm",
        pipeline_tag="image-classification",
        base_model=base_model(facts),
        datasets=hub_dataset(facts),
        metrics=["accuracy", "f1"],
        tags=["timm", "transformers", "facial-expression-recognition", "emotion-recognition"],
        model_name=facts.name,
        eval_results=eval_results(facts),
    )
    return f"---\n{data.to_yaml()}\n---"


def base_model(facts: Facts) -> str | None:
    """Return the Hub id of the weights that training started from, None where they have none."""
    settings = facts.runs[0]["config"]
    if settings["init"] == "imagenet":
        return IMAGENET_WEIGHTS if settings["architecture"] == ARCHITECTURE else None
    repo_id = settings["init"].partition("@")[0]
    return repo_id if is_hub_id(repo_id) else None


def hub_dataset(facts: Facts) -> list[str] | None:
    """Return the Hub id that the data came from, None for a zip or folder."""
    source = facts.training["dataset"]["source"]
    return [source] if is_hub_id(source) else None


def eval_results(facts: Facts) -> list[EvalResult]:
    """Return accuracy, macro-F1 and ECE of every measured split, on all and on its clean images."""
    dataset = facts.training["dataset"]
    dataset_type = "fer2013" if facts.is_fer2013 else dataset["source"]
    results = []
    for split, metrics in facts.splits.items():
        for config, part in (("all", metrics), ("clean", metrics["clean"])):
            if part is None:
                continue
            values = (
                ("accuracy", "Accuracy", part["accuracy"]),
                ("f1", "Macro-F1", part["macro_f1"]),
                ("ece", "Expected calibration error", part["ece"]),
            )
            results += [
                EvalResult(
                    task_type="image-classification",
                    task_name="Facial expression recognition",
                    dataset_type=dataset_type,
                    dataset_name=f"{facts.split_name(split)}, {config} images (n = {part['n']})",
                    dataset_config=config,
                    dataset_split=split,
                    metric_type=kind,
                    metric_name=name,
                    metric_value=round(value, 4),
                )
                for kind, name, value in values
            ]
    return results
