"""How much a weight matters: the scores that pruning ranks and programs maximize."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from balancer import BalancerError
from balancer.errors import naming
from balancer.program.validation import checked_scores
from snn.array_types import Masks, Scores
from snn.lottery.function_names import function_name
from snn.training.gradients import GradientMoments

Rates = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What is known of a network when a round of training is over: what scores see.

    Attributes
    ----------
    magnitudes : mapping of str to ndarray of float32 [shape of the weights]
        Last non-zero magnitude of every weight of every layer; not to be changed.
    rates : mapping of str to ndarray of float32 [time steps, input channels]
        Spikes per input; layers that see no spikes are missing.
    gradients : callable
        Measures the gradients of all weights, by one pass over the training images.
    """

    magnitudes: Scores
    rates: Rates
    gradients: Callable[[], Mapping[str, GradientMoments]]


class Score(Protocol):
    """What scores all weights, those of pruned ones too: any function of this kind."""

    def __call__(self, trained: Trained, /) -> Mapping[str, Any]:
        """Return an array for each layer, in the shape of its weights.

        Of finite numbers that are not negative.
        """


def magnitude(trained: Trained) -> Scores:
    """Rank by the last non-zero magnitude."""
    return trained.magnitudes


def gradient(trained: Trained) -> Scores:
    r"""Rank by root Fisher information, :math:`|w| \sqrt{E[g^2]}`.

    To second order, with the diagonal of the empirical Fisher matrix for the curvature,
    the loss grows by :math:`\tfrac12 w^2 E[g^2]` if the weight is removed (Fisher
    pruning, Theis et al., arXiv 1801.05787); its root ranks alike.
    """
    moments = trained.gradients()
    return {
        name: weights * moments[name].root_mean_square
        for name, weights in trained.magnitudes.items()
    }


def taylor(trained: Trained) -> Scores:
    r"""Rank by the first-order change of the loss, :math:`|w| E|g|`.

    After Molchanov et al. (arXiv 1906.10771), by weight and with magnitudes
    instead of squares.
    """
    moments = trained.gradients()
    return {
        name: weights * moments[name].mean
        for name, weights in trained.magnitudes.items()
    }


def rate(trained: Trained) -> Scores:
    """Rank by magnitude times the spike rate of the input: the mean current.

    The layer that sees the images has one input in every time step, a rate of 1.
    """
    return {
        name: weights * _of_weights(trained.rates.get(name), weights)
        for name, weights in trained.magnitudes.items()
    }


def _of_weights(
    rates: npt.NDArray[np.float32] | None, weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Spike rate of the input of every weight, to be broadcast to its shape."""
    if rates is None:
        return np.ones((1,) * weights.ndim, np.float32)
    mean = rates.mean(0, dtype=np.float64).astype(np.float32)
    outputs, inputs = weights.shape[:2]
    groups = len(mean) // inputs
    of_rows = np.repeat(mean.reshape(groups, inputs), outputs // groups, axis=0)
    return of_rows.reshape(outputs, inputs, *(1,) * (weights.ndim - 2))


def grown(
    scores: Scores, masks: Masks, gradients: Mapping[str, GradientMoments]
) -> Scores:
    r"""Score pruned weights by their gradients, as growth in RigL does.

    Evci et al. (arXiv 1911.11134) grow the pruned weights with the largest gradients.
    To stand beside the weights that are kept, a pruned one scores as the kept ones of
    its layer do on average, times its root mean square gradient relative to theirs:

    .. math:: s_i = \bar s \, \sqrt{E[g_i^2]} \,/\, \overline{\sqrt{E[g^2]}} .

    Parameters
    ----------
    scores : mapping of str to ndarray of float32 [shape of the weights]
        Of all weights; those of kept ones stay.
    masks : mapping of str to ndarray of bool [shape of the weights]
        Weights that are kept.
    gradients : mapping of str to GradientMoments
        Of all weights.

    Returns
    -------
    dict of str to ndarray of float32
        Layers that keep nothing, or whose kept weights have no gradient, as they were.
    """
    made: dict[str, npt.NDArray[np.float32]] = {}
    for name, score in scores.items():
        mask, sizes = masks[name], gradients[name].root_mean_square
        typical = float(sizes[mask].mean(dtype=np.float64)) if mask.any() else 0.0
        if not typical:
            made[name] = score
            continue
        mean = float(score[mask].mean(dtype=np.float64))
        made[name] = np.where(mask, score, mean / typical * sizes).astype(np.float32)
    return made


SCORES: dict[str, Score] = {
    "magnitude": magnitude,
    "gradient": gradient,
    "taylor": taylor,
    "rate": rate,
}


def get_score(name: str) -> Score:
    """Look up a score.

    Raises
    ------
    BalancerError
        An unknown name.
    """
    if name not in SCORES:
        raise BalancerError(f"`score` is {name!r}; accepted: {', '.join(SCORES)}")
    return SCORES[name]


def validated(score: Score) -> Score:
    """Hold a score of a user's own to what all of them promise.

    Parameters
    ----------
    score : callable
        Returns arrays or tensors of real numbers, by the names of the layers.

    Returns
    -------
    callable
        The same score, which raises `BalancerError` where names or shapes are not those
        of the layers, or numbers are negative or not finite (in float32).

    Examples
    --------
    >>> import numpy as np
    >>> from snn import Trained
    >>> from snn.lottery.saliency import validated
    >>> def doubled(trained):
    ...     return {name: 2 * array for name, array in trained.magnitudes.items()}
    >>> known = Trained({"a": np.ones((1, 2), np.float32)}, {}, dict)
    >>> validated(doubled)(known)["a"].tolist()
    [[2.0, 2.0]]
    """

    def checked(trained: Trained) -> Scores:
        about = f"`score` {function_name(score)}"
        return checked_layers(score(trained), trained.magnitudes, about)

    return checked


def checked_layers(made: Any, weights: Scores, about: str) -> Scores:
    """Return arrays of layers as scores of their weights, or refuse them.

    Raises
    ------
    BalancerError
        It says what it is about.
    """
    with naming(about):
        if not isinstance(made, Mapping):
            raise BalancerError(
                f"{type(made).__name__} is no mapping from the names of layers to "
                "arrays, which is needed"
            )
        if made.keys() != weights.keys():
            unknown = [str(name) for name in made if name not in weights]
            missing = [name for name in weights if name not in made]
            raise BalancerError(
                f"arrays of exactly {', '.join(weights)} are needed; missing: "
                f"{', '.join(missing) or 'none'}; unknown: "
                f"{', '.join(unknown) or 'none'}"
            )
        return {n: _checked_layer(n, made[n], one.shape) for n, one in weights.items()}


def _checked_layer(
    name: str, made: Any, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    if isinstance(made, torch.Tensor):
        made = made.detach().cpu().float().numpy()
    with naming(f"layer {name}"):
        array = np.asarray(made)
        if array.shape != shape:
            raise BalancerError(
                f"scores have shape {array.shape}; that of the weights, {shape}, is "
                "needed"
            )
        if array.dtype.kind in "fiub":
            with np.errstate(over="ignore", invalid="ignore"):
                array = array.astype(np.float32)
        return checked_scores(array, shape)
