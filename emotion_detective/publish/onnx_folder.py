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
    names = ["pixel_values", "", "", "size"], [graph.node[0].output[0]]
    graph.node[0].CopyFrom(
        helper.make_node("Resize", *names, mode="linear", antialias=1, axes=[2, 3])
    )
    weights |= {"size": np.array(classifier.data_config["input_size"][1:], np.int64)}
    del graph.initializer[:]
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
