"""A ticket that is balanced as the options ask: for `balance`, and for `report`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.commands.asides import progress_bar
from hwmodel.commands.balance_options import array_of, check, limits_of, request_of
from hwmodel.commands.contract import usage_errors
from hwmodel.commands.safe_text import in_one_line
from hwmodel.commands.ticket_options import open_as_asked

if TYPE_CHECKING:
    from balancer import (
        AccuracyMeter,
        BalanceReport,
        BalanceRequest,
        LayerResult,
        SearchLimits,
        Ticket,
    )
    from hwmodel import Hardware

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AskedBalance:
    """A ticket, and how it is to be balanced.

    Attributes
    ----------
    args : Namespace
        The options.
    source : Path
        The ticket's file.
    ticket : Ticket
        What it holds.
    hardware : Hardware or None
        What cycles and energy are calculated for.
    array : tuple of str and int
        PE map and PEs.
    request : BalanceRequest
        What to keep.
    limits : SearchLimits
        How far the search may go.
    """

    args: argparse.Namespace
    source: Path
    ticket: Ticket
    hardware: Hardware | None
    array: tuple[str, int]
    request: BalanceRequest
    limits: SearchLimits

    @classmethod
    def of(cls, args: argparse.Namespace) -> AskedBalance:
        """Check the options, and open the ticket.

        Raises
        ------
        UsageError
            Options that do not go together.
        BalancerError
            A file that cannot be read.
        """
        from balancer import shipped_ticket
        from balancer.errors import naming

        hardware, array = array_of(args)
        check(args, hardware)
        request, limits = request_of(args, array), limits_of(args)
        source = args.ticket or shipped_ticket()
        with naming(source):
            ticket = open_as_asked(source, args)
        with usage_errors():
            number = len(ticket.select(args.layers, args.skip).layers)
        logger.info(
            "%s: %s layers, on %s (%s, %s PEs)",
            source,
            number,
            "no accelerator" if hardware is None else hardware.name,
            *array,
        )
        return cls(args, source, ticket, hardware, array, request, limits)

    def run(
        self,
        accuracy: AccuracyMeter | None,
        *,
        compare: bool = False,
        frontier: int | None = None,
        out: Path | None = None,
        resume: bool = False,
    ) -> BalanceReport:
        """Balance the ticket; parameters and errors are those of `balance_ticket`."""
        from balancer import balance_ticket
        from balancer.errors import naming
        from hwmodel.effective import count_effective

        chosen = self.ticket.select(self.args.layers, self.args.skip).layers
        sizes = {layer.name: prod(layer.shape) for layer in chosen}
        passes = 2 if self.request.scope == "global" else 1
        with naming(self.source), _following(sizes, passes) as (advance, ranking):
            return balance_ticket(
                self.ticket,
                self.request,
                self.hardware,
                limits=self.limits,
                solver=self.args.solver,
                layers=self.args.layers,
                skip=self.args.skip,
                scores=self.args.scores,
                compare=compare,
                frontier=frontier,
                accuracy=accuracy,
                effective=count_effective(self.ticket) if accuracy is None else None,
                progress=advance,
                ranking=ranking,
                out=out,
                resume=resume,
            )

    def sharing(self) -> AskedBalance:
        """Return the same with one budget for all layers."""
        return replace(
            self, request=replace(self.request, scope="global", budgets=None)
        )


@contextmanager
def _following(
    sizes: dict[str, int], passes: int
) -> Iterator[tuple[Callable[[LayerResult], None], Callable[[str], None]]]:
    """Yield what to call after each layer, solved or ranked: both move a bar.

    The bar goes by weights, of which `sizes` says how many each layer has, and which
    are looked at in so many passes: so the time that is left can be told.
    """
    with progress_bar() as bar:
        task = bar.add_task("balancing", total=passes * sum(sizes.values()))
        solved: set[str] = set()

        def move(name: str) -> None:
            bar.update(task, advance=sizes[name], description=in_one_line(name))

        def advance(result: LayerResult) -> None:
            if result.name not in solved:  # some layers are solved a second time
                move(result.name)
            solved.add(result.name)
            one = result.solution
            logger.info(
                "%s: %s by %s in %.1f ms, gap %.2g%s",
                result.name,
                one.status,
                one.solver,
                one.seconds * 1e3,
                one.gap,
                "" if one.fallback_reason is None else f" ({one.fallback_reason})",
            )

        yield advance, move
