"""Markdown tables: numbers are aligned, and what a cell holds does not break its row."""

import pytest

from emotion_detective.evaluation.markdown import table


def test_columns_of_numbers_are_aligned_right():
    rows = [["a", 1, "67.3% [65, 69]", "2 s"], ["b", -0.5, "", "slow"]]
    assert table(["name", "n", "accuracy", "time"], rows).splitlines() == [
        "| name | n | accuracy | time |",
        "| --- | ---: | ---: | --- |",
        "| a | 1 | 67.3% [65, 69] | 2 s |",
        "| b | -0.5 |  | slow |",
    ]


def test_a_bar_in_a_cell_is_no_new_column():
    assert table(["source"], [["a|b"]]).splitlines()[-1] == r"| a\|b |"


def test_a_table_may_have_no_rows():
    assert table(["a", "b"], []) == "| a | b |\n| --- | --- |"


def test_rows_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        table(["a", "b"], [["1", "2"], ["3"]])
