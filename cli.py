"""Command line: every command parses, calls the packages, and prints."""

from __future__ import annotations

import argparse
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # at run time, only the command that needs them loads them
    from rich.console import Console

    from balancer.files.ticket import Ticket
    from balancer.network.budgets import LayerCost
    from balancer.network.network_solution import LayerResult, NetworkSolution
    from balancer.tables import TextTable
    from hwmodel import Accelerator, Comparison, LayerReport, Report
    from hwmodel.network import Network
    from snn.lottery.compare import Progress
    from snn.lottery.config import LotteryConfig
    from snn.lottery.results import RoundOutcome
    from snn.lottery.watcher import Watcher
    from snn.training.trainer import EpochReport

PROGRAM = "balanced-sparsity"
SETTINGS = (  # the options of `balance` that its result depends on
    *("scope", "pes", "map", "sparsity", "budget", "latency_budget", "energy_budget"),
    *("channel_floor", "nested", "order", "gap_limit"),
    *("layers", "skip", "solver", "time_limit", "work_limit", "seed", "accelerator"),
)
# How far the search goes that only says what another order would keep.
QUICK_GAP, QUICK_SECONDS = 0.02, 1.0
PIPE_WIDTH = 160  # columns of a table that no terminal limits
# Skips zero weights only, so its cycles are exact without knowing any spike.
DEFAULT_ACCELERATOR = "u-ticket"
HELP_WIDTH = 78
DEFAULT_SEEDS = 3  # of each method that `lottery` compares
SHOWN_SPARSITIES = (0.9, 0.95, 0.982)  # of the rounds that a comparison shows
WIDE_TABLE = 128  # columns that the full table of `balance` takes

BALANCE_EXAMPLES = """\
examples:
  %(prog)s --layer-wise
      balance the ticket that comes with the package on 16 PEs
  %(prog)s net.safetensors --layer-wise --sparsity 0.98 --pes 32 --compare
      prune every layer to 98 %%, and show what other methods keep
  %(prog)s net.npz --global --map input_channel --out masks.npz
      share the non-zeros of all layers, for PEs that split the input channels
  %(prog)s net.safetensors --global --latency-budget 0.7 --frontier 10
      in 70 %% of the cycles that balanced layers take, and the curve around it
  %(prog)s net.pt --layer-wise --map 2:4 --skip 'features.0' --json
      two of four input channels everywhere but in the first layer, as JSON
"""

EVALUATE_EXAMPLES = """\
examples:
  %(prog)s --accelerator sata
      what the shipped ticket costs on SATA
  %(prog)s before.safetensors --compare runs/x/masks.safetensors --spike-rate 0.15
      two masks of one network, for inputs that spike in 15 %% of the time steps
  %(prog)s net.npz --spikes spikes.npz --accelerator loas --accelerator my.yaml --csv
      recorded spikes on two accelerators, as CSV
"""


LOTTERY_EXAMPLES = """\
examples:
  %(prog)s
      digits on two cores in a few minutes: 12 rounds to 96.8 %% sparsity
  %(prog)s --dataset digits --network conv3 --rounds 14 --method optimal --resume
      go on with a run that was stopped, or look at one that is finished
  %(prog)s --config experiments/digits.toml --compare lth,u-ticket,optimal-order \\
          --seeds 5 --jobs 2
      several methods with the same seeds, in two processes, with mean and deviation
  torchrun --nproc-per-node 4 cli.py lottery --network vgg16 --dataset cifar10 \\
          --data-folder data --augment
      the same on four GPUs
"""


class UsageError(Exception):
    """Options that do not go together, or values that are not accepted."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take one line.

    `fill` adds options that take a library to know; it is called when they are needed.
    """

    fill: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0, 1 (work failed) or 2 (bad usage)."""
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    warnings.showwarning = lambda message, *_: _warn(str(message))
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


def _warn(message: str) -> None:
    print(f"{PROGRAM}: warning: {' '.join(message.split())}", file=sys.stderr)


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
    _add_evaluate(commands)
    _add_accelerators(commands)
    _add_lottery(commands)
    return parser


def _command(
    commands: Any,
    run: Callable[[argparse.Namespace], int],
    help_: str,
    description: str,
    examples: str | None = None,
) -> _Parser:
    """Add the command that a function runs, under its name."""
    parser: _Parser = commands.add_parser(
        run.__name__,
        help=help_,
        description=textwrap.fill(description, HELP_WIDTH),
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_balance(commands: Any) -> None:
    parser = _command(
        commands,
        balance,
        "make the masks of a network balanced, and prove how good they are",
        "Choose the weights to keep so that all PEs that wait for each other have "
        "equally many, at the largest possible magnitude. Scores are NAME.score "
        "where the ticket has them, else weight magnitudes; the budget of a layer "
        "is the number of non-zeros of its mask, unless --sparsity or --budget "
        "says otherwise.",
        BALANCE_EXAMPLES,
    )
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
        "--pes", type=int, metavar="P", help="PEs (default: 16, or the accelerator's)"
    )
    array.add_argument(
        "--map",
        metavar="MAP",
        help="which PE holds which weight: output_channel (tiles of P output "
        "channels), input_channel (P blocks of input channels), interleaved (output "
        "channel c on PE c mod P), banked (P banks in a row), grid:RxC, or N:M such "
        "as 2:4 (default: output_channel, or the accelerator's)",
    )
    array.add_argument(
        "--accelerator",
        metavar="NAME|YAML",
        help="what cycles and energy are calculated for: a preset (see the command "
        "accelerators) or a description of your own (default: "
        f"{DEFAULT_ACCELERATOR}, with the map and the PEs asked for)",
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


def _add_evaluate(commands: Any) -> None:
    parser = _command(
        commands,
        evaluate,
        "cycles and energy of masks and spikes on an accelerator",
        "Calculate what the masks of a ticket cost on a described array of PEs: "
        "cycles of the slowest PE, waiting, energy. Input sizes come from the "
        "ticket's list of layers, or its architecture and input_shape, where it has "
        "them. Without spikes or rates every input counts as a spike.",
        EVALUATE_EXAMPLES,
    )
    parser.add_argument(
        "ticket",
        nargs="?",
        type=Path,
        metavar="TICKET",
        help="weights or masks: .safetensors, .npz, .pt, .pth; default: the ticket "
        "that comes with the package",
    )
    parser.add_argument(
        "--accelerator",
        action="append",
        metavar="NAME|YAML",
        help="a preset (see the command accelerators) or a description of your own; "
        f"several are compared (default: {DEFAULT_ACCELERATOR})",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OTHER",
        help="masks of the same network to put beside those of TICKET",
    )
    spikes = parser.add_argument_group("input of the layers")
    known = spikes.add_mutually_exclusive_group()
    known.add_argument(
        "--spikes",
        type=Path,
        metavar="FILE",
        help="recorded spikes of the layers' inputs (.npz, bit-packed)",
    )
    known.add_argument(
        "--spike-rate",
        type=float,
        metavar="R",
        help="probability of a spike at each input and time step; results are bounds "
        "or expectations (default: the ticket's spike_rates, if any)",
    )
    spikes.add_argument(
        "--timesteps", type=int, metavar="T", help="default: those of spikes or ticket"
    )
    spikes.add_argument(
        "--spiking-input",
        action="store_true",
        help="the first layer, too, gets spikes (default: analog input, as MACs)",
    )
    output = parser.add_argument_group("output")
    written = output.add_mutually_exclusive_group()
    written.add_argument("--json", action="store_true", help="print one JSON document")
    written.add_argument("--csv", action="store_true", help="print one row a layer")
    output.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )


def _add_accelerators(commands: Any) -> None:
    parser = _command(
        commands,
        accelerators,
        "list the accelerators that come with the package, or print one",
        "List the presets, or print one as YAML to copy and edit.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )


def _add_lottery(commands: Any) -> None:
    parser = _command(
        commands,
        lottery,
        "train a spiking network, prune it round by round, balanced",
        "Run lottery-ticket rounds: train, prune by the integer program, rewind, "
        "train again. Every round leaves a ticket in the run folder, which is "
        "named after its configuration. The test images choose nothing.",
        LOTTERY_EXAMPLES,
    )
    parser.usage = "%(prog)s [options]"  # all of them would fill a screen
    parser.fill = _fill_lottery


def _fill_lottery(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lottery`: one for each field of its configuration."""
    from snn.lottery.config import LotteryConfig
    from snn.training.config import TrainingConfig

    parser.add_argument(
        "--config",
        type=Path,
        metavar="TOML",
        help="file of the settings below (train_size = 3000); options go before it",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped"
    )
    again.add_argument(
        "--restart", action="store_true", help="throw away what is there of the run"
    )
    compare = parser.add_argument_group("several runs")
    compare.add_argument(
        "--compare",
        metavar="M,M,…",
        help="run these methods with the same seeds; the first is what the others are "
        "compared with",
    )
    compare.add_argument(
        "--seeds", type=int, metavar="N", help="so many seeds of each (default: 3)"
    )
    compare.add_argument(
        "--jobs", type=int, metavar="N", help="runs at the same time (default: 1)"
    )
    compare.add_argument(
        "--plot", type=Path, metavar="FILE", help="where the curves go (.svg, .png)"
    )
    groups = {
        True: parser.add_argument_group("training"),
        False: parser.add_argument_group("rounds, network and data"),
    }
    for name, field in LotteryConfig.model_fields.items():
        option = "--" + name.replace("_", "-")
        text = (field.description or "").replace("%", "%%")
        group = groups[name in TrainingConfig.model_fields]
        known: dict[str, Any] = {"dest": f"field_{name}"}
        if field.annotation is bool:
            group.add_argument(
                option, action=argparse.BooleanOptionalAction, help=text, **known
            )
            continue
        if field.default is not None:
            text += f" (default: {field.default})"
        group.add_argument(option, metavar=name.upper(), help=text, **known)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="folder of the run folders (default: %(default)s)",
    )
    output.add_argument("--json", action="store_true", help="print one JSON document")
    output.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )


def balance(args: argparse.Namespace) -> int:
    """Balance the layers of a ticket; write masks and report; print the table."""
    import json

    from balancer import __version__, balance_network
    from balancer.files.atomic import replacing
    from balancer.files.ticket import save_masks, shipped_ticket

    accelerator = _array_of(args)
    _check_balance(args)
    source = args.ticket or shipped_ticket()
    whole = _open_ticket(source)
    ticket = _chosen_layers(whole, args.layers, args.skip)
    settings = {name: getattr(args, name) for name in SETTINGS}
    costs = _slice_costs(whole, ticket, accelerator) if _limits_cost(args) else None
    masks_path, report_path = _outputs(args.out, source, settings)
    with replacing(masks_path, report_path) as (masks_file, report_file):
        with _progress_bar(len(ticket.layers)) as advance, _naming_file(source):
            network = balance_network(
                ticket,
                **_program(args),
                scope=args.scope,
                latency_budget=args.latency_budget,
                energy_budget=args.energy_budget,
                costs=costs,
                order=args.order,
                gap_limit=args.gap_limit,
                solver=args.solver,
                time_limit=args.time_limit,
                work_limit=args.work_limit,
                workers=args.workers,
                progress=advance,
            )
            frontier = _frontier(ticket, costs or {}, args) if args.frontier else None
            report = network.to_dict()
            if args.order == "fixed" and args.scope == "layer":
                report["network"]["kept_if_reordered"] = _if_reordered(ticket, args)
        if frontier is not None:
            report["frontier"] = frontier
        masks = {layer.name: layer.solution.mask for layer in network.layers}
        orders, input_orders = _orders(network, args)
        scheduled = _with_inputs_in_order(masks, input_orders, axis=1)
        _add_hardware(report, whole, scheduled, orders, accelerator)
        if args.compare:
            _add_baselines(report, network, ticket, args)
        report["outputs"] = {"masks": str(masks_path), "report": str(report_path)}
        metadata = {"source": source.name, "version": __version__, **settings}
        metadata_of_masks = {**metadata, "ticket": _about(whole)}
        save_masks(masks_file, masks, orders, metadata_of_masks, input_orders)
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


def evaluate(args: argparse.Namespace) -> int:
    """Evaluate a ticket on accelerators; print a table, JSON or CSV."""
    from balancer.files.ticket import shipped_ticket
    from hwmodel import Accelerator, Comparison, load_spikes
    from hwmodel import evaluate as evaluate_network
    from hwmodel.tables import comparison_table, report_notes, report_table

    names = args.accelerator or [DEFAULT_ACCELERATOR]
    if args.compare is not None and len(names) > 1:
        raise UsageError(
            "--compare takes one --accelerator; several are compared alone"
        )
    described = [Accelerator.load(name) for name in names]
    spikes = load_spikes(args.spikes) if args.spikes else None
    source = args.ticket or shipped_ticket()
    reports, labels, notes = [], [], []
    for path in [source, *([args.compare] if args.compare else [])]:
        with _naming_file(path):
            network = _network(_open_ticket(path), args, spikes)
            for accelerator in described:
                reports.append(evaluate_network(network.workloads, accelerator))
                labels.append(path.name if args.compare else accelerator.name)
        if network.assumption:
            notes.append(f"{path.name}: {network.assumption}.")
    result: Report | Comparison = reports[0]
    if len(reports) > 1:
        result = Comparison(tuple(labels), tuple(reports))
    if args.json:
        print(result.to_json())
    elif args.csv:
        print(result.to_csv(), end="")
    elif isinstance(result, Comparison):
        _show(comparison_table(result))
    else:
        _show(report_table(result))
        notes = [*report_notes(result), *notes]
    if not (args.json or args.csv):
        for note in notes:
            _say(note)
    return 0


def accelerators(args: argparse.Namespace) -> int:
    """List the presets, or print one."""
    import json

    from balancer.tables import TextTable
    from hwmodel import Accelerator

    if args.name is not None:
        one = Accelerator.load(args.name)
        print(one.model_dump_json(indent=1) if args.json else one.to_yaml(), end="")
        return 0
    presets = [Accelerator.load(name) for name in Accelerator.names()]
    if args.json:
        print(json.dumps({one.name: one.description for one in presets}, indent=1))
        return 0
    rows = [(one.name, one.description) for one in presets]
    _show(TextTable(("name", "description"), rows, ("name", "description")))
    return 0


def lottery(args: argparse.Namespace) -> int:
    """Run lottery rounds, of one method or of several."""
    import json

    if args.compare is None:
        for option in ("seeds", "jobs", "plot"):
            if getattr(args, option) is not None:
                raise UsageError(f"--{option} goes with --compare")
    config = _lottery_config(args)
    run_lottery, closing_lines = _lottery_functions()
    if args.compare is not None:
        return _compare_methods(config, args)
    from snn.training.distributed import Processes

    with Processes.start() as processes, _following(config, args) as watcher:
        result = run_lottery(
            config,
            root=args.out,
            resume=args.resume,
            restart=args.restart,
            processes=processes,
            watcher=watcher,
        )
        if not processes.is_main:
            return 0
    if args.json:
        document = {
            "config": config.model_dump(mode="json"),
            "folder": str(result.folder),
            "rounds": [outcome.to_dict() for outcome in result.outcomes],
            "ticket": str(result.ticket()),
        }
        print(json.dumps(document, indent=1))
        return 0
    for line in closing_lines(result.dense, result.last):
        _say(line)
    _say(f"ticket: {result.ticket()}")
    return 0


def _compare_methods(config: LotteryConfig, args: argparse.Namespace) -> int:
    """Run several methods with the same seeds; print and write what they differ in."""
    import json

    from balancer.files.atomic import replacing
    from snn.lottery.compare import compare_methods
    from snn.lottery.plots import FORMATS, plot_comparison
    from snn.lottery.statistics import nearest_rounds, report
    from snn.lottery.tables import comparison_markdown, comparison_notes, sections

    if args.restart:
        raise UsageError("--compare goes on with its runs; delete those to begin again")
    if args.plot is not None and args.plot.suffix not in FORMATS:
        raise UsageError(f"--plot is {args.plot}; accepted: {', '.join(FORMATS)}")
    for option in ("seeds", "jobs"):
        given = getattr(args, option)
        if given is not None and given < 1:
            raise UsageError(f"--{option} is {given}; the least is 1")
    methods = [name.strip() for name in args.compare.split(",")]
    seeds = range(config.seed, config.seed + (args.seeds or DEFAULT_SEEDS))
    comparison = compare_methods(
        config,
        methods,
        seeds,
        root=args.out,
        jobs=args.jobs or 1,
        progress=_say_progress,
    )
    folder = args.out / f"compare-{config.digest(','.join(methods) + str(seeds))}"
    plot = args.plot or folder / "comparison.svg"
    files = [*(folder / f"comparison.{kind}" for kind in ("json", "csv", "md")), plot]
    document = {**comparison.to_dict(), **report(comparison)}
    document["outputs"] = [str(file) for file in files]
    shown = (*SHOWN_SPARSITIES, config.schedule_of_sparsity[-1])
    rounds = nearest_rounds(comparison, shown)
    with replacing(*files) as (json_file, csv_file, text_file, plot_file):
        json_file.write_text(json.dumps(document, indent=1) + "\n")
        csv_file.write_text(comparison.to_csv())
        text_file.write_text(comparison_markdown(comparison, rounds, plot.name))
        plot_comparison(comparison, plot_file)
    if args.json:
        print(json.dumps(document, indent=1))
        return 1 if comparison.failures else 0
    for title, table in sections(comparison, rounds):
        _say(title)
        _show(table)
        _say("")
    for note in comparison_notes(comparison):
        _say(note)
    for file in files:
        _say(f"written: {file}")
    return 1 if comparison.failures else 0


def _say_progress(progress: Progress) -> None:
    """Say on stderr which run is over, and how long the others take."""
    left = progress.seconds_left
    said = f"; about {left / 60:.0f} min left" if left else ""
    one = progress.ended
    print(
        f"{progress.done}/{progress.total}: {one.method}, seed {one.seed}{said}",
        file=sys.stderr,
    )


def _lottery_config(args: argparse.Namespace) -> LotteryConfig:
    """Read file and options; what an option says goes before the file."""
    from snn.lottery.config import ConfigError, LotteryConfig, read_toml

    values: dict[str, Any] = {} if args.config is None else read_toml(args.config)
    for name, field in LotteryConfig.model_fields.items():
        given = getattr(args, f"field_{name}")
        if given is not None and "tuple" in str(field.annotation):
            given = tuple(given.split(","))
        if given is not None:
            values[name] = given
    try:
        return LotteryConfig.of(values)
    except ConfigError as error:
        where = "" if args.config is None else f"{args.config}: "
        raise UsageError(f"{where}{error}") from error


def _lottery_functions() -> tuple[Any, Any]:
    """Load what needs torch, or say how to get it."""
    import logging

    # On machines without a GPU torch says twice that Triton is not there.
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    try:
        from snn.lottery.round_table import closing_lines
        from snn.lottery.run import run_lottery
    except ImportError as error:
        raise UsageError(
            f"training needs torch and spikingjelly ({error}); install them with "
            "python -m pip install -e '.[snn]'"
        ) from error
    return run_lottery, closing_lines


@contextmanager
def _following(config: LotteryConfig, args: argparse.Namespace) -> Iterator[Watcher]:
    """Yield what prints the rounds, below a progress bar where there is a terminal."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    from snn.lottery.round_table import header_line, round_line
    from snn.lottery.watcher import Watcher

    rounds = len(config.schedule_of_sparsity) - 1
    later = config.epochs - config.rewind_epoch
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(
        *columns,
        TextColumn("{task.fields[accuracy]}"),
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # rows go above the bar, or to a file
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=config.epochs + rounds * later, accuracy="")

    class Printing(Watcher):
        def begin(self, folder: Path, config: LotteryConfig) -> None:
            if not args.json:
                _say(f"{folder}: {config.method}, seed {config.seed}")
                _say(header_line())

        def epoch(self, number: int, report: EpochReport) -> None:
            said = f"epoch {report.epoch}: {report.accuracy:.1%}"
            done = (number > 0) * (config.epochs + (number - 1) * later)
            first = config.rewind_epoch if number else 0
            bar.update(
                task,
                completed=done + report.epoch - first,
                description=f"round {number} of {rounds}",
                accuracy=said,
            )

        def round(self, outcome: RoundOutcome) -> None:
            if not args.json:
                _say(round_line(outcome))

    with bar:
        yield Printing()


def _array_of(args: argparse.Namespace) -> Accelerator | None:
    """Settle PE map and PEs with the accelerator; None if it cannot have the map."""
    from hwmodel import Accelerator, AcceleratorError

    if args.accelerator is not None:
        accelerator = Accelerator.load(args.accelerator)
        spec, pes = accelerator.array.map_spec
        for option, given, own in (("map", args.map, spec), ("pes", args.pes, pes)):
            if given is not None and given != own:
                raise UsageError(
                    f"--{option} is {given}, but {accelerator.name} has {own}; leave "
                    "one of them out"
                )
        args.map, args.pes = spec, pes
        return accelerator
    args.map = args.map or "output_channel"
    args.pes = 16 if args.pes is None else args.pes
    try:
        return Accelerator.load(DEFAULT_ACCELERATOR).on_map(args.map, args.pes)
    except AcceleratorError:
        return None


def _check_balance(args: argparse.Namespace) -> None:
    """Refuse wrong options before any file is touched."""
    from balancer import BalancerError, PEMap
    from balancer.program.problem import budget_of_sparsity
    from balancer.solvers import get_solver
    from balancer.solvers.limits import Search

    try:
        PEMap.parse(args.map, (1, 1), args.pes)
        get_solver(args.solver)
        Search(args.time_limit, args.work_limit, args.seed, gap_limit=args.gap_limit)
        if args.sparsity is not None:
            budget_of_sparsity(args.sparsity, 0)
    except BalancerError as error:
        raise UsageError(str(error)) from error
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
    if _limits_cost(args) and args.scope != "global":
        raise UsageError(
            "--latency-budget, --energy-budget and --frontier share one budget among "
            "layers; they need --global"
        )


def _program(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters that all programs of one `balance` share."""
    return {
        "budget": args.budget,
        "sparsity": args.sparsity,
        "pe_map": args.map,
        "pes": args.pes,
        "channel_floor": args.channel_floor,
        "nested": args.nested,
        "seed": args.seed,
    }


def _limits_cost(args: argparse.Namespace) -> bool:
    return any(
        value is not None
        for value in (args.latency_budget, args.energy_budget, args.frontier)
    )


def _slice_costs(
    whole: Ticket, chosen: Ticket, accelerator: Accelerator | None
) -> dict[str, LayerCost]:
    """Say what a slice of each layer costs on the accelerator."""
    from hwmodel import network_workloads, slice_costs

    if accelerator is None:
        raise UsageError("no accelerator has this PE map, so cycles are not known")
    masks = {layer.name: layer.read_mask() for layer in whole.layers}
    names = {layer.name for layer in chosen.layers}
    workloads = network_workloads(masks, _about(whole)).workloads
    return slice_costs([load for load in workloads if load.name in names], accelerator)


def _if_reordered(ticket: Ticket, args: argparse.Namespace) -> float | None:
    """Total score with the channels in a better order; None if the map has no other."""
    from balancer import BalancerError, balance_network

    try:
        return balance_network(
            ticket,
            **_program(args),
            order="optimized",
            gap_limit=QUICK_GAP,
            time_limit=min(args.time_limit, QUICK_SECONDS),
        ).kept
    except BalancerError:
        return None


def _frontier(
    ticket: Ticket, costs: dict[str, LayerCost], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Calculate what `--frontier` shows."""
    from balancer import latency_frontier

    points = latency_frontier(
        ticket,
        costs,
        **_program(args),
        points=args.frontier,
        energy_budget=args.energy_budget,
        solver=args.solver,
        time_limit=args.time_limit,
        work_limit=args.work_limit,
    )
    return [point.to_dict() for point in points]


@contextmanager
def _naming_file(path: Path) -> Iterator[None]:
    """Say in an error which file it is about."""
    from balancer import BalancerError

    try:
        yield
    except BalancerError as error:
        text = str(error)
        about = "" if str(path) in text else f"{path}: "
        raise type(error)(about + text) from error


def _about(ticket: Ticket) -> dict[str, Any]:
    """Return what a ticket says about its network; mask files pass it on."""
    about: dict[str, Any] = ticket.metadata.get("ticket", ticket.metadata)
    return about


def _network(
    ticket: Ticket, args: argparse.Namespace, spikes: dict[str, Any] | None
) -> Network:
    """Make the workloads that `evaluate` asks for."""
    from hwmodel import network_workloads

    orders, input_orders = (
        {
            layer.name: order
            for layer in ticket.layers
            if (order := layer.read_order(axis)) is not None
        }
        for axis in (0, 1)
    )
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    return network_workloads(
        _with_inputs_in_order(masks, input_orders, axis=1),
        _about(ticket),
        orders=orders,
        timesteps=args.timesteps,
        spikes=_with_inputs_in_order(spikes or {}, input_orders, axis=2) or None,
        spike_rate=args.spike_rate,
        direct_coded=not args.spiking_input,
    )


def _add_hardware(
    report: dict[str, Any],
    ticket: Ticket,
    masks: dict[str, Any],
    orders: dict[str, Any],
    accelerator: Accelerator | None,
) -> None:
    """Fill in cycles and energy before and after, and what they rest on."""
    from hwmodel import WorkloadError, network_workloads
    from hwmodel import evaluate as evaluate_network

    totals = report["network"]
    totals |= {"accelerator": None, "basis": None, "energy_unit": None}
    totals["hardware_note"] = "no accelerator has this PE map"
    if accelerator is None:
        return
    rows = {row["name"]: row for row in report["layers"]}
    before = {layer.name: layer.read_mask() for layer in ticket.layers}
    try:
        for suffix, kept, of in (("_before", before, {}), ("", before | masks, orders)):
            network = network_workloads(kept, _about(ticket), orders=of)
            chosen = [load for load in network.workloads if load.name in masks]
            result = evaluate_network(chosen, accelerator)
            totals["basis"] = ", ".join(result.basis)
            totals["hardware_note"] = network.assumption
            totals |= _costs(result, suffix)
            for layer in result.layers:
                rows[layer.name] |= _costs(layer, suffix)
        totals["accelerator"] = accelerator.name
        totals["energy_unit"] = accelerator.energy_unit
    except WorkloadError as error:
        totals["hardware_note"] = str(error)


def _orders(
    network: NetworkSolution, args: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Orders of the output channels of all layers, and of permuted input channels."""
    import numpy as np

    from balancer import PEMap

    orders = {layer.name: layer.solution.order for layer in network.layers}
    if args.order == "fixed" or PEMap.parse(args.map, (1, 1), args.pes).order_axis == 0:
        return orders, {}
    natural = {
        layer.name: np.arange(layer.shape[0], dtype=np.int32)
        for layer in network.layers
    }
    return natural, orders


def _with_inputs_in_order(
    arrays: dict[str, Any], orders: dict[str, Any], axis: int
) -> dict[str, Any]:
    """Put masks or spikes in the order in which the PEs take the input channels."""
    import numpy as np

    return {
        name: np.take(array, orders[name], axis) if name in orders else array
        for name, array in arrays.items()
    }


def _costs(report: Report | LayerReport, suffix: str) -> dict[str, float]:
    return {
        f"cycles{suffix}": report.cycles,
        f"energy_pj{suffix}": report.energy_pj,
    }


def _open_ticket(path: Path) -> Ticket:
    from balancer.errors import TicketError
    from balancer.files.array_files import FORMATS
    from balancer.files.ticket import open_ticket
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
    from balancer.tables import (
        baseline_table,
        frontier_table,
        network_notes,
        network_table,
    )

    budgets = "each layer its own budget" if args.scope == "layer" else "one budget"
    _say(f"{source.name}: {args.map} map, {args.pes} PEs, {budgets}")
    _show(network_table(report, narrow=_console().width < WIDE_TABLE))
    if args.compare:
        _say("\nbeside other methods")
        _show(baseline_table(report))
    if "frontier" in report:
        _say("\nmagnitude that can be kept in so many cycles")
        _show(frontier_table(report))
    network = report["network"]
    if network["accelerator"] is not None:
        _say(
            f"On {network['accelerator']} ({network['basis']}): cycles "
            f"{network['cycles_before']:,.0f} → {network['cycles']:,.0f}, energy "
            f"{network['energy_pj_before']:,.0f} → {network['energy_pj']:,.0f} "
            f"{network['energy_unit']}."
        )
    if network["hardware_note"]:
        _say(f"Cycles and energy: {network['hardware_note']}.")
    for note in network_notes(report):
        _say(note)
    _say(f"masks: {report['outputs']['masks']}")
    _say(f"report: {report['outputs']['report']}")


def _show(table: TextTable) -> None:
    from rich.table import Table

    drawn = Table(box=None, header_style="bold")
    for name in table.header:
        drawn.add_column(
            name, justify="left" if name in table.left else "right", overflow="fold"
        )
    for row in table.rows:
        drawn.add_row(*row)
    _console().print(drawn)


def _say(text: str) -> None:
    _console().print(text, highlight=False, markup=False, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


if __name__ == "__main__":
    sys.exit(main())
