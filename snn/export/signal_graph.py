"""What a network does to one sample in one time step: modules, and who reads whom.

The axes of time and batch, and what only moves them, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from spikingjelly.activation_based import layer as spiking
from torch import fx, nn
from torch.nn.modules.dropout import _DropoutNd

from balancer.errors import ExportError
from snn.channels.trace import trace
from snn.export.sample_shapes import flattened_shape, output_shape

INPUT = "input"
"""Name of the source that stands for the images."""

_PASSING = (nn.Identity, _DropoutNd, spiking.Dropout, spiking.Dropout2d)
# Functions and methods that give a sample back as it is.
_SAME = {"contiguous", "float", "double", "to", "type", "detach", "clone", "expand"}
_SUMS = {"add", "add_", "iadd"}


class Signal(NamedTuple):
    """A value inside of a network.

    Attributes
    ----------
    sources : tuple of str
        Steps whose outputs it is the sum of.
    shape : tuple of int
        Of one sample in one time step.
    leading : int
        Axes in front of those.
    readout : str or None
        What was made of all time steps at the end: ``mean`` or ``sum``.
    """

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    leading: int = 1
    readout: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ModuleStep:
    """A module that runs once for a sample and time step.

    Attributes
    ----------
    name : str
        Of the module.
    module : Module
        As in the network.
    inputs : tuple of str
        Steps whose outputs it reads the sum of.
    input_shape, output_shape : tuple of int
        Of a sample.
    """

    name: str
    module: Any
    inputs: tuple[str, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SignalGraph:
    """A network as steps.

    Attributes
    ----------
    steps : tuple of ModuleStep
        In the order in which they run.
    output : Signal
        What the network returns.
    """

    steps: tuple[ModuleStep, ...]
    output: Signal

    def readers(self, name: str) -> list[str]:
        """Name the steps that read a step, ``output`` if the network returns it."""
        found = [step.name for step in self.steps if name in step.inputs]
        return found + ["output"] * (name in self.output.sources)


def signal_graph(network: nn.Module, input_shape: tuple[int, ...]) -> SignalGraph:
    """Follow a sample through a network, without running it.

    Parameters
    ----------
    network : Module
        Its control flow is that of evaluation; it stays as it is.
    input_shape : tuple of int
        Of an image, (channels, height, width), or of features.

    Raises
    ------
    ExportError
        A network that cannot be traced, or a step that is not understood.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        root, graph = trace(network, ())
    except Exception as error:  # whatever a network does with values it cannot have
        first = str(error).partition("\n")[0]
        raise ExportError(
            f"the network cannot be traced ({first}); accepted are networks whose "
            "forward does not depend on numbers in tensors"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    return _SignalWalk(root, tuple(input_shape)).run(graph)


class _SignalWalk:
    def __init__(self, root: nn.Module, input_shape: tuple[int, ...]) -> None:
        self._root = root
        self._start = input_shape
        self._signals: dict[fx.Node, Signal] = {}
        self._steps: dict[str, ModuleStep] = {}

    def run(self, graph: fx.Graph) -> SignalGraph:
        output = None
        for node in graph.nodes:
            inputs = [
                self._signals[one]
                for one in node.all_input_nodes
                if one in self._signals
            ]
            if node.op == "placeholder":
                self._signals[node] = Signal((INPUT,), self._start)
            elif node.op == "output":
                if len(inputs) != 1 or not isinstance(node.args[0], fx.Node):
                    raise ExportError(
                        f"the network returns {len(inputs)} tensors; one is accepted"
                    )
                output = inputs[0]
            elif inputs or node.op == "call_module":
                made = self._made(node, inputs)
                if made is not None:
                    self._signals[node] = made
        assert output is not None  # fx graphs have an output
        return SignalGraph(tuple(self._steps.values()), output)

    def _made(self, node: fx.Node, inputs: list[Signal]) -> Signal | None:
        name = getattr(node.target, "__name__", str(node.target))
        if node.target is getattr or name in ("size", "dim"):
            return None  # sizes, and what is made of them
        if any(one.readout for one in inputs):
            raise ExportError(f"{node} goes on behind the sum over the time steps")
        if node.op == "call_module":
            return self._module(str(node.target), inputs)
        added = [
            self._signals[one]
            for one in node.args
            if isinstance(one, fx.Node) and one in self._signals
        ]
        if name in _SUMS and len(added) == len(node.args) == 2:
            return _sum(node, *added)
        if len(inputs) == 1:
            known = _moved(node, name, inputs[0])
            if known is not None:
                return known
        raise ExportError(
            f"{name} ({node}) is not understood; accepted are modules of torch and "
            "spikingjelly, sums of two tensors, and what moves time and batch"
        )

    def _module(self, name: str, inputs: list[Signal]) -> Signal:
        module = self._root.get_submodule(name)
        if len(inputs) != 1:
            raise ExportError(f"{name} has {len(inputs)} inputs; one is accepted")
        (signal,) = inputs
        if isinstance(module, _PASSING):
            return signal
        if name in self._steps:
            raise ExportError(
                f"{name} runs more than once; accepted are networks that call every "
                "module once, with all time steps at once (step mode 'm') or none"
            )
        shape = output_shape(name, module, signal.shape, signal.leading)
        self._steps[name] = ModuleStep(
            name, module, signal.sources, signal.shape, shape
        )
        return signal._replace(sources=(name,), shape=shape)


def _sum(node: fx.Node, first: Signal, second: Signal) -> Signal:
    twice = set(first.sources) & set(second.sources)
    if first.shape != second.shape or twice:
        why = f"{sorted(twice)[0]} twice" if twice else f"{first.shape}, {second.shape}"
        raise ExportError(
            f"{node} adds {why}; accepted are sums of different tensors of one shape"
        )
    leading = max(first.leading, second.leading)
    return first._replace(sources=first.sources + second.sources, leading=leading)


def _moved(node: fx.Node, name: str, signal: Signal) -> Signal | None:
    """Follow what moves time and batch alone; None if it may do something else."""
    arguments = [one for one in node.args[1:] if isinstance(one, int)]
    rank, leading = len(signal.shape), signal.leading
    if name in _SAME:
        # Sizes that are known by number count the axes; ``*x.shape[k:]`` keeps them.
        counted = name == "expand" and len(arguments) == len(node.args) - 1
        return signal._replace(leading=len(arguments) - rank) if counted else signal
    if name == "repeat" and set(arguments[-rank:]) == {1}:
        return signal._replace(leading=len(arguments) - rank)
    if name == "unsqueeze" and arguments == [0]:
        return signal._replace(leading=leading + 1)
    if name == "unflatten" and arguments == [0]:
        return signal._replace(leading=2)
    if name == "flatten":
        start, end = (
            [*arguments, 0, -1][:2] if len(arguments) != 1 else [*arguments, -1]
        )
        if start == 0 and end in (-1 - rank, leading - 1):
            return signal._replace(leading=1)
        shape = flattened_shape(str(node), signal.shape, start - leading, end)
        return signal._replace(shape=shape)
    if name in ("mean", "sum") and arguments == [0] and leading > 1:
        return signal._replace(readout=name)
    return None
