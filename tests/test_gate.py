"""Before Gradio: no address is fetched, and sessions that wait are not forgotten."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio import processing_utils
from gradio.utils import LRUCache
from starlette.exceptions import HTTPException

from emotion_detective.page import gate


def test_gradio_fetches_no_address(monkeypatch, tmp_path):
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", gate._fetch_nothing)
    download = processing_utils.async_ssrf_protected_download(
        "https://example.com/x", str(tmp_path)
    )
    # In a thread: the browser tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as pool, pytest.raises(gr.Error, match="fetches no addresses"):
        pool.submit(asyncio.run, download).result()
    with pytest.raises(gr.Error, match="fetches no addresses"):
        processing_utils.save_url_to_cache("https://example.com/x.png", str(tmp_path))


def test_of_many_sessions_those_are_forgotten_that_wait_for_nothing():
    queue = SimpleNamespace(
        pending_messages_per_session=LRUCache(3),
        active_jobs=[None, [SimpleNamespace(session_hash="0")]],
        event_queue_per_concurrency_id={},
        pending_event_ids_session={},
    )
    sessions = gate._Sessions(queue)
    for number in range(9):
        sessions[str(number)] = number
        queue.pending_event_ids_session[str(number)] = set()
    assert list(sessions) == list(queue.pending_event_ids_session) == ["0", "7", "8"]
    with pytest.raises(HTTPException, match="a few letters"):
        sessions["x" * 1000] = 1


def test_guard_is_in_force_where_gradio_looks(monkeypatch):
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", None)
    monkeypatch.setattr(gate.route_utils, "GradioMultiPartParser", None)
    with gr.Blocks() as demo:
        gr.Textbox()
    demo.queue()
    gate.guard(demo)
    assert processing_utils.async_ssrf_protected_download is gate._fetch_nothing
    assert gate.route_utils.GradioMultiPartParser is gate._FilesOnly
    assert isinstance(demo._queue.pending_messages_per_session, gate._Sessions)
