"""The page's head: this page's words and preview, English, in the place of Gradio's."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from emotion_detective.page import shell

GRADIO = """<!doctype html><html><head>
<meta charset="utf-8" />
<meta property="og:title" content="Gradio" />
<meta
    property="og:image"
    content="https://elsewhere.example/gradio.jpg"
/>
<meta name="twitter:creator" content="@Gradio" />
<title>é</title></head><body></body></html>"""


@pytest.fixture(scope="module")
def visitor():
    """A client of a page like Gradio's, with the head's middleware before it."""
    routes = [
        Route("/", lambda request: HTMLResponse(GRADIO)),
        Route("/config", lambda request: JSONResponse({"head": "<head>"})),
        *shell.routes(),
    ]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(shell.Head)]))


def test_head_names_this_page_and_no_other(visitor):
    page = visitor.get("/").text
    assert "Gradio" not in page and "elsewhere" not in page
    assert '<meta property="og:title" content="Emotion Detective" />' in page
    assert '<meta property="og:image" content="http://testserver/preview.png" />' in page
    assert "<title>é</title>" in page
    assert page.index("charset") < page.index("og:title")


def test_preview_has_the_address_that_a_proxy_was_asked_for(visitor):
    asked = {"x-forwarded-proto": "https", "x-forwarded-host": 'a.example"><script>'}
    page = visitor.get("/", headers=asked).text
    assert 'content="https://a.example&quot;&gt;&lt;script&gt;/preview.png"' in page


def test_other_answers_pass_as_they_are(visitor):
    assert visitor.get("/config").json() == {"head": "<head>"}


def test_every_emotion_has_a_colour_for_the_styles():
    names = re.findall(r"--ed-(\w+): #", shell.LOOK["css"])
    assert names == ["angry", "fearful", "happy", "neutral", "sad", "surprised", "unsure"]
