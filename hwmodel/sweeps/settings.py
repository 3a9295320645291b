"""The settings of one run of a sweep."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from balancer.errors import BalancerError
from hwmodel.accelerator import Accelerator
from hwmodel.defaults import DEFAULT_ACCELERATOR
from hwmodel.sections import NonNegative, Section, Whole, WholeOrZero

# What prunes a ticket without training it, and the orders of channels it can have.
METHODS: dict[str, tuple[str, ...]] = {
    "optimal": ("fixed", "sorted", "optimized"),
    "lth": ("fixed", "sorted"),
    "u-ticket": ("fixed",),
    "u-ticket-ceil": ("fixed",),
    "topk-per-pe": ("fixed",),
    "unchanged": ("fixed",),
}
# What a run with training knows; the rest are settings of balancing a file.
OF_TRAINING = frozenset(
    (
        *("pes", "map", "sparsity", "method", "order", "accelerator", "seed"),
        *("budgets", "allow_empty", "latency_budget"),
    )
)


class SweepError(BalancerError):
    """A sweep that cannot be run, or not any further."""


class PointSettings(Section):
    """What one run is; in a sweep every field may be a list.

    Attributes
    ----------
    ticket : str, optional
        File of weights and masks. Default: the ticket that comes with the package.
    pes, map : int, str, optional
        The array of PEs, as in `balance`. Default: the accelerator's own.
    sparsity : float, optional
        Fraction of the weights to prune, in each layer or (with `budgets` or the global
        scope) in the network. Default: as many non-zeros as the masks of the ticket
        have.
    method : str
        ``optimal`` (balanced, proven), ``lth``, ``u-ticket`` and ``u-ticket-ceil`` (by
        the rule of the paper, or rounding up), ``topk-per-pe`` (all in
        `balancer.baselines`), or ``unchanged``: the masks of the ticket in their order.
        With training any method of lottery runs.
    order : str
        Order of the channels: ``fixed``, ``sorted`` or ``optimized``.
    accelerator : str or Accelerator
        A preset, a YAML file, or a description.
    seed : int
        Of everything random.
    budgets, scope, latency_budget, energy_budget, channel_floor, nested, allow_empty
        As in `balancer.BalanceRequest`.
    layers, skip : str, optional
        Patterns of names: layers that take part, and that do not.
    axes, input_shape, geometry : str, optional
        What the file does not say, as in `balance`: ``"up.*=iohw hwio"``, several with
        spaces; ``"3,32,32"``; a YAML file.
    timesteps, spike_rate : int, float, optional
        Of the layers' inputs, as in `evaluate`. Default: what the ticket says.
    solver, gap_limit, work_limit, time_limit
        As in `balancer.SearchLimits`. The search for an order ends by its work and not
        by the clock, so that a run can be repeated.

    Examples
    --------
    >>> from hwmodel.sweeps.settings import PointSettings
    >>> PointSettings(pes=8, sparsity=0.9).method
    'optimal'
    """

    ticket: str | None = None
    pes: Whole | None = None
    map: str | None = None
    sparsity: NonNegative | None = None
    method: str = "optimal"
    order: str = "fixed"
    accelerator: str | Accelerator = DEFAULT_ACCELERATOR
    seed: WholeOrZero = 0
    budgets: str | None = None
    scope: str = "layer"
    latency_budget: Annotated[float, Field(gt=0)] | None = None
    energy_budget: Annotated[float, Field(gt=0)] | None = None
    channel_floor: WholeOrZero = 0
    nested: bool | None = None
    allow_empty: bool = False
    layers: str | None = None
    skip: str | None = None
    axes: str | None = None
    input_shape: str | None = None
    geometry: str | None = None
    timesteps: Whole | None = None
    spike_rate: NonNegative | None = None
    solver: str = "auto"
    gap_limit: NonNegative = 0.002
    work_limit: NonNegative | None = 2.0
    time_limit: NonNegative = 600.0

    @property
    def accelerator_name(self) -> str:
        """The accelerator as it was named."""
        given = self.accelerator
        return given if isinstance(given, str) else given.name

    @property
    def inputs(self) -> dict[str, Any]:
        """What is given of the layers' inputs, as the metadata of tickets say it."""
        given = {"timesteps": self.timesteps, "spike_rates": self.spike_rate}
        return {name: one for name, one in given.items() if one is not None}

    @property
    def needs_costs(self) -> bool:
        """Whether the masks depend on what the accelerator takes for them."""
        limited = self.latency_budget is not None or self.energy_budget is not None
        return limited or self.budgets == "cycles" or self.method == "latency"

    def check_method(self) -> None:
        """Refuse methods of no ticket, and orders that a method cannot have.

        Raises
        ------
        SweepError
            With what is accepted.
        """
        if self.method not in METHODS:
            raise SweepError(
                f"`method` is {self.method!r}; accepted for a ticket: "
                f"{', '.join(METHODS)}"
            )
        if self.order not in METHODS[self.method]:
            raise SweepError(
                f"`order` is {self.order!r} with method {self.method!r}, which has "
                f"{', '.join(METHODS[self.method])}; give the pairs that go together "
                "in [[grid]] tables of their own"
            )
        if self.method == "unchanged" and self.sparsity is not None:
            raise SweepError(
                f"`sparsity` is {self.sparsity:g} with method 'unchanged', which keeps "
                "the masks of the ticket; leave it out there"
            )
        if self.method != "optimal" and self.scope != "layer":
            raise SweepError(
                f"`scope` is {self.scope!r} with method {self.method!r}; the program "
                "of all layers is of method 'optimal', others share by `budgets`"
            )
