"""A network's forward pass by what computes it fastest: ONNX Runtime on the CPU, torch elsewhere.

ONNX Runtime arranges a convolution's weights once, not at every call, and computes convolution,
batch normalisation, addition and ReLU in one step (benchmarks/throughput.py). Probabilities agree
to 1e-6. `to_onnx` translates timm's residual networks; torch computes every other architecture.
"""

import copy
import logging
import operator
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import threadpoolctl
import torch
from torch import fx, nn

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
# The environment variable that names the device to compute on.
DEVICE_VARIABLE = "EMOTION_DEVICE"
# ONNX's operator set, one that every ONNX Runtime of the last years reads.
OPSET, IR_VERSION = 17, 8
# Why a network stays with torch: no ONNX here, a layer without translation, a forward pass with
# branches that depend on its input.
STAYS_WITH_TORCH = (ImportError, NotImplementedError, fx.proxy.TraceError)


def claim_device(wanted: torch.device | str | None = None) -> torch.device:
    """Return the device to compute on: the one wanted, or that of `DEVICE_VARIABLE`, or the
    accelerator that torch finds, or the CPU.

    On an NVIDIA GPU, convolutions of this process then keep float32's precision.
    """
    wanted = wanted or os.environ.get(DEVICE_VARIABLE)
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    try:
        device = torch.device(wanted) if wanted else accelerator or CPU
    except RuntimeError as error:
        raise ValueError(
            f"torch knows no device {wanted!r}; names are cpu, cuda, cuda:1, mps, xpu."
        ) from error
    count = torch.accelerator.device_count() if accelerator else 0
    there = accelerator and device.type == accelerator.type and (device.index or 0) < count
    if device.type != "cpu" and not there:
        raise ValueError(
            f"There is no device {str(wanted)!r} here: torch finds "
            f"{f'{count} x {accelerator.type}' if accelerator else 'no accelerator'}. Name "
            f"another (device= or {DEVICE_VARIABLE}), or none."
        )
    if device.type == "cuda":
        # cuDNN would compute with ten bits of a value's 23.
        torch.backends.cudnn.allow_tf32 = False
    return device


def share_device(process: int) -> torch.device:
    """Return the device for one of several processes of a machine, which take its accelerators in
    turn; all have the same where `DEVICE_VARIABLE` names one by its number."""
    device = claim_device()
    if device.type == "cpu" or device.index is not None:
        return device
    return torch.device(device.type, process % torch.accelerator.device_count())


def use_threads(count: int) -> None:
    """Limit torch to `count` threads for what the calling thread computes."""
    torch.get_num_threads()  # torch sets a thread's number when it is first asked for
    threadpoolctl.threadpool_limits(count, "openmp")


def is_forked(process: int) -> bool:
    """True in a forked child of this process, where no thread of it runs any more.

    torch then computes in one thread: OpenMP would wait for those of the parent for ever.
    """
    if os.getpid() == process:
        return False
    torch.set_num_threads(1)
    return True


def forward_pass(
    network: nn.Module, device: torch.device
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network as a function that any thread, or a forked child on the CPU, may call.

    It takes a float32 batch `(N, 3, S, S)` and returns float32 logits, both in the CPU's memory
    whatever `device` computes.
    """
    if device.type == "cpu":
        try:
            return _OnnxForward(network)
        except STAYS_WITH_TORCH as reason:
            log.info("torch computes the network: %s", reason)
    else:
        network = copy.deepcopy(network)  # `to` would take the caller's along
    network.to(device, memory_format=torch.channels_last)
    process = os.getpid()

    @torch.inference_mode()
    def forward(batch: torch.Tensor) -> torch.Tensor:
        is_forked(process)
        with torch.autocast(device.type, enabled=False):  # the caller's
            return network(batch.to(device)).cpu()

    return forward


class _OnnxForward:
    """A network's forward pass by ONNX Runtime; a forked child opens a session of its own."""

    def __init__(self, network: nn.Module) -> None:
        self._network, self._parents = network, []
        self._open()

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        if is_forked(self._process):
            self._parents.append(self._session)  # whose end would wait for the parent's threads
            self._open()
        return torch.from_numpy(self._session.run(None, {"input": batch.numpy()})[0])

    def _open(self) -> None:
        import onnxruntime

        model, weights = to_onnx(self._network)
        # The session reads weights where they are: they are kept as long as itself.
        self._shared = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in weights.values()]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that wait at full speed gain nothing on two free cores, and lose a third of the
        # time where another program uses one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_external_initializers(list(weights), self._shared)
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._process = os.getpid()


def to_onnx(network: nn.Module) -> "tuple[onnx.ModelProto, dict[str, np.ndarray]]":
    """Return a network's graph in ONNX, and by name the weights that the graph leaves outside.

    The graph takes `input` `(N, 3, H, W)` and returns `logits` `(N, classes)`.

    Raises:
        ImportError: `onnx` is not installed.
        NotImplementedError: a layer that this knows no translation of.
        torch.fx.proxy.TraceError: the forward pass branches on its input.
    """
    from onnx import TensorProto, helper

    traced = fx.symbolic_trace(network.eval())
    nodes, weights = [], {}
    for step in traced.graph.nodes:
        inputs = [str(argument) for argument in step.args]
        if step.op == "placeholder":
            nodes.append(helper.make_node("Identity", ["input"], [step.name]))
        elif step.op == "output":
            nodes.append(helper.make_node("Identity", inputs, ["logits"]))
        elif step.op == "call_module":
            layer = traced.get_submodule(step.target)
            kind, attributes = _translate(layer)
            own = {f"{step.target}.{name}": value for name, value in _weights_of(layer).items()}
            weights |= own
            nodes.append(helper.make_node(kind, [*inputs, *own], [step.name], **attributes))
        elif step.target in (operator.add, operator.iadd):
            nodes.append(helper.make_node("Add", inputs, [step.name]))
        else:
            raise NotImplementedError(f"no translation of {step.op} {step.target} into ONNX")
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", "C"])],
        [_placeholder(name, value) for name, value in weights.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION), weights


def _translate(layer: nn.Module) -> tuple[str, dict]:
    """Return the ONNX operator of a layer and its attributes."""
    match layer:
        case nn.Conv2d(padding_mode="zeros", padding=tuple()):
            return "Conv", _window(layer) | {"dilations": layer.dilation, "group": layer.groups}
        case nn.BatchNorm2d(affine=True, track_running_stats=True):
            return "BatchNormalization", {"epsilon": layer.eps}
        case nn.ReLU():
            return "Relu", {}
        case nn.MaxPool2d(dilation=1, return_indices=False):
            return "MaxPool", _window(layer) | {"ceil_mode": int(layer.ceil_mode)}
        case nn.AvgPool2d(count_include_pad=False, divisor_override=None):
            return "AveragePool", _window(layer) | {"ceil_mode": int(layer.ceil_mode)}
        case nn.AdaptiveAvgPool2d(output_size=1):
            return "GlobalAveragePool", {}
        case nn.Flatten(start_dim=1, end_dim=-1):
            return "Flatten", {"axis": 1}
        case nn.Linear():
            return "Gemm", {"transB": 1}
        case nn.Identity() | nn.Dropout():
            return "Identity", {}
    raise NotImplementedError(f"no translation of {layer} into ONNX")


def _window(layer: nn.Module) -> dict[str, list[int]]:
    sizes = layer.kernel_size, layer.stride, layer.padding
    kernel, stride, padding = ([s, s] if isinstance(s, int) else list(s) for s in sizes)
    return {"kernel_shape": kernel, "strides": stride, "pads": padding * 2}


def _weights_of(layer: nn.Module) -> dict[str, np.ndarray]:
    """Return a layer's float32 arrays in the order of ONNX's inputs, without copying them."""
    names = ("weight", "bias", "running_mean", "running_var")
    found = {name: getattr(layer, name, None) for name in names}
    return {
        name: tensor.detach().contiguous().numpy()
        for name, tensor in found.items()
        if tensor is not None
    }


def _placeholder(name: str, value: np.ndarray) -> "onnx.TensorProto":
    """Return an initializer whose values come from outside the file: from memory."""
    from onnx import TensorProto

    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=value.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="memory")
    return tensor
