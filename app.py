"""Emotion Detective's page and API: what a visitor sees, and what programs call.

    python app.py                                   # http://127.0.0.1:7860
    EMOTION_MODEL=user/name@revision python app.py  # another checkpoint, from the Hub or a folder

The model is loaded once. Each tab lives in `emotion_detective/tabs/`; the functions below are the
public API, documented for clients by their types and docstrings.
"""

import os
from pathlib import Path

import gradio as gr

from emotion_detective import answers, faces, files
from emotion_detective.detective import EmotionDetective
from emotion_detective.tabs import photo

ROOT = Path(__file__).resolve().parent
EMBEDDED_MODEL = ROOT / "models" / "emotion-detective-resnet50"
MODEL_VARIABLE = "EMOTION_MODEL"
# Visitors that may wait; the next one is told that the page is busy.
QUEUE_SIZE = 64
TITLE = f"""# Emotion Detective
Six probabilities for every face in a picture, a video, or your camera. It reads expressions, not
what someone feels, and it is no tool for hiring, classrooms, the workplace or any decision about a
person. Uploads are deleted within {files.KEEP_MINUTES} minutes and never logged."""
# System fonts: the page asks no other server for anything.
THEME = gr.themes.Soft(
    primary_hue="blue",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)


def load_detective() -> tuple[EmotionDetective, str]:
    """Return the detective, and a line for the page if it is not on the model asked for."""
    wanted = os.environ.get(MODEL_VARIABLE)
    if not wanted:
        return EmotionDetective.from_pretrained(EMBEDDED_MODEL), ""
    try:
        return EmotionDetective.from_pretrained(wanted), ""
    except ValueError as error:
        notice = f"This page runs on its embedded model instead of {wanted}. {error}"
        return EmotionDetective.from_pretrained(EMBEDDED_MODEL), notice


detective, notice = load_detective()


def predict(picture: gr.FileData, whole_picture: bool = False) -> answers.PictureAnswer:
    """Find every face in a picture and rate six emotions in each.

    Args:
        picture: a picture file; its faces are answered largest first.
        whole_picture: read the whole picture as one face, for pictures cropped to a face already.
    """
    try:
        predictions = detective.analyze(files.uploaded_path(picture), bool(whole_picture))
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return answers.picture_answer(detective.classifier, predictions)


files.refuse_addresses()
with gr.Blocks(
    title="Emotion Detective",
    analytics_enabled=False,
    delete_cache=(files.SWEEP_SECONDS, files.KEEP_SECONDS),
) as demo:
    gr.Markdown(TITLE, elem_id="title")
    if notice:
        gr.Markdown(notice, elem_id="notice")
    with gr.Tab("Photo"):
        photo.tab(detective)
    gr.api(predict, api_name="predict", **photo.CONCURRENCY)
demo.queue(max_size=QUEUE_SIZE)

if __name__ == "__main__":
    demo.launch(
        show_error=True,
        max_file_size=faces.MAX_FILE_BYTES,
        run_history=False,
        enable_monitoring=False,
        footer_links=["api", "gradio", "settings"],
        theme=THEME,
        css_paths=ROOT / "emotion_detective" / "tabs" / "page.css",
    )
