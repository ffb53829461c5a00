"""The About tab: what this is, how far to trust it, what it must not be used for, and privacy."""

import gradio as gr

from emotion_detective import LABELS
from emotion_detective.core.checkpoint import FER_PRIVATE_COUNT
from emotion_detective.core.classifier import Classifier
from emotion_detective.page import html, uploads
from emotion_detective.page.words import by_people

WHAT = """## What this is
Every face in a picture gets six probabilities: how much it looks angry, fearful, happy, neutral,
sad or surprised to people who were shown thousands of photographs. Where no emotion is likely
enough the answer is **unsure**, and that is an answer too.

A face is not a feeling. People smile when they are sad and frown when they think; the same face
means different things in different places (Barrett et al. 2019, *Emotional Expressions
Reconsidered*)."""

NOT_FOR = """## What it must not be used for
- Work and education: inferring emotions there is banned in the European Union but for medical and
  safety reasons (AI Act, Article 5(1)(f)).
- Hiring, grading, insurance, credit, policing, border control or any other decision about a person.
- Diagnosis or care. It is no medical device.
- People who do not know of it and have not agreed."""

GROUPS = """## For whom it is worse, or untested
FER2013, the pictures that this program is made to learn from (collected from the web in 2013), says
nothing about age, gender, skin colour or country, so nobody has measured how well it does for each;
other systems trained on such pictures do worse for people who are rare in them. Glasses, tilted
heads and little light make it worse; children, old people, masks, profiles and heavy make-up are
untested."""

PRIVACY = f"""## What happens to your pictures
They are analysed on this server and nowhere else, deleted within {uploads.KEEP_MINUTES} minutes of
their last use, never logged, never used for training. Frames of the live camera are never written
to disk. The page sets no cookies of its own and asks no other server for anything."""


UNMEASURED = "## How accurate it is\nNot measured: this model comes without test results."
# What is quoted here of the test split's metrics.
QUOTED = {
    "n",
    "accuracy",
    "accuracy_interval",
    "per_class",
    "answered_share",
    "answered_accuracy",
    "confusion_matrix",
}


def tab(classifier: Classifier) -> None:
    """Lay the tab out; called inside `gr.Blocks`."""
    test = classifier.metrics.get("test")
    is_measured = isinstance(test, dict) and test.keys() >= QUOTED  # else of another program
    with gr.Row():
        with gr.Column(min_width=320):
            for text in (WHAT, NOT_FOR, PRIVACY):
                gr.Markdown(text, elem_classes="about-card")
        with gr.Column(min_width=320):
            measured = _accuracy(test, classifier.metrics) if is_measured else UNMEASURED
            gr.Markdown(measured, elem_id="accuracy", elem_classes="about-card")
            if is_measured:
                matrix = html.confusion_matrix((by_people(test) or test)["confusion_matrix"])
                gr.HTML(matrix, elem_id="confusion", elem_classes="about-card")
            gr.Markdown(GROUPS, elem_classes="about-card")
            gr.Markdown(_model(classifier), elem_id="model", elem_classes="about-card")


def _accuracy(test: dict, metrics: dict) -> str:
    judged = by_people(test) or test
    weakest = min(LABELS, key=lambda label: judged["per_class"][label]["recall"])
    recall = judged["per_class"][weakest]["recall"]
    return f"""## How accurate it is
{_headline(test, _test_name(metrics))}
{judged["answered_share"]:.0%} of the pictures get an answer that is not "unsure", and
{judged["answered_accuracy"]:.1%} of those answers are right. It is weakest on {weakest} faces: it
recognises {recall:.0%} of them.

{_calibration(metrics)}"""


def _test_name(metrics: dict) -> str:
    dataset = metrics.get("training", {}).get("dataset", {})
    if dataset.get("test") == FER_PRIVATE_COUNT:
        return "FER2013, PrivateTest"
    return f"test of `{dataset.get('source', 'data not named')}`"


def _headline(test: dict, name: str) -> str:
    people = by_people(test)
    if people is None:
        return (
            f"On {test['n']:,} test pictures ({name}) the likeliest emotion is the labelled one "
            f"for {_with_interval(test)}."
        )
    return (
        f"Ten people were asked about each test picture ({name}). Of the {people['n']:,} on which "
        "one of the six emotions has most of their votes the likeliest emotion is that one for "
        f"{_with_interval(people)}; the data set's own label is for "
        f"{test['votes']['label_agreement']:.1%}. The likeliest emotion is the labelled one for "
        f"{_with_interval(test)}."
    )


def _with_interval(metrics: dict) -> str:
    low, high = metrics["accuracy_interval"]
    return f"**{metrics['accuracy']:.1%}** (95% interval {low:.1%} to {high:.1%})"


def _calibration(metrics: dict) -> str:
    calibration = metrics.get("calibration")
    if not isinstance(calibration, dict):
        return ""
    if calibration.get("against") == "votes":
        return "A probability of 80% means that eight of ten people would call the face so."
    return "Of all answers given with 80%, about 80% agree with the labels."


def _model(classifier: Classifier) -> str:
    origin = "read from a folder on this server"
    if classifier.revision:
        origin = f"revision `{classifier.revision}`"
    return f"## Which model\n`{classifier.name}`, {origin}."
