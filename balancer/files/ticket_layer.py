"""One layer of a ticket: its weights, mask and scores, loaded when asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancer.array_types import AnyArray, BoolArray
from balancer.errors import BalancerError, TicketError
from balancer.files.array_files import FRESH, ArrayFile
from balancer.files.axes import Axes
from balancer.files.given_scores import GivenScores
from balancer.files.layer_roles import ORDER_ROLES
from balancer.maps.schedule import Schedule
from balancer.program.validation import magnitudes


@dataclass(frozen=True, slots=True, eq=False)
class LayerArrays:
    """The arrays of one layer.

    Attributes
    ----------
    scores : ndarray of float
        Saliency in the shape of the weights.
    mask : ndarray of bool
        The weights that are not pruned so far.
    schedules : tuple of Schedule
        In which orders the PEs take the channels so far, at most one for each axis.
    has_mask : bool
        The mask says what was pruned; otherwise it only says where scores are zero.
    """

    scores: AnyArray
    mask: BoolArray
    schedules: tuple[Schedule, ...] = ()
    has_mask: bool = True

    def scheduled_mask(self) -> BoolArray:
        """Put the channels of the mask in the order in which the PEs take them."""
        mask = self.mask
        for schedule in self.schedules:
            mask = schedule.apply(mask)
        return mask

    def schedule_along(self, axis: int | None) -> Schedule | None:
        """Return the order of the channels of an axis; None if it is as it is."""
        for schedule in self.schedules:
            if schedule.axis == axis and not schedule.is_natural:
                return schedule
        return None


@dataclass(frozen=True, slots=True, repr=False)
class TicketLayer:
    """One layer of a ticket; its arrays are loaded when they are asked for.

    Attributes
    ----------
    name : str
        Name without the role, as ``features.3``.
    shape : tuple of int
        Shape of its weights, [out, in, kernel ...].
    roles : dict
        Which array of the file is its ``weight``, ``mask``, ``score``, ….
    file : ArrayFile
        Where they are.
    axes : Axes or None
        Their order in the file, where it is another.
    clash : str or None
        What is wrong with the shapes of its arrays.
    given : GivenScores or None
        What it is ranked by instead of its own scores.
    """

    name: str
    shape: tuple[int, ...]
    roles: dict[str, str]
    file: ArrayFile
    axes: Axes | None = None
    clash: str | None = None
    given: GivenScores | None = None

    @property
    def ranked_by(self) -> str:
        """What its scores are."""
        if self.given is not None:
            of_file = f"the scores of {self.given.source}"
            return of_file if self.given.paths else self.given.source
        return "NAME.score" if "score" in self.roles else "weight magnitudes"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of its weights as they stand in the file."""
        return self.shape if self.axes is None else self.axes.stored(self.shape)

    def read(self) -> LayerArrays:
        """Load scores, mask and order.

        Scores are those that were given, else ``NAME.score`` where present, else the
        magnitudes of the weights. A layer without a mask is pruned where its weight is
        zero.

        Raises
        ------
        TicketError
            Arrays that are missing, unreadable, or contradict each other.
        """
        weight = self.read_weight()
        if self.given is not None:
            scores = self._ours(self.given.read(self.name))
        elif "score" in self.roles:
            scores = self._array("score")
        elif weight is not None:
            scores = weight  # until it is known what is zero
        else:
            raise self._error("it has a mask, but neither weights nor scores")
        known = scores if self.given is None else None
        mask = self.read_mask(known if weight is None else weight)
        if scores is weight:
            scores = magnitudes(weight, in_place=isinstance(self.file, FRESH))
        if {"weight", "mask"} <= self.roles.keys() and weight is not None:
            alive = int(np.count_nonzero((weight != 0) > mask))
            if alive:
                raise self._error(
                    f"{alive} weights are not zero where the mask prunes them; set "
                    f"them to zero or store them as {self.name}.score"
                )
        return LayerArrays(scores, mask, self.read_schedules())

    def read_weight(self) -> AnyArray | None:
        """Load the weights as they are stored, in the shape of the layer.

        Returns
        -------
        ndarray or None
            None if the file holds no weights of the layer, but a mask or scores.

        Raises
        ------
        TicketError
            Arrays that are unreadable or contradict each other.
        """
        for role in ("weight", "unpruned"):
            if role in self.roles:
                return self._array(role)
        return None

    def read_mask(self, known: AnyArray | None = None) -> BoolArray:
        """Load the mask alone; without one, what is not zero is kept.

        `known` are the weights, or the scores of a layer without: without a mask they
        are not read again.

        Raises
        ------
        TicketError
            Arrays that are unreadable or contradict each other.
        """
        if "mask" in self.roles:
            return np.ascontiguousarray(self._mask())
        if known is None:
            weight = self.read_weight()
            known = self._array("score") if weight is None else weight
        return np.not_equal(known, 0)

    def read_schedules(self) -> tuple[Schedule, ...]:
        """Load the orders in which the PEs take the channels.

        Returns
        -------
        tuple of Schedule
            Those that the file holds: of the output channels, the input channels, both
            or none.

        Raises
        ------
        TicketError
            Numbers that are no permutation of the channels.
        """
        found = []
        for axis, role in enumerate(ORDER_ROLES):
            if role not in self.roles:
                continue
            order = self.file.read(self.roles[role])
            channels = self.shape[axis]
            try:
                schedule = Schedule(axis, order)
            except BalancerError as error:
                raise self._error(f"its {role}: {error}") from error
            if len(schedule.order) != channels:
                raise self._error(
                    f"its {role} is no permutation of {channels} channels"
                )
            found.append(schedule)
        return tuple(found)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{self.name}: {shape}, {', '.join(self.roles)}"

    def _error(self, text: str) -> TicketError:
        return TicketError(text, about=f"layer {self.name}")

    def _mask(self) -> BoolArray:
        mask = self._array("mask")
        if mask.dtype != np.bool_ and not np.isin(mask, (0, 1)).all():
            raise self._error(f"the mask holds {mask.dtype} values other than 0 and 1")
        return mask.astype(np.bool_, copy=False)

    def _array(self, role: str) -> AnyArray:
        if self.clash is not None:
            raise self._error(self.clash)
        return self._ours(self.file.read(self.roles[role]))

    def _ours(self, array: AnyArray) -> AnyArray:
        return array if self.axes is None else self.axes.ours(array)
