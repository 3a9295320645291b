"""A forward pass in plain NumPy from the nodes of a NIR graph, by their equations."""

from typing import Any

import numpy as np


def run(graph: Any, image: np.ndarray, timesteps: int, dt: float) -> dict[str, Any]:
    """Outputs [timesteps, ...] of every node, for an image that every step sees."""
    order = _sorted(graph)
    state: dict[str, np.ndarray] = {}
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in order}
    for _ in range(timesteps):
        for name in order:
            node = graph.nodes[name]
            given = [outputs[a][-1] for a, b in graph.edges if b == name]
            x = np.sum(given, axis=0) if given else image
            outputs[name].append(_step(name, node, x, state, dt))
    return {name: np.stack(values) for name, values in outputs.items()}


def _sorted(graph: Any) -> list[str]:
    left, order = dict(graph.nodes), []
    while left:
        ready = [
            n for n in left if not any(b == n and a in left for a, b in graph.edges)
        ]
        order += ready
        left = {name: node for name, node in left.items() if name not in ready}
    return order


def _step(name: str, node: Any, x: Any, state: dict[str, Any], dt: float) -> Any:
    kind = type(node).__name__
    if kind in ("Input", "Output"):
        return x
    if kind == "Linear":
        return node.weight.astype(float) @ x
    if kind == "Affine":
        return node.weight.astype(float) @ x + node.bias
    if kind in ("Conv1d", "Conv2d"):
        return _convolved(node, x)
    if kind == "Flatten":
        assert (node.start_dim, node.end_dim) == (0, -1)
        return x.reshape(-1)
    if kind == "Threshold":
        return (x > node.threshold).astype(float)
    if kind in ("SumPool2d", "AvgPool2d"):
        windows = _windows(x, node.kernel_size, node.stride, node.padding, (1, 1))
        total = windows.sum(axis=(-2, -1))
        return total / np.prod(node.kernel_size) if kind == "AvgPool2d" else total
    v = state.get(name, node.v_reset)
    if kind == "LIF":
        v = v + dt / node.tau * (node.v_leak - v + node.r * x)
    elif kind == "IF":
        v = v + dt * node.r * x
    else:
        raise AssertionError(f"no equation for {kind}")
    spikes = v > node.v_threshold
    state[name] = np.where(spikes, node.v_reset, v)
    return spikes.astype(float)


def _convolved(node: Any, x: np.ndarray) -> np.ndarray:
    weight = node.weight.astype(float)
    sizes = [np.atleast_1d(v) for v in (node.stride, node.padding, node.dilation)]
    line = weight.ndim == 3
    if line:  # an image of one row
        weight, x = weight[:, :, None], x[:, None]
        sizes = [
            np.concatenate([[rest], v])
            for rest, v in zip((1, 0, 1), sizes, strict=True)
        ]
    windows = _windows(x, weight.shape[2:], *sizes)
    made = np.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4)))
    made = made + node.bias[:, None, None]
    return made[:, 0] if line else made


def _windows(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    x = np.pad(x, ((0, 0), *((int(p), int(p)) for p in padding)))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(1, 2))
    (down, right), (below, beside) = stride, dilation
    return view[:, ::down, ::right, ::below, ::beside]
