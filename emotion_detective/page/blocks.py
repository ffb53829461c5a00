"""Gradio's `Blocks` as this page needs it: it fetches no address, logs no input, keeps little.

    with Page(title="Emotion Detective") as demo: ...
    demo.launch(app_kwargs=demo.behind_gate())

It starts only behind `gate.Gate`, in `launch` as in `gr.mount_gradio_app`.
"""

import re
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from emotion_detective.page.gate import Gate
from emotion_detective.page.uploads import UPLOAD_ONLY, errors_as_messages, uploaded_path

# `preprocess_data` is public and not documented: another version may call something else.
SEEN_WITH = "6.31"
# The concurrency limits of all events together let no more than these work at a time.
MAX_THREADS = 12
# Visitors whose last inputs Gradio keeps, some 100 kB each; of any number of visitors the latest.
MAX_SESSIONS = 256
UNGUARDED = (
    "This page would be open to more than its visitors need: start it with python app.py, or mount "
    "it with app.mount(your_app, path)."
)
UNFIT = "These inputs do not fit: /gradio_api/info says what this endpoint takes."
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)

if not gr.__version__.startswith(f"{SEEN_WITH}."):
    raise ImportError(
        f"This page protects its visitors with Gradio {SEEN_WITH} and has Gradio {gr.__version__}. "
        "Run: pip install -r requirements.txt"
    )


class Page(gr.Blocks):
    """`gr.Blocks` with limits, whose errors quote no input."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.max_threads = MAX_THREADS
        self.state_session_capacity = MAX_SESSIONS
        self.is_guarded = False

    def behind_gate(self, *others: Middleware) -> dict[str, Any]:
        """Return the `app_kwargs` with which the page may start; other middleware comes after."""
        self.is_guarded = True
        return {"middleware": [Middleware(Gate), *others]}

    def run_startup_events(self) -> None:
        """Start the queue, as Gradio does in `launch` and where it is mounted.

        Raises:
            RuntimeError: there is no gate before the page.
        """
        if not self.is_guarded:
            raise RuntimeError(UNGUARDED)
        super().run_startup_events()

    async def preprocess_data(
        self,
        block_fn: Any,
        inputs: list,
        state: Any,
        explicit_call: bool = False,
    ) -> list:
        """Return the inputs of an event as its function gets them; Gradio's own would fetch files.

        Raises:
            gr.Error: inputs that do not fit, told without them: Gradio logs any other error.
        """
        try:
            with errors_as_messages():
                local = _without_addresses(inputs)
            return await super().preprocess_data(block_fn, local, state, explicit_call)
        except gr.Error as error:  # for the visitor, who knows the inputs
            raise gr.Error(error.message, print_exception=False) from error
        except gr.exceptions.InvalidPathError as error:
            raise gr.Error(UPLOAD_ONLY, print_exception=False) from error
        except Exception as error:
            raise gr.Error(UNFIT, print_exception=False) from error


def _without_addresses(value: Any) -> Any:
    """Return inputs whose files lie here: an upload's address on this server becomes its path.

    Raises:
        ValueError: any other address.
    """
    if isinstance(value, list):
        return [_without_addresses(each) for each in value]
    if not isinstance(value, dict):
        return value
    local = {name: _without_addresses(each) for name, each in value.items()}
    path = local.get("path")
    if isinstance(path, str) and ADDRESS.match(path):
        local["path"] = str(uploaded_path(path))
    return local
