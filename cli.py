"""Command line: every command parses, calls the packages, and prints."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # at run time, only the command that needs them loads them
    from rich.console import Console

    from balancer.results import LayerResult, NetworkSolution
    from balancer.ticket import Ticket

PROGRAM = "balanced-sparsity"
SETTINGS = (  # the options of `balance` that its result depends on
    *("scope", "pes", "map", "sparsity", "budget", "channel_floor", "nested"),
    *("layers", "skip", "solver", "time_limit", "work_limit", "seed"),
)
PIPE_WIDTH = 160  # columns of a table that no terminal limits
HELP_WIDTH = 78
WIDE_TABLE = 110  # columns that the full table of `balance` takes

BALANCE_EXAMPLES = """\
examples:
  %(prog)s --layer-wise
      balance the ticket that comes with the package on 16 PEs
  %(prog)s net.safetensors --layer-wise --sparsity 0.98 --pes 32 --compare
      prune every layer to 98 %%, and show what other methods keep
  %(prog)s net.npz --global --map input_channel --out masks.npz
      share the non-zeros of all layers, for PEs that split the input channels
  %(prog)s net.pt --layer-wise --map 2:4 --skip 'features.0' --json
      two of four input channels everywhere but in the first layer, as JSON
"""


class UsageError(Exception):
    """Options that do not go together, or values that are not accepted."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0, 1 (work failed) or 2 (bad usage)."""
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    try:
        args = _parser().parse_args(argv)
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return _fail("cancelled", 1)
    except UsageError as error:
        return _fail(str(error), 2)
    except (ValueError, OSError) as error:
        if debug:
            raise
        return _fail(str(error), 1)


def _fail(message: str, status: int) -> int:
    print(f"{PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Prune networks so that every processing element (PE) of a sparse "
        "accelerator gets exactly the same work.",
    )
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=_Parser
    )
    _add_balance(commands)
    return parser


def _add_balance(commands: Any) -> None:
    parser = commands.add_parser(
        "balance",
        help="make the masks of a network balanced, and prove how good they are",
        description=textwrap.fill(
            "Choose the weights to keep so that all PEs that wait for each other have "
            "equally many, at the largest possible magnitude. Scores are NAME.score "
            "where the ticket has them, else weight magnitudes; the budget of a layer "
            "is the number of non-zeros of its mask, unless --sparsity or --budget "
            "says otherwise.",
            HELP_WIDTH,
        ),
        epilog=BALANCE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=balance)
    parser.add_argument(
        "ticket",
        nargs="?",
        type=Path,
        metavar="TICKET",
        help="weights and masks: .safetensors, .npz, or a torch state dict (.pt, "
        ".pth); default: the ticket that comes with the package",
    )
    scope = parser.add_mutually_exclusive_group()
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
    array = parser.add_argument_group("accelerator")
    array.add_argument(
        "--pes", type=int, default=16, metavar="P", help="PEs (default: %(default)s)"
    )
    array.add_argument(
        "--map",
        default="output_channel",
        metavar="MAP",
        help="which PE holds which weight: output_channel (tiles of P output "
        "channels), input_channel (P blocks of input channels), interleaved (output "
        "channel c on PE c mod P), banked (P banks in a row), grid:RxC, or N:M such "
        "as 2:4 (default: %(default)s)",
    )
    budget = parser.add_argument_group("what to keep")
    amount = budget.add_mutually_exclusive_group()
    amount.add_argument(
        "--sparsity",
        type=float,
        metavar="S",
        help="least fraction of weights to prune, in each layer or (--global) in all",
    )
    amount.add_argument(
        "--budget",
        type=int,
        metavar="K",
        help="most non-zeros, of each layer or with --global of all together",
    )
    budget.add_argument(
        "--channel-floor",
        type=int,
        default=0,
        metavar="F",
        help="least weights that every output channel keeps (default: %(default)s)",
    )
    budget.add_argument(
        "--nested",
        action="store_true",
        help="keep only weights of the ticket's masks: revive none",
    )
    budget.add_argument(
        "--layers", metavar="GLOB", help="balance only layers with such a name"
    )
    budget.add_argument(
        "--skip", metavar="GLOB", help="leave out layers with such names"
    )
    solving = parser.add_argument_group("solving")
    solving.add_argument(
        "--solver",
        default="auto",
        metavar="NAME",
        help="cp-sat (presolve, then OR-Tools), greedy, or binary (the literal "
        "program, for small layers); default: cp-sat",
    )
    solving.add_argument(
        "--time-limit",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for the search in one program (default: %(default)s)",
    )
    solving.add_argument(
        "--work-limit",
        type=float,
        metavar="W",
        help="the same in OR-Tools' deterministic time, which repeats exactly",
    )
    solving.add_argument(
        "--seed", type=int, default=0, metavar="N", help="default: %(default)s"
    )
    solving.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="layers solved at the same time (default: as many as pay)",
    )
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
        "--json", action="store_true", help="print one JSON document instead of tables"
    )
    output.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )


def balance(args: argparse.Namespace) -> int:
    """Balance the layers of a ticket; write masks and report; print the table."""
    import json

    from balancer import BalancerError, PEMap, __version__, balance_network
    from balancer.atomic import replacing
    from balancer.problem import budget_of_sparsity
    from balancer.search import Search
    from balancer.solvers import get_solver
    from balancer.ticket import save_masks, shipped_ticket

    try:
        PEMap.parse(args.map, (1, 1), args.pes)
        get_solver(args.solver)
        Search(args.time_limit, args.work_limit, args.seed)
        if args.sparsity is not None:
            budget_of_sparsity(args.sparsity, 0)
    except BalancerError as error:
        raise UsageError(str(error)) from error
    for name, least in (("workers", 1), ("budget", 0), ("channel_floor", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is {value}; the least is {least}")

    source = args.ticket or shipped_ticket()
    ticket = _chosen_layers(_open_ticket(source), args.layers, args.skip)
    settings = {name: getattr(args, name) for name in SETTINGS}
    masks_path, report_path = _outputs(args.out, source, settings)
    with replacing(masks_path, report_path) as (masks_file, report_file):
        with _progress_bar(len(ticket.layers)) as advance:
            try:
                network = balance_network(
                    ticket,
                    budget=args.budget,
                    sparsity=args.sparsity,
                    scope=args.scope,
                    pe_map=args.map,
                    pes=args.pes,
                    channel_floor=args.channel_floor,
                    nested=args.nested,
                    solver=args.solver,
                    time_limit=args.time_limit,
                    work_limit=args.work_limit,
                    seed=args.seed,
                    workers=args.workers,
                    progress=advance,
                )
            except BalancerError as error:
                text = str(error)
                about = "" if str(source) in text else f"{source}: "
                raise type(error)(about + text) from error
        report = network.to_dict()
        if args.compare:
            _add_baselines(report, network, ticket, args)
        report["outputs"] = {"masks": str(masks_path), "report": str(report_path)}
        metadata = {"source": source.name, "version": __version__, **settings}
        save_masks(
            masks_file,
            {layer.name: layer.solution.mask for layer in network.layers},
            {layer.name: layer.solution.order for layer in network.layers},
            metadata,
        )
        report_file.write_text(json.dumps({**report, "settings": metadata}, indent=1))
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        _print_balance(report, source, args)
    if network.cancelled:
        return _fail(
            "cancelled: the masks are valid, but slice-greedy chose what was left", 1
        )
    return 0


def _open_ticket(path: Path) -> Ticket:
    from balancer.array_files import FORMATS
    from balancer.errors import TicketError
    from balancer.ticket import open_ticket
    from snn.torch_files import TORCH_SUFFIXES, open_torch_ticket

    if path.suffix.lower() in TORCH_SUFFIXES:
        return open_torch_ticket(path)
    if path.suffix.lower() not in FORMATS:
        accepted = ", ".join((*FORMATS, *TORCH_SUFFIXES))
        raise TicketError(f"{path}: unknown format; accepted: {accepted}")
    return open_ticket(path)


def _chosen_layers(ticket: Ticket, only: str | None, skip: str | None) -> Ticket:
    from dataclasses import replace
    from fnmatch import fnmatchcase

    names = [layer.name for layer in ticket.layers]
    for option, glob in (("--layers", only), ("--skip", skip)):
        if glob is not None and not any(fnmatchcase(name, glob) for name in names):
            raise UsageError(
                f"{option} {glob!r} matches no layer; the ticket has {', '.join(names)}"
            )
    layers = tuple(
        layer
        for layer in ticket.layers
        if (only is None or fnmatchcase(layer.name, only))
        and (skip is None or not fnmatchcase(layer.name, skip))
    )
    if not layers:
        raise UsageError("--layers and --skip leave no layer to balance")
    return replace(ticket, layers=layers)


def _outputs(
    out: Path | None, source: Path, settings: dict[str, Any]
) -> tuple[Path, Path]:
    """Where masks and report go."""
    import hashlib
    import json

    if out is not None and out.suffix.lower() in (".safetensors", ".npz"):
        return out, out.with_suffix(".json")
    if out is None:
        text = json.dumps([source.name, settings])
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        out = Path("runs") / f"balance-{source.stem}-{digest}"
    return out / "masks.safetensors", out / "report.json"


@contextmanager
def _progress_bar(total: int) -> Iterator[Callable[[LayerResult], None]]:
    """Yield what to call after each layer; without a terminal there is no bar."""
    if not sys.stderr.isatty():
        yield lambda result: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("balancing", total=total)

        def advance(result: LayerResult) -> None:
            progress.update(task, advance=1, description=result.name)

        yield advance


def _add_baselines(
    report: dict[str, Any],
    network: NetworkSolution,
    ticket: Ticket,
    args: argparse.Namespace,
) -> None:
    from balancer import PEMap
    from balancer.baselines import compare_baselines

    rows = zip(report["layers"], ticket.layers, network.layers, strict=True)
    for row, layer, result in rows:
        budget = result.solution.nonzeros + result.solution.remainder
        pe_map = PEMap.parse(args.map, layer.shape, args.pes)
        baselines = compare_baselines(layer.read().scores, pe_map, budget, args.seed)
        row["baselines"] = [baseline.to_dict() for baseline in baselines]
        row["slots"] = result.after.slots


def _print_balance(
    report: dict[str, Any], source: Path, args: argparse.Namespace
) -> None:
    from rich.table import Table

    console = _console()
    budgets = "each layer its own budget" if args.scope == "layer" else "one budget"
    console.print(
        f"{source.name}: {args.map} map, {args.pes} PEs, {budgets}",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, header_style="bold")
    cells: dict[str, Callable[[dict[str, Any]], str]] = {
        "layer": lambda row: row["name"],
        "shape": lambda row: "x".join(map(str, row.get("shape", ()))),
        "non-zeros": lambda row: f"{row['nonzeros_before']:,} → {row['nonzeros']:,}",
        "utilization": lambda row: (
            f"{row['utilization_before']:.3f} → {row['utilization']:.3f}"
        ),
        "kept": lambda row: f"{row['kept_fraction']:.4f}",
        "price": lambda row: f"{row['price_of_balance']:.2%}",
        "gap": lambda row: f"{row['gap']:.1e}" if row["gap"] else "0",
        "status": lambda row: row["status"],
        "solver": lambda row: row["solver"],
        "time": lambda row: f"{row['seconds'] * 1e3:.1f} ms",
    }
    if console.width < WIDE_TABLE:
        for name in ("shape", "price", "solver", "time"):
            del cells[name]
    for name in cells:
        left = name in ("layer", "shape")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for row in (*report["layers"], {"name": "network", **report["network"]}):
        table.add_row(*(text(row) for text in cells.values()))
    console.print(table)
    if args.compare:
        console.print("\nbeside other methods")
        console.print(_comparison(report))
    for note in _notes(report, args):
        console.print(note, highlight=False, soft_wrap=True)


def _comparison(report: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("layer", overflow="fold")
    table.add_column("method")
    for name in ("non-zeros", "kept", "utilization", "slots"):
        table.add_column(name, justify="right")
    for row in report["layers"]:
        ours = {**row, "method": f"balance ({row['solver']})"}
        for index, method in enumerate((*row["baselines"], ours)):
            table.add_row(
                "" if index else row["name"],
                method["method"],
                f"{method['nonzeros']:,}",
                f"{method['kept_fraction']:.4f}",
                f"{method['utilization']:.3f}",
                f"{method['slots']:,}",
                style="bold" if method is ours else None,
            )
    return table


def _notes(report: dict[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Say below the table what the numbers alone might hide."""
    network = report["network"]
    if network["remainder"]:
        yield (
            f"{network['remainder']} non-zeros of the budget are left over: "
            "no further slice, one weight for every PE, fits."
        )
    partial = [row for row in report["layers"] if row["occupancy"] < 1]
    if partial:
        shares = ", ".join(f"{r['name']} {r['occupancy']:.0%}" for r in partial)
        yield f"PEs that hold weights: {shares}; the others are idle by structure."
    if network["dead_channels"]:
        yield f"{network['dead_channels']} output channels keep no weight."
    if args.sparsity is None and args.budget is None and ":" not in args.map:
        dense = [
            row["name"]
            for row in report["layers"]
            if row["nonzeros_before"] == row["weights"]
        ]
        if dense:
            yield (
                f"Not pruned before, so nothing was pruned: {', '.join(dense)}; "
                "use --sparsity."
            )
    for row in report["layers"]:
        if row["fallback_reason"]:
            yield f"{row['name']}: answered by greedy: {row['fallback_reason']}."
    yield f"masks: {report['outputs']['masks']}"
    yield f"report: {report['outputs']['report']}"


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


if __name__ == "__main__":
    sys.exit(main())
