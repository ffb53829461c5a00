"""The plots of an evaluation and of a run are drawn, at the size of a card; tables."""

import numpy as np
from PIL import Image
from small import one_hot_like

from emotion_detective.evaluation import metrics, plots
from emotion_detective.publish import card


def test_every_plot_is_written_at_card_size(tmp_path):
    labels = np.array([0, 1, 2, 3, 4, 5] * 2)
    probabilities = one_hot_like([0, 1, 2, 3, 4, 0] * 2, [0.9, 0.5, 0.7] * 4)
    found = metrics.compute_metrics(probabilities, labels, 0.6)
    rows = [
        {"epoch": epoch, "train_loss": 2 / epoch, "validation_loss": 2.1 / epoch,
         "validation_accuracy": epoch / 10, "learning_rate": 1e-3, "image_size": 48 + 16 * epoch}
        for epoch in (1, 2, 3)
    ]  # fmt: skip
    paths = [
        *plots.write_plots(tmp_path, probabilities, labels, found),
        plots.plot_history(rows, 3, tmp_path / "plots" / "curves.png"),
    ]
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == card.PLOTS.keys()
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width == 1200
            assert np.asarray(picture.convert("L")).std() > 10  # something is drawn


def test_top_losses_show_the_worst_images_first(tmp_path, small_split, monkeypatch):
    labels = np.array(small_split["label"])
    probabilities = one_hot_like(labels.tolist(), [0.9] * 12)
    probabilities[7] = one_hot_like([4], [0.8])[0]  # labelled fearful
    probabilities[3] = one_hot_like([0], [0.6])[0]  # labelled neutral
    monkeypatch.setattr(plots, "save", lambda figure, path: figure)
    figure = plots.plot_top_losses(small_split, probabilities, labels, tmp_path)
    assert [axes.texts[0].get_text() for axes in figure.axes[:2]] == [
        "test/fearful/im7.png\nlabelled fearful 4.0%\npredicted sad 80%",
        "test/neutral/im3.png\nlabelled neutral 8.0%\npredicted angry 60%",
    ]


def test_a_table_aligns_numbers_right_and_keeps_a_bar_in_its_cell():
    rows = [["a|b", 1, "67.3% [65, 69]", "2 s"], ["c", -0.5, "", "slow"]]
    assert plots.table(["name", "n", "accuracy", "time"], rows).splitlines() == [
        "| name | n | accuracy | time |",
        "| --- | ---: | ---: | --- |",
        r"| a\|b | 1 | 67.3% [65, 69] | 2 s |",
        "| c | -0.5 |  | slow |",
    ]
    assert plots.table(["a"], []) == "| a |\n| --- |"
