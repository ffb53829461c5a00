"""FER+ votes: read, held against a checkpoint's answers, and learned from."""

import json

import numpy as np
import pandas as pd
import pytest
from small import one_hot_like

from emotion_detective import LABELS
from emotion_detective.evaluation import votes

NO_OTHERS = np.zeros((3, len(votes.OTHER_COLUMNS)), int)

HEADER = "path,usage,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def votes_file(folder, *rows: str):
    path = folder / "votes.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_votes_are_joined_by_file_and_put_in_the_order_of_the_labels(tmp_path):
    path = votes_file(
        tmp_path, "b.png,PublicTest,1,2,3,4,0,0,0,0,0,0", "a.png,x,0,0,0,0,5,1,1,1,2,0"
    )
    read = votes.read_votes(path, ["a.png", "missing.png", "b.png"])
    assert read.counts.tolist() == [[5, 1, 0, 0, 0, 0], [0] * 6, [0, 0, 2, 1, 4, 3]]
    assert read.others.tolist() == [[1, 1, 2, 0], [0] * 4, [0] * 4]


def test_majority_is_the_one_answer_with_most_votes_of_all_ten():
    counts = np.array([[6, 0, 0, 4, 0, 0], [5, 5, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [0] * 6])
    read = votes.Votes(counts, others=np.array([[0, 0], [0, 0], [7, 0], [0, 0]]))
    assert read.majority.tolist() == [0, votes.NO_MAJORITY, votes.NO_MAJORITY, votes.NO_MAJORITY]
    assert read.is_distribution.tolist() == [True, True, False, False]


def test_vote_metrics_of_a_hand_computed_example():
    counts = np.array([[10, 0, 0, 0, 0, 0], [0, 5, 0, 0, 0, 5], [0, 0, 0, 9, 1, 0]])
    read = votes.Votes(counts, NO_OTHERS[:3])
    probabilities = one_hot_like([0, 1, 4], [0.5, 0.5, 0.5])
    labels = np.array([0, 1, 4])
    found = votes.vote_metrics(probabilities, labels, read, 0.6)
    assert (found["n"], found["majority"]["n"]) == (3, 2)
    assert found["majority"]["accuracy"] == found["label_agreement"] == 0.5
    assert found["majority"]["answered_share"] == 0
    cross_entropies = [
        -np.log(0.5),
        -0.5 * np.log(0.5) - 0.5 * np.log(0.1),
        -0.9 * np.log(0.1) - 0.1 * np.log(0.5),
    ]
    entropies = [0, np.log(2), -0.9 * np.log(0.9) - 0.1 * np.log(0.1)]
    distances = found["distribution"]
    assert distances["n"] == 3
    assert distances["cross_entropy"] == pytest.approx(np.mean(cross_entropies))
    expected = np.mean(np.array(cross_entropies) - entropies)
    assert distances["kl_divergence"] == pytest.approx(expected)
    # Of the voters 1, 1/2 and 1/10 say the same, with a confidence of 1/2 each.
    assert distances["ece"] == pytest.approx(abs(np.mean([1, 0.5, 0.1]) - 0.5))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_checkpoint_that_answers_with_the_votes_has_no_distance_to_them():
    counts = np.array([[4, 1, 1, 1, 1, 2], [0, 0, 10, 0, 0, 0]])
    read = votes.Votes(counts, NO_OTHERS[:2])
    found = votes.vote_metrics(counts / 10, np.array([0, 2]), read, 0.5)
    assert found["majority"]["accuracy"] == 1
    assert found["distribution"]["ece"] == pytest.approx(0)
    assert found["distribution"]["kl_divergence"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,neutral\na.png,1\n", "lacks the columns anger, fear, happiness"),
        (f"{HEADER}\na.png,x,1,2,three,0,0,0,0,0,0,0\n", "votes that are no whole numbers"),
        (f"{HEADER}\na.png,x,1,2\n", "cut short in row 1"),
        (f"{HEADER}\nother.png,x,1,0,0,0,0,0,0,0,0,0\n", "none of the split's 1 images"),
        (None, r"There is no file .*votes\.csv"),
    ],
)
def test_an_unfit_votes_file_is_refused_in_one_sentence(tmp_path, text, message):
    path = tmp_path / "votes.csv"
    if text:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        votes.read_votes(path, ["a.png"])


def test_ferplus_agrees_with_the_fer_labels_as_often_as_measured(fer_zip):
    """FER+ as published: of the images whose majority is one of the six, two thirds agree."""
    path = fer_zip.with_name("ferplus_votes.csv")
    if not path.is_file():
        pytest.skip("ferplus_votes.csv is not beside FER2013's zip")
    table = pd.read_csv(path)
    files = table.path[table.usage == "PrivateTest"]
    files = files[files.str.split("/").str[1].isin(LABELS)].tolist()
    labels = np.array([LABELS.index(file.split("/")[1]) for file in files])
    uniform = np.full((len(files), len(LABELS)), 1 / len(LABELS))
    found = votes.vote_metrics(uniform, labels, votes.read_votes(path, files), 0)
    assert (found["n"], found["majority"]["n"]) == (3518, 3299)
    assert found["label_agreement"] == pytest.approx(0.661, abs=0.001)
    assert found["distribution"]["cross_entropy"] == pytest.approx(np.log(6))


def test_distributions_are_the_votes_for_the_six_labels_or_else_the_label():
    counts = np.array([[6, 0, 0, 2, 0, 0], [1, 0, 0, 0, 0, 2], [0] * 6])
    others = np.array([[2, 0, 0, 0], [0, 7, 0, 0], [0] * 4])
    made = votes.distributions(votes.Votes(counts, others), np.array([4, 4, 1]))
    assert made.tolist() == [[0.75, 0, 0, 0.25, 0, 0], [0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]]
