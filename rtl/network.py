"""A whole network in the numbers of the array, layer after layer.

Convolutions, linear layers and neurons run on an *engine*: the reference in NumPy, or
the simulated array. Maximum pooling of spikes and the rounding of images lie between
them, in NumPy for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from balancer.array_types import AnyArray, IntArray
from hwmodel.sections import Barrier
from rtl.array_job import ArrayJob
from rtl.layer import FRACTION, QuantizedLayer
from rtl.reference import Spikes, reference_spikes, reference_sums


class SentOut(Protocol):
    """What a layer sends out for one sample, [steps, output channels, pixels]."""

    @property
    def spikes(self) -> Spikes:
        """Of the neurons."""

    @property
    def sums(self) -> IntArray:
        """That the neurons received, without biases."""


Engine = Callable[[Sequence[ArrayJob]], Sequence[SentOut]]
"""Runs jobs of one layer, a sample each."""


class Computed(NamedTuple):
    """A `SentOut` of the reference."""

    spikes: Spikes
    sums: IntArray


def reference_engine(jobs: Sequence[ArrayJob]) -> list[Computed]:
    """Compute jobs in NumPy."""
    results = []
    for job in jobs:
        sums = reference_sums(job.layer, job.inputs)
        spikes = reference_spikes(job.layer, sums, job.steps)
        every_step = (job.steps, *sums.shape[1:])
        results.append(Computed(spikes, np.broadcast_to(sums, every_step)))
    return results


@dataclass(frozen=True, slots=True, eq=False)
class NetworkStage:
    """A layer of a chain, and the pooling behind its neurons.

    Attributes
    ----------
    layer : QuantizedLayer
        The layer.
    pool : int
        Side and stride of the windows of maximum pooling; 1 for none.
    """

    layer: QuantizedLayer
    pool: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedNetwork:
    """A chain of layers; the last one classifies.

    Attributes
    ----------
    stages : tuple of NetworkStage
        In the order in which they run. The first layer sees an analog input.
    steps : int
        Time steps.
    """

    stages: tuple[NetworkStage, ...]
    steps: int


class NetworkRun(NamedTuple):
    """What a network did.

    Attributes
    ----------
    scores : ndarray of int64 [images, classes]
        Sums of the classifier over all time steps, with its biases.
    jobs, results : dict of str to list
        Of every layer, an entry for each image.
    """

    scores: IntArray
    jobs: dict[str, list[ArrayJob]]
    results: dict[str, Sequence[SentOut]]

    @property
    def classes(self) -> IntArray:
        """Class of each image: the highest score, of equal ones the first."""
        best: IntArray = self.scores.argmax(axis=1)
        return best


def run_network(
    network: QuantizedNetwork, images: AnyArray, engine: Engine, barrier: Barrier
) -> NetworkRun:
    """Run images through a network.

    Parameters
    ----------
    network : QuantizedNetwork
        The network.
    images : ndarray of int [images, channels, height, width]
        Codes of analog inputs (`rtl.layer.quantize_inputs`).
    engine : callable
        `reference_engine`, or one that simulates.
    barrier : str
        Of the array.
    """
    inputs: list[AnyArray] = [image[None] for image in images]
    all_jobs: dict[str, list[ArrayJob]] = {}
    all_results: dict[str, Sequence[SentOut]] = {}
    for stage in network.stages:
        layer = stage.layer
        jobs = [ArrayJob(layer, given, barrier, network.steps) for given in inputs]
        results = engine(jobs)
        all_jobs[layer.name], all_results[layer.name] = jobs, results
        inputs = [_passed_on(stage, result.spikes) for result in results]
    last = network.stages[-1].layer
    scores = np.stack([_scores(last, result.sums) for result in results])
    return NetworkRun(scores, all_jobs, all_results)


def _passed_on(stage: NetworkStage, spikes: Spikes) -> Spikes:
    """Pool the spikes of a layer, [steps, channels, height, width]."""
    height, width = stage.layer.shape.output_size
    maps = spikes.reshape(*spikes.shape[:2], height, width)
    side = stage.pool
    rows, columns = height // side, width // side
    windows = maps[:, :, : rows * side, : columns * side].reshape(
        *spikes.shape[:2], rows, side, columns, side
    )
    pooled: Spikes = windows.max(axis=(3, 5))
    return pooled


def _scores(layer: QuantizedLayer, sums: IntArray) -> IntArray:
    """Add up the potentials that classes get in all time steps, [classes]."""
    scores: IntArray = ((sums << FRACTION) + layer.bias[:, None]).sum(axis=(0, 2))
    return scores
