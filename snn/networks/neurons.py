"""The spiking neuron of all networks of this package."""

from __future__ import annotations

from spikingjelly.activation_based import neuron, surrogate

THRESHOLD = 1.0
LEAK = 4.0 / 3.0


def lif() -> neuron.LIFNode:
    """Make leaky integrate-and-fire neurons, one for each element of their input.

    With input x and threshold 1, as in Kim et al. 2022 (arXiv:2207.01382) and Yin et
    al. 2024 (arXiv:2302.06746):

        v <- v + (x - v) / tau,  tau = 4/3;   spike if v >= 1, and then v <- 0.

    Gradients pass a spike by the derivative of an arctangent, and not its reset.
    """
    return neuron.LIFNode(
        tau=LEAK,
        decay_input=True,
        v_threshold=THRESHOLD,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode="m",
    )
