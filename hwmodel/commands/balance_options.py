"""The options of `balance`, and what they come to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from balancer.defaults import DEFAULT_MAP, DEFAULT_PES
from hwmodel.commands.completers import accelerator_names, map_texts, offer
from hwmodel.commands.contract import UsageError, usage_errors
from hwmodel.commands.plot_option import add_plot
from hwmodel.commands.ticket_options import add_ticket_options
from hwmodel.defaults import DEFAULT_ACCELERATOR

if TYPE_CHECKING:
    from balancer import BalanceRequest, SearchLimits
    from hwmodel import Hardware


EXAMPLES = """\
examples:
  %(prog)s --layer-wise
      balance the ticket that comes with the package on 16 PEs
  %(prog)s net.safetensors --layer-wise --sparsity 0.98 --pes 32 --compare
      prune every layer to 98 %%, and show what other methods keep
  %(prog)s net.npz --global --map input_channel --out masks.npz
      share the non-zeros of all layers, for PEs that split the input channels
  %(prog)s net.safetensors --global --latency-budget 0.7 --frontier 10
      in 70 %% of the cycles that balanced layers take, and the curve around it
  %(prog)s net.safetensors --budgets lamp --sparsity 0.95
      95 %% of the whole network pruned, most where layers can do without
  %(prog)s net.npz --sparsity 0.9 --axes 'up*=iohw' --input-shape 3,32,32
      a network whose file says neither its transposed convolutions nor its sizes
  %(prog)s net.npz --sparsity 0.9 --map mine.yaml
      the PE array that formulas in mine.yaml describe
  %(prog)s net.pt --layer-wise --map 2:4 --skip 'features.0' --json
      two of four input channels everywhere but in the first layer, as JSON
"""


def add_options(
    parser: argparse.ArgumentParser, metavar: str = "TICKET", others: str = ""
) -> None:
    """Add the arguments and options that say what is balanced, and how.

    `others` says what else than a ticket may be given.
    """
    from balancer import map_kinds, solver_names
    from balancer.network.layer_counts import RULES

    parser.add_argument(
        "ticket",
        nargs="?",
        type=Path,
        metavar=metavar,
        help="weights and masks: .safetensors, .npz, the .safetensors.index.json of a "
        "checkpoint in shards, or a torch state dict (.pt, .pth)"
        f"{others}; default: the ticket that comes with the package",
    )
    maps = "; ".join(f"{kind.shown}, {kind.help}" for kind in map_kinds())
    array = parser.add_argument_group("accelerator")
    array.add_argument(
        "--pes",
        type=int,
        metavar="P",
        help=f"PEs (default: {DEFAULT_PES}, or the accelerator's)",
    )
    which = array.add_argument(
        "--map",
        metavar="MAP|YAML",
        help=f"which PE holds which weight: {maps}; or a YAML file with formulas of "
        "your own, as `group: out // 8` and `pe: out %% 8` (see "
        f"docs/own-accelerator.md; default: {DEFAULT_MAP}, or the accelerator's)",
    )
    offer(which, map_texts)
    preset = array.add_argument(
        "--accelerator",
        metavar="NAME|YAML",
        help="what cycles and energy are calculated for: a preset (see the command "
        "accelerators) or a description of your own (default: "
        f"{DEFAULT_ACCELERATOR}, with the map and the PEs asked for)",
    )
    offer(preset, accelerator_names)
    budget = parser.add_argument_group("what to keep")
    scope = budget.add_mutually_exclusive_group()
    scope.add_argument(
        "--layer-wise",
        dest="scope",
        action="store_const",
        const="layer",
        default="layer",
        help="every layer keeps its own number of non-zeros (default)",
    )
    scope.add_argument(
        "--global",
        dest="scope",
        action="store_const",
        const="global",
        help="all layers share one budget",
    )
    amount = budget.add_mutually_exclusive_group()
    amount.add_argument(
        "--sparsity",
        type=float,
        metavar="S",
        help="least fraction of weights to prune, in each layer or (with --global or "
        "--budgets) in all",
    )
    amount.add_argument(
        "--budget",
        type=int,
        metavar="K",
        help="most non-zeros, of each layer or with --global or --budgets of all "
        "together",
    )
    budget.add_argument(
        "--budgets",
        choices=RULES,
        help="with --layer-wise: how layers share the non-zeros of the network before "
        "each is solved by itself: global (rank all together), lamp (layer-adaptive "
        "scores), cycles (these per cycle on the accelerator), layer (one density), "
        "erk; none gets less than its smallest slice (default: each has its own)",
    )
    budget.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="what ranks the weights, instead of the ticket's NAME.score or the "
        "magnitudes: a file with an array NAME or NAME.score for each layer, in any "
        "format of a ticket",
    )
    budget.add_argument(
        "--latency-budget",
        type=float,
        metavar="F",
        help="with --global: most cycles on the accelerator; up to 1 a fraction of "
        "what the layer-wise masks take, above 1 in cycles",
    )
    budget.add_argument(
        "--energy-budget", type=float, metavar="F", help="the same for the energy"
    )
    budget.add_argument(
        "--frontier",
        type=int,
        metavar="N",
        help="with --global: also show N points of the magnitude that can be kept in "
        "so many cycles",
    )
    budget.add_argument(
        "--channel-floor",
        type=int,
        default=0,
        metavar="F",
        help="least weights that every output channel keeps (default: %(default)s)",
    )
    returning = budget.add_mutually_exclusive_group()
    returning.add_argument(
        "--nested",
        action="store_true",
        default=None,
        help="keep only weights of the ticket's masks: revive none",
    )
    returning.add_argument(
        "--revive",
        dest="nested",
        action="store_false",
        help="let all pruned weights return (default: only in layers that cannot keep "
        "their budget without them)",
    )
    budget.add_argument(
        "--allow-empty",
        action="store_true",
        help="let layers lose all their weights; otherwise a layer without room for a "
        "slice gets one, and the layers with most non-zeros pay for it",
    )
    budget.add_argument(
        "--layers", metavar="GLOB", help="balance only layers with such a name"
    )
    budget.add_argument(
        "--skip", metavar="GLOB", help="leave out layers with such names"
    )
    solving = parser.add_argument_group("solving")
    solving.add_argument(
        "--order",
        choices=("fixed", "sorted", "optimized"),
        default="fixed",
        help="which channel runs on which PE: the natural order, channels sorted by "
        "their non-zeros, or the order that keeps most (default: %(default)s)",
    )
    solving.add_argument(
        "--gap-limit",
        type=float,
        default=0.0,
        metavar="G",
        help="gap at which the search for an order may stop (default: %(default)s)",
    )
    solver = solving.add_argument(
        "--solver",
        default="auto",
        metavar="NAME",
        help="cp-sat (presolve, then OR-Tools), greedy, or binary (the literal "
        "program, for small layers); default: cp-sat",
    )
    offer(solver, lambda: ("auto", *solver_names()))
    solving.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="for the search in one program (default: 30, or none with --work-limit)",
    )
    solving.add_argument(
        "--work-limit",
        type=float,
        metavar="W",
        help="the same in OR-Tools' deterministic time, which repeats exactly on "
        "a machine however busy",
    )
    solving.add_argument(
        "--seed", type=int, default=0, metavar="N", help="default: %(default)s"
    )
    solving.add_argument(
        "--jobs",
        "--workers",
        dest="workers",
        type=int,
        metavar="N",
        help="layers solved side by side, with the same masks; each takes the memory "
        "of up to four copies of its weights (default: as many as there are "
        "processors, while together they are no larger than the largest layer)",
    )
    add_ticket_options(parser)
    more = parser.add_argument_group("testing")
    more.add_argument(
        "--evaluate",
        action="store_true",
        help="also test the network before and after, for tickets of the command "
        "lottery (needs torch); training comes after: see the command retrain",
    )
    more.add_argument(
        "--data-folder",
        type=Path,
        metavar="FOLDER",
        help="with --evaluate: where data sets that do not come with a library lie",
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the options of `balance` that say where its results go."""
    output = parser.add_argument_group("output")
    output.add_argument(
        "--compare",
        action="store_true",
        help="show beside each layer what other methods keep",
    )
    output.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder for masks.safetensors and report.json, or the mask file itself "
        "(.safetensors or .npz; the report goes beside it); "
        "default: a folder in runs/ named after ticket and settings",
    )
    output.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that was stopped, given the same options and --resume: "
        "layers that it had done are checked and not solved again",
    )
    add_plot(
        output,
        "the load of every PE before and after, or with --frontier its points",
    )
    output.add_argument(
        "--json", action="store_true", help="print one JSON document instead of tables"
    )


def array_of(args: argparse.Namespace) -> tuple[Hardware | None, tuple[str, int]]:
    """Settle PE map and PEs with the accelerator; None if no array has the map."""
    from balancer import BalanceRequest
    from balancer.maps.registry import settle_map
    from hwmodel import Hardware

    asked, pes = args.map, args.pes
    with usage_errors():
        if asked is not None:
            asked, pes = settle_map(asked, pes)
        if args.accelerator is None:
            array = (asked or DEFAULT_MAP, DEFAULT_PES if pes is None else pes)
            BalanceRequest(pe_map=array[0], pes=array[1])
            return Hardware.if_possible(DEFAULT_ACCELERATOR, *array), array
    hardware = Hardware.of(args.accelerator)
    for option, given, own in (
        ("map", asked, hardware.pe_map),
        ("pes", pes, hardware.pes),
    ):
        if given is not None and given != own:
            raise UsageError(
                f"--{option} is {given}, but {hardware.name} has {own}; leave one of "
                "them out"
            )
    return hardware, (hardware.pe_map, hardware.pes)


def request_of(args: argparse.Namespace, array: tuple[str, int]) -> BalanceRequest:
    """Collect what to keep; wrong options are refused before any file is touched."""
    from balancer import BalanceRequest

    pe_map, pes = array
    with usage_errors():
        return BalanceRequest(
            budget=args.budget,
            sparsity=args.sparsity,
            scope=args.scope,
            budgets=args.budgets,
            pe_map=pe_map,
            pes=pes,
            channel_floor=args.channel_floor,
            nested=args.nested,
            order=args.order,
            allow_empty=args.allow_empty,
            latency_budget=args.latency_budget,
            energy_budget=args.energy_budget,
        )


def limits_of(args: argparse.Namespace) -> SearchLimits:
    """Collect how far the search may go."""
    from balancer import SearchLimits

    with usage_errors():
        return SearchLimits(
            time_limit=args.time_limit,
            work_limit=args.work_limit,
            gap_limit=args.gap_limit,
            seed=args.seed,
            workers=args.workers,
        )


def check(args: argparse.Namespace, hardware: Hardware | None) -> None:
    """Refuse an unknown solver, numbers that are too small, and budgets of nothing."""
    from balancer.network.frontier import MOST_POINTS
    from balancer.solvers import get_solver

    with usage_errors():
        get_solver(args.solver)
    for name, least in (
        ("workers", 1),
        ("budget", 0),
        ("channel_floor", 0),
        ("frontier", 1),
    ):
        value = getattr(args, name)
        if value is not None and value < least:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is {value}; the least is {least}")
    if args.frontier is not None and args.frontier > MOST_POINTS:
        raise UsageError(f"--frontier is {args.frontier}; the most is {MOST_POINTS}")
    if args.data_folder is not None and not args.evaluate:
        raise UsageError("--data-folder goes with --evaluate")
    if args.budgets == "cycles" and hardware is None:
        raise UsageError(
            "--budgets cycles needs an accelerator, but none has this PE map; give "
            "another rule or --map"
        )
    costly = (args.latency_budget, args.energy_budget, args.frontier)
    if all(value is None for value in costly):
        return
    if args.scope != "global":
        raise UsageError(
            "--latency-budget, --energy-budget and --frontier share one budget among "
            "layers; they need --global"
        )
    if hardware is None:
        raise UsageError("no accelerator has this PE map, so cycles are not known")
