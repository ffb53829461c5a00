"""What stands in the environment of a page that starts."""

import os

import pytest

from emotion_detective.page import surroundings


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "ALL_PROXY names a SOCKS proxy"),
        ("GRADIO_SERVER_NAME", "::1", "GRADIO_SERVER_NAME is ::1"),
        ("GRADIO_SERVER_NAME", "0.0.0.0", ""),
        ("HTTP_PROXY", "http://127.0.0.1:9", ""),
    ],
)
def test_what_keeps_the_page_from_starting_is_said_with_the_remedy(
    monkeypatch, variable, value, said
):
    monkeypatch.setattr(surroundings, "find_spec", lambda name: None)
    monkeypatch.setenv(variable, value)
    assert surroundings.unfit().startswith(said) and bool(surroundings.unfit()) == bool(said)


@pytest.mark.parametrize("listed", [None, "example.com", "127.0.0.1"])
def test_no_proxy_stands_before_the_pages_own_address(monkeypatch, listed):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "") if listed is None else monkeypatch.setenv(name, listed)
    surroundings.reach_own_address()
    names = os.environ["no_proxy"].split(",")
    assert set(names) >= {"localhost", "127.0.0.1", "::1"} and len(names) == len(set(names))
    assert listed is None or listed in names
