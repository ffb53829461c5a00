"""Predictions in plain language: what the page and the API say about them. Knows no Gradio.

Every sentence says "looks", never "is": a face shows an expression, not what someone feels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from emotion_detective import LABELS
from emotion_detective.core.detective import Prediction
from emotion_detective.core.drawing import MOST_SURE, percent
from emotion_detective.video.timeline import UNSURE

# With more faces than this a sentence that names each one is no summary any more.
NAMED_FACES = 4
# Emotions of a face in a video that are named beside the one it shows most.
NAMED_OTHERS = 2
# From these shares of its time on a face "mostly" or "often" looks so.
MOSTLY, OFTEN = 0.5, 0.25
AS_ONE_FACE = "No face found; the picture is read as if it were one."
NO_FACE = (
    "No face found. If the picture is itself a face, cropped close, "
    "read the whole picture as one face."
)


def summary(predictions: Sequence[Prediction]) -> str:
    """Return one sentence for all faces of a picture, and one more if they lie on their sides."""
    if not predictions:
        return NO_FACE
    return f"{_describe(predictions)} {turned(predictions)}".rstrip()


def turned(predictions: Sequence[Prediction]) -> str:
    """Return how faces were found that lie on their side or in the dark, "" for any other."""
    sentences = []
    if rotations := sorted({one.rotation_degrees for one in predictions} - {0}):
        are_all = len(rotations) == 1 and all(one.rotation_degrees for one in predictions)
        degrees = " and ".join(map(str, rotations))
        found = "Found" if are_all else "Some were found"
        sentences.append(f"{found} with the picture turned by {degrees} degrees clockwise.")
    if any(one.brightened for one in predictions):
        sentences.append("Found with the dark picture brightened.")
    return " ".join(sentences)


def _describe(predictions: Sequence[Prediction]) -> str:
    if len(predictions) == 1:
        return f"1 face: {'' if predictions[0].unsure else 'it '}{looks(predictions[0])}."
    if len(predictions) <= NAMED_FACES:
        parts = [f"{i} {looks(prediction)}" for i, prediction in enumerate(predictions, start=1)]
        return f"{len(predictions)} faces: {', '.join(parts)}."
    return f"{tally(predictions)}."


def tally(predictions: Sequence[Prediction]) -> str:
    """Return how many faces there are of each answer: "5 faces: 3 happy, 2 unsure"."""
    if not predictions:
        return "No face found"
    counts = Counter("unsure" if p.unsure else p.label for p in predictions)
    parts = ", ".join(f"{count} {label}" for label, count in counts.most_common())
    if len(predictions) == 1:
        return f"1 face: {next(iter(counts))}"
    return f"{len(predictions)} faces: {parts}"


def alternative(predictions: Sequence[Prediction]) -> str:
    """Return the text alternative of a picture with its faces boxed."""
    if not predictions:
        return "Your picture. No face was found in it."
    return f"Your picture with a box around every face found. {summary(predictions)}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"


def percents(probabilities: Sequence[float]) -> list[str]:
    """Return probabilities in whole percent that add up to 100, by the largest remainders."""
    whole = [int(100 * p) for p in probabilities]
    order = sorted(range(len(whole)), key=lambda i: 100 * probabilities[i] - whole[i], reverse=True)
    for i in order[: 100 - sum(whole)]:
        whole[i] += 1
    return [
        percent(p) if p >= MOST_SURE else f"{part}%"
        for p, part in zip(probabilities, whole, strict=True)
    ]


def verdict(prediction: Prediction) -> str:
    """Return a face's answer in a few words: "happy 93%" or "unsure: sad 41% or neutral 38%"."""
    first, second = _two_likeliest(prediction)
    if prediction.unsure:
        return f"unsure: {' or '.join(' '.join(one) for one in (first, second))}"
    return " ".join(first)


def looks(prediction: Prediction) -> str:
    """Return a face's part of a sentence: "looks happy (93%)", "unsure between sad and angry"."""
    first, second = _two_likeliest(prediction)
    if prediction.unsure:
        return f"unsure between {first[0]} and {second[0]}"
    return f"looks {first[0]} ({first[1]})"


def _two_likeliest(prediction: Prediction) -> list[tuple[str, str]]:
    """Return the two likeliest emotions, each with its probability in percent."""
    rows = zip(prediction.probabilities, LABELS, percents(prediction.probabilities), strict=True)
    return [(label, share) for _, label, share in sorted(rows, key=lambda row: -row[0])[:2]]


def often_right(face: Prediction, metrics: dict) -> str:
    """Return how often an answer like this one is right on the test split, and what it hides.

    Of an emotion's answers those that were unsure count too, under the likelier emotion.
    `metrics` is the checkpoint's `metrics.json`; "" where it has no such test results.
    """
    test = metrics.get("test")
    if not isinstance(test, dict):
        return ""
    people = by_people(test)
    agreed = "it is right" if people is None else "most people agree"
    return (
        _unsure_right(people or test) if face.unsure else _right(face.label, people or test, agreed)
    )


def by_people(test: Mapping) -> dict | None:
    """Return the metrics by what most of FER+'s ten voters see, of a test split that has them."""
    votes = test.get("votes")
    majority = votes.get("majority") if isinstance(votes, dict) else None
    return majority if isinstance(majority, dict) else None


def _unsure_right(test: dict) -> str:
    known = ("accuracy", "answered_share", "answered_accuracy")
    if not all(isinstance(test.get(name), float) for name in known):
        return ""
    accuracy, answered, answered_accuracy = (test[name] for name in known)
    if not answered < 1:
        return ""
    right = (accuracy - answered * answered_accuracy) / (1 - answered)
    return (
        f"This model is unsure of {1 - answered:.0%} of its test pictures. Its first guess is then "
        f"right {right:.0%} of the time: take it for a hint."
    )


def _right(label: str, test: dict, agreed: str) -> str:
    if "confusion_matrix" not in test:
        return ""
    column = [row[LABELS.index(label)] for row in test["confusion_matrix"]]
    answered, right = sum(column), column[LABELS.index(label)]
    if not answered:
        return f'On the test pictures this model never answered "{label}".'
    mistakes = {true: n for true, n in zip(LABELS, column, strict=True) if true != label and n}
    sentence = (
        f'When this model answers "{label}", {agreed} {right / answered:.0%} of the time '
        f"({right:,} of {answered:,} test pictures)"
    )
    if not mistakes:
        return f"{sentence}."
    return f"{sentence}; else the face is most often {max(mistakes, key=mistakes.get)}."


def over_time(shares: Mapping[str, float], episodes: Mapping[str, int]) -> str:
    """Return what a face showed in a video: "mostly looks happy, surprised twice".

    Never led by the answer "unsure", which says nothing of the face.

    Args:
        shares: the share of the face's time that each emotion and "unsure" had.
        episodes: how many times it came to show each emotion.
    """
    emotions = {label: share for label, share in shares.items() if label != UNSURE and share}
    if not emotions:
        return "shows no emotion clearly enough to name"
    ranked = sorted(emotions, key=emotions.get, reverse=True)
    most = [label for label in ranked if percent(emotions[label]) == percent(emotions[ranked[0]])]
    others = ranked[len(most) :]
    least = percent(emotions[others[:NAMED_OTHERS][-1]]) if others else ""
    parts = [f"{_how_often(emotions[ranked[0]])} looks {' and '.join(most)}"]
    parts += [
        f"often {label}"
        if emotions[label] >= OFTEN
        else f"{label} {_times(episodes.get(label, 0))}"
        for rank, label in enumerate(others)
        if rank < NAMED_OTHERS or percent(emotions[label]) == least
    ]
    if (unsure := shares.get(UNSURE, 0.0)) >= OFTEN:
        parts.append(f"unclear {unsure:.0%} of the time")
    return ", ".join(parts)


def _how_often(share: float) -> str:
    return "mostly" if share >= MOSTLY else "often" if share >= OFTEN else "sometimes"


def _times(number: int) -> str:
    return {0: "for a moment", 1: "once", 2: "twice"}.get(number, f"{number} times")


def sentence(text: str) -> str:
    """Return a part of a sentence as one of its own."""
    return f"{text[0].upper()}{text[1:]}."


def batch_summary(rows: Sequence[Mapping], files: int, left_out: int, cut_short: int = 0) -> str:
    """Return one sentence for a batch's rows, of so many files; others were left out.

    `cut_short` of the files were read as far as they go.
    """
    statuses = Counter(row["status"] for row in rows)
    sentence = f"{count(files, 'file')}: {count(statuses['ok'], 'face')}"
    if statuses["no_face"]:
        sentence += f", {count(statuses['no_face'], 'file')} without one"
    if statuses["unreadable"]:
        sentence += f", {statuses['unreadable']} that cannot be read"
    if cut_short:
        sentence += f", {cut_short} cut short and read in part"
    return f"{sentence}. {left_out} more were left out." if left_out else f"{sentence}."
