"""FER+'s files are joined to images by their pixels."""

import re

import numpy as np
import pandas as pd
import pytest

import train_hub
from emotion_detective.evaluation import ferplus

FERPLUS_COLUMNS = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)


@pytest.fixture
def published(parts, tmp_path):
    """FER+'s two files on the training images, the last of which has no votes."""
    images = [np.asarray(image) for image in parts["train"]["image"]]
    pixels = [" ".join(map(str, image.ravel())) for image in images]
    fer2013, new = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    fer2013.write_text("\n".join(["emotion, Usage, pixels", *(f"0,x,{row}" for row in pixels)]))
    counted = [f"Training,fer{i}.png,0,{i},0,0,0,0,0,0,0,1" for i in range(len(images) - 1)]
    new.write_text("\n".join([FERPLUS_COLUMNS, *counted, "Training,,0,0,0,0,0,0,0,0,0,0"]))
    return fer2013, new


def test_votes_are_found_by_an_image_s_pixels(source, parts, published, tmp_path):
    fer2013, new = map(str, published)
    output = tmp_path / "votes.csv"
    command = ["join-votes", "--data", str(source), "--fer2013", fer2013, "--ferplus", new]
    assert train_hub.main([*command, "--output", str(output)]) == 0
    files = parts["train"]["file"]
    table = pd.read_csv(output)
    assert table.path.tolist() == files[:-1]
    assert table.happiness.tolist() == list(range(len(files) - 1))
    assert set(table.NF) == {1}


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("fer2013", lambda text: text.replace("pixels", "pictures"), "lacks the columns pixels"),
        ("fer2013new", lambda text: text.rpartition("\n")[0], "they do not go together"),
        ("fer2013new", lambda text: text[:-3], r"new\.csv is cut short in row 216: fetch"),
        ("fer2013", lambda text: re.sub("0,x,.*", "0,x,7 7", text), "None of the images of --data"),
        ("fer2013", lambda text: text.replace("0,x,", "0,x,999 "), "pixels that are no numbers"),
    ],
)
def test_files_that_cannot_be_joined_are_named(parts, published, tmp_path, name, spoil, message):
    path = tmp_path / f"{name}.csv"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ValueError, match=message):
        ferplus.join_votes(parts, *published, tmp_path / "votes.csv")
    assert not (tmp_path / "votes.csv").exists()
