"""Whatever was measured, and whatever its data set is called, the card's front matter says it."""

import copy
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import TRAINING, measure

from emotion_detective.publish import card
from emotion_detective.publish.card_metadata import Facts

SHARES = st.floats(0, 1)
# What a folder or a zip may be called.
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
CONFIG = {
    "architecture": "resnet50",
    "unsure_below": 0.5,
    "pretrained_cfg": {"input_size": [3, 64, 64]},
}


@pytest.fixture(scope="module")
def metrics() -> dict:
    return {"training": TRAINING, "test": measure(200, 1.0), "validation": measure(200, 1.0, 1)}


def rendered(metrics: dict) -> tuple[dict, str]:
    """Return a card's front matter, parsed, and its text."""
    facts = Facts("user/tiny", CONFIG, metrics, ())
    text = card.render(facts, card.TEMPLATE.read_text(encoding="utf-8"))
    _, front, body = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), body


@settings(max_examples=60, deadline=None)
@given(accuracy=SHARES, macro_f1=SHARES, ece=SHARES)
def test_front_matter_and_table_state_what_was_measured(metrics, accuracy, macro_f1, ece):
    metrics = copy.deepcopy(metrics)
    metrics["test"] |= {"accuracy": accuracy, "macro_f1": macro_f1, "ece": ece}
    front, body = rendered(metrics)
    (index,) = front["model-index"]
    stated = {
        result["dataset"]["config"] + metric["type"]: metric["value"]
        for result in index["results"]
        if result["dataset"]["split"] == "test"
        for metric in result["metrics"]
    }
    assert stated["allaccuracy"] == round(accuracy, 4)
    assert stated["allf1"] == round(macro_f1, 4)
    assert stated["allece"] == round(ece, 4)
    assert f"| 200 | {100 * accuracy:.1f}% [" in body


@settings(max_examples=100, deadline=None)
@given(source=NAMES, hardware=NAMES)
def test_no_name_breaks_the_front_matter_or_a_table(metrics, source, hardware):
    dataset = TRAINING["dataset"] | {"source": source, "test": 7}
    training = TRAINING | {"dataset": dataset, "hardware": hardware}
    front, body = rendered(metrics | {"training": training})
    names = {result["dataset"]["type"] for result in front["model-index"][0]["results"]}
    assert names == {source}
    results = body.split("## Results\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\|.*\|$", results, flags=re.MULTILINE)
    columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows if "macro-F1" in rows[0]}
    assert len(rows) >= 4 and len(columns) <= 2  # two tables: of splits and of labels
