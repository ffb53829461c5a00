"""A small load on the real page: no error, the quiet answers, no picture kept in memory."""

import load
import pytest
from small import in_a_thread

# So few answers only warm the server up, by 40 to 110 MB; load.py itself holds it to its goal.
WARMING_MB = 300
SMALL = load.Plan(visitors=8, clients=2, seconds=0, requests=40, warm_up=12)


@pytest.mark.slow
def test_many_visitors_get_the_answers_of_a_quiet_page(tiny_checkpoint, tmp_path):
    result = in_a_thread(load.measure, SMALL, tiny_checkpoint, tmp_path)
    names = ("blurred", "crowd", "five_faces", "no_face", "one_face", "six_people")
    assert result["pictures"] == [f"{name}.jpg" for name in names]
    assert result["answers"] >= 40 + 12
    assert result["errors"] == {}
    assert result["tracebacks"] == 0
    assert result["busy"] == 0  # 8 fit into the queue
    assert result["wrong"] == 0
    assert result["largest_difference"] <= load.SAME_WITHIN
    assert result["growth_mb"] < WARMING_MB
    assert result["percentiles_s"]["p50"] <= result["percentiles_s"]["p100"]
    assert all(reached for goal, _, reached in load.goals(result) if "memory" not in goal)
