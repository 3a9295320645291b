"""The nodes of NIR that modules become.

NIR (Pedersen et al., Nature Communications 2024, 10.1038/s41467-024-52259-9) has
equations in continuous time, ``tau dv/dt = (v_leak - v) + r I`` and a spike where
``v > v_threshold``. One time step of the network is a step dt of Euler's method. Where
the potential starts NIR leaves open: at ``v_reset``, as in spikingjelly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from spikingjelly.activation_based import neuron
from torch import nn

from balancer.errors import ExportError
from snn.export.folding import FoldedLayer
from snn.export.sample_shapes import pair
from snn.export.signal_graph import ModuleStep
from snn.networks.neurons import FusedLIF

_LIFS = (neuron.LIFNode, neuron.ParametricLIFNode, FusedLIF)


def layer_node(
    nir: Any, step: ModuleStep, layer: FoldedLayer, metadata: dict[str, Any]
) -> Any:
    """Make the node of a convolution or a linear layer.

    Raises
    ------
    ExportError
        Groups, a kernel that is not square, or padding with anything but zeros.
    """
    module = step.module
    if isinstance(module, nn.Linear):
        if len(step.input_shape) != 1:
            raise ExportError(
                f"{step.name} is linear in the last axis of {step.input_shape}; "
                "accepted are samples of one axis: flatten them"
            )
        if layer.bias is None:
            return nir.Linear(layer.weight, metadata=metadata)
        return nir.Affine(layer.weight, layer.bias, metadata=metadata)
    sizes = set(module.kernel_size)  # nir 1.0.8 takes all of them for the first
    if module.groups != 1 or module.padding_mode != "zeros" or len(sizes) > 1:
        raise ExportError(
            f"{step.name} has {module.groups} groups, kernel {module.kernel_size} and "
            f"padding by {module.padding_mode}; accepted are convolutions of one group "
            "with a square kernel, padded with zeros"
        )
    channels = layer.weight.shape[0]
    bias = np.zeros(channels, layer.weight.dtype) if layer.bias is None else layer.bias
    geometry = {
        "stride": module.stride,
        "padding": _padding(step.name, module),
        "dilation": module.dilation,
    }
    if isinstance(module, nn.Conv1d):
        geometry = {name: value[0] for name, value in geometry.items()}
        return nir.Conv1d(
            step.input_shape[1],
            layer.weight,
            groups=1,
            bias=bias,
            metadata=metadata,
            **geometry,
        )
    return nir.Conv2d(
        step.input_shape[1:],
        layer.weight,
        groups=1,
        bias=bias,
        metadata=metadata,
        **geometry,
    )


def _padding(name: str, module: Any) -> tuple[int, ...]:
    """Return the padding in numbers; ``same`` has to be equal on both sides."""
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    if module.padding != "same":
        return tuple(module.padding)
    total = [
        dilation * (size - 1)
        for size, dilation in zip(module.kernel_size, module.dilation, strict=True)
    ]
    if any(one % 2 for one in total):
        raise ExportError(
            f"{name} pads one side more than the other; accepted are equal sides"
        )
    return tuple(one // 2 for one in total)


def neuron_node(nir: Any, step: ModuleStep, dt: float) -> Any:
    """Make the node of neurons.

    Raises
    ------
    ExportError
        Neurons other than LIF and IF, or a reset by subtraction.
    """
    module, shape = step.module, step.output_shape
    kind = type(module)
    if kind not in (*_LIFS, neuron.IFNode):
        raise ExportError(
            f"{step.name} is a {kind.__name__}; accepted are LIFNode, "
            "ParametricLIFNode and IFNode"
        )
    if module.v_reset is None:
        raise ExportError(
            f"{step.name} subtracts its threshold at a spike; accepted are neurons "
            "that are reset to a potential (v_reset)"
        )
    # NIR spikes above the threshold, these neurons at it: one float32 makes up for it.
    threshold = float(np.nextafter(np.float32(module.v_threshold), np.float32(-np.inf)))
    known = {"v_threshold": threshold, "v_reset": float(module.v_reset)}
    if kind is neuron.IFNode:
        return nir.IF(r=_full(shape, 1 / dt), **_filled(shape, known))
    if kind is neuron.ParametricLIFNode:
        tau = 1 / float(module.w.detach().sigmoid())
    else:
        tau = float(module.tau)
    known |= {
        "tau": tau * dt,
        "r": 1.0 if module.decay_input else tau,
        "v_leak": float(module.v_reset),
    }
    return nir.LIF(**_filled(shape, known))


def pooling_nodes(nir: Any, step: ModuleStep, spiking: bool) -> list[Any]:
    """Make the nodes of a pooling.

    The maximum of spikes is whether any of them is there: their sum, and a threshold.

    Raises
    ------
    ExportError
        The maximum of anything but spikes, or a way of counting that NIR lacks.
    """
    module = step.module
    if isinstance(module, nn.AdaptiveAvgPool2d):
        window = np.array(step.input_shape[1:]) // np.array(step.output_shape[1:])
        return [nir.AvgPool2d(window, window, np.zeros_like(window))]
    size = {
        "kernel_size": np.array(pair(module.kernel_size)),
        "stride": np.array(pair(module.stride)),
        "padding": np.array(pair(module.padding)),
    }
    if isinstance(module, nn.AvgPool2d):
        padded = bool(size["padding"].any()) and not module.count_include_pad
        if module.ceil_mode or padded or module.divisor_override:
            raise ExportError(
                f"{step.name} counts in its own way; accepted is average pooling "
                "without ceil_mode, with padding counted, divided by the window"
            )
        return [nir.AvgPool2d(**size)]
    if not spiking:
        raise ExportError(
            f"{step.name} takes the maximum of numbers that are no spikes; accepted is "
            "max pooling behind neurons"
        )
    if module.ceil_mode or pair(module.dilation) != (1, 1):
        raise ExportError(
            f"{step.name} pools with ceil_mode or dilation; accepted is neither"
        )
    return [nir.SumPool2d(**size), nir.Threshold(_full(step.output_shape, 0.5))]


def flatten_node(nir: Any, step: ModuleStep) -> Any:
    """Make the node of a flattening, of all axes of a sample."""
    return nir.Flatten({"input": np.array(step.input_shape)}, start_dim=0, end_dim=-1)


def _filled(shape: tuple[int, ...], known: dict[str, float]) -> dict[str, Any]:
    return {name: _full(shape, value) for name, value in known.items()}


def _full(shape: tuple[int, ...], value: float) -> npt.NDArray[np.float64]:
    return np.full(shape, value)
