"""A checkpoint as ONNX: for JavaScript (transformers.js), C++ and whatever else runs it.

`train_hub.py export` calls `write_onnx`; docs/javascript.md shows how the folder is used. The graph
resizes the picture itself, with the filter that timm has: transformers.js has others, which differ
between node and browsers and move a probability by 0.03.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from emotion_detective import LABELS
from emotion_detective.core.classifier import GRAY_MEAN, GRAY_STD
from emotion_detective.core.loading import load_classifier
from emotion_detective.engines import CPU, runtime

MODEL_FILE = "onnx/model.onnx"  # where transformers.js looks for it
OPSET = 18  # the first whose Resize has an antialiasing filter
PREPROCESSING = {
    "image_processor_type": "ViTImageProcessor",
    "do_convert_rgb": True,
    "do_resize": False,  # the graph does
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [GRAY_MEAN] * 3,
    "image_std": [GRAY_STD] * 3,
}


def write_onnx(source: Path | str, folder: Path) -> Path:
    """Write the checkpoint `source`, a folder or a Hub repository, as ONNX into `folder`.

    The model takes `pixel_values`, float32 `(N, 3, H, W)` normalised with GRAY_MEAN and GRAY_STD,
    of any N, H and W, and returns `logits` `(N, 6)`.
    """
    classifier = load_classifier(source, device=CPU)
    try:
        model, weights = runtime.to_onnx(classifier.network)
    except runtime.STAYS_WITH_TORCH as error:
        raise ValueError(f"{source} cannot be written as ONNX: {error}.") from error
    graph = model.graph
    graph.input[0].name = "pixel_values"
    height, width = classifier.data_config["input_size"][1:]
    weights |= {
        "height": np.array([height], np.int64),
        "width": np.array([width], np.int64),
        "levels": np.float32(255 * GRAY_STD),
        "middle": np.float32(255 * GRAY_MEAN),
    }
    nodes = [
        *_resize_as_pillow("pixel_values", "width", 3, "wide"),
        *_resize_as_pillow("wide", "height", 2, graph.node[0].output[0]),
        *graph.node[1:],
    ]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    model.opset_import[0].version = OPSET
    onnx.checker.check_model(model)
    (folder / MODEL_FILE).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / MODEL_FILE)
    config = {
        "model_type": "resnet",
        "id2label": dict(enumerate(LABELS)),
        "unsure_below": classifier.unsure_below,
        "transformers.js_config": {"dtype": "fp32"},  # or a browser asks for quantized weights
    }
    for name, content in (("config", config), ("preprocessor_config", PREPROCESSING)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    return folder


def _resize_as_pillow(source: str, size: str, axis: int, target: str) -> list[onnx.NodeProto]:
    """Return nodes that resize one axis and round to whole levels, as Pillow does after each."""
    sized = [source, "", "", size]
    return [
        helper.make_node("Resize", sized, [f"{size}0"], mode="linear", antialias=1, axes=[axis]),
        helper.make_node("Mul", [f"{size}0", "levels"], [f"{size}1"]),
        helper.make_node("Add", [f"{size}1", "middle"], [f"{size}2"]),
        helper.make_node("Round", [f"{size}2"], [f"{size}3"]),
        helper.make_node("Sub", [f"{size}3", "middle"], [f"{size}4"]),
        helper.make_node("Div", [f"{size}4", "levels"], [target]),
    ]
