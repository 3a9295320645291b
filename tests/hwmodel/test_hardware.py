"""An accelerator with its PE map, as the balancer asks for it."""

import itertools

import numpy as np
import pytest

from balancer import (
    BalancerError,
    PEMap,
    RetentionProblem,
    Schedule,
    balance_network,
    balance_ticket,
    open_ticket,
    register_map,
    shipped_ticket,
    solve,
)
from hwmodel import (
    Accelerator,
    AcceleratorError,
    ArchitectureError,
    Hardware,
    HardwareModelError,
    LayerWorkload,
    WorkloadError,
    evaluate,
)

SHAPE = (24, 16, 3, 3)


def dealt_kernels(shape, pes):
    """Tiles of four output channels; kernel positions are dealt to the PEs."""
    channel, *_, row, column = np.indices((*shape, 1, 1)[:4])
    labels = channel // 4, (3 * row + column) % pes
    return tuple(label.reshape(shape) for label in labels)


def split_channels(shape, pes):
    """Groups of input channels: every output channel lies in several of them."""
    channel, inputs = np.indices(shape)[:2]
    return inputs % 4, channel % pes


register_map("dealt_kernels", dealt_kernels, "kernel positions in turn")
register_map("split_channels", split_channels)


def test_an_accelerator_keeps_its_own_map_unless_another_is_asked():
    """What is left out is the accelerator's own; what is given goes before it."""
    assert Hardware.of("systolic").pe_map == "input_channel"
    assert Hardware.of("u-ticket", pes=8).pes == 8
    assert Hardware.of("u-ticket", pes=8).pe_map == "output_channel"
    grid = Hardware.of("u-ticket", "grid:2x3")
    assert (grid.pe_map, grid.pes) == ("grid:2x3", 6)
    own = Hardware.of("u-ticket")
    assert own.accelerator == Accelerator.load("u-ticket")
    assert Hardware.of(own.accelerator).accelerator is own.accelerator


def test_what_no_array_has_is_refused_or_nothing():
    """A pattern of masks is no array: an error where asked for, nothing if optional."""
    with pytest.raises(AcceleratorError, match="2:4"):
        Hardware.of("u-ticket", "2:4")
    assert Hardware.if_possible("u-ticket", "2:4") is None
    with pytest.raises(AcceleratorError, match="neither a preset"):
        Hardware.if_possible("tpu")


def test_a_request_for_another_array_is_refused():
    """PEs and map of a request are those of the hardware, or they are left out."""
    ticket, hardware = open_ticket(shipped_ticket()), Hardware.of("systolic", pes=8)
    report = balance_ticket(ticket, hardware=hardware, reorder=False)
    assert (report.request.pe_map, report.request.pes) == ("input_channel", 8)
    for asked, message in (
        ({"pes": 16}, "`pes` is 16, but the hardware has 8"),
        (
            {"pe_map": "banked"},
            "`pe_map` is banked, but the hardware has input_channel",
        ),
    ):
        with pytest.raises(BalancerError, match=message):
            balance_ticket(ticket, hardware=hardware, **asked)


def test_layer_by_layer_is_the_whole_network():
    """What the balancer hears of single masks adds up to the report on the network."""
    hardware, ticket = Hardware.of("generic-45nm"), open_ticket(shipped_ticket())
    masks = {layer.name: layer.read_mask() for layer in ticket.layers}
    rng = np.random.default_rng(0)
    schedules = {
        name: Schedule(0, rng.permutation(len(m))) for name, m in masks.items()
    }
    shapes = {name: mask.shape for name, mask in masks.items()}
    layers = hardware.layers(shapes, ticket.about)
    costs = [layers.mask_cost(name, masks[name], schedules[name]) for name in masks]
    whole = hardware.report(masks, ticket.about, schedules)
    assert sum(cost.cycles for cost in costs) == pytest.approx(whole.cycles)
    assert sum(cost.energy for cost in costs) == pytest.approx(whole.energy_pj)
    natural = hardware.report(masks, ticket.about)
    assert natural.cycles != whole.cycles
    assert layers.assumption is None
    assert "one output pixel" in hardware.layers(shapes, {}).assumption


def test_a_map_of_ones_own_is_known_everywhere():
    """A registered map solves, balances a network and runs on an accelerator."""
    scores = np.random.default_rng(0).random(SHAPE)
    pe_map = PEMap.parse("dealt_kernels", SHAPE, pes=9)
    alone = solve(RetentionProblem(scores, pe_map, sparsity=0.9))
    group, pe = dealt_kernels(SHAPE, 9)
    for g, p in itertools.product(range(6), range(9)):
        mine = (group == g) & (pe == p)
        assert alone.mask[mine].sum() == alone.mask[group == g].sum() // 9
    network = balance_network(
        {"conv": scores}, sparsity=0.9, pe_map="dealt-kernels", pes=9
    )
    np.testing.assert_array_equal(network.masks["conv"], alone.mask)
    hardware = Hardware.of("u-ticket", "dealt_kernels", 9)
    assert (hardware.pe_map, hardware.pes) == ("dealt_kernels", 9)
    report = hardware.report({"conv": alone.mask}, {})
    assert report.cycles == alone.loads.max(axis=1).sum()
    assert report.idle_cycles == 0


def test_a_map_whose_groups_split_channels_balances_and_runs():
    """Groups may share output channels; a balanced mask leaves no PE idle."""
    scores = np.random.default_rng(0).random(SHAPE)
    network = balance_network(
        {"a": scores}, sparsity=0.9, pe_map="split_channels", pes=4
    )
    assert network.layers[0].after.mu == 1.0
    hardware = Hardware.of("u-ticket", "split_channels", 4)
    report = hardware.report(network.masks, {})
    assert report.cycles == network.masks["a"].sum() / 4
    assert report.idle_cycles == 0


@pytest.mark.parametrize("name", ["Dealt", "grid:2x2", "two words", "banked", ""])
def test_names_that_are_taken_or_none_are_refused(name):
    """No map is hidden by another of its name, and every name can be written."""
    with pytest.raises(BalancerError, match=r"map name|exists already"):
        register_map(name, dealt_kernels)


@pytest.mark.parametrize(
    "error", [HardwareModelError, AcceleratorError, WorkloadError, ArchitectureError]
)
def test_errors_of_the_model_are_the_balancer_s(error):
    """Who catches a BalancerError catches what the hardware model refuses."""
    assert issubclass(error, BalancerError)
    with pytest.raises(BalancerError):
        evaluate([LayerWorkload("a", np.ones(3))], Accelerator.load("u-ticket"))


def barrier(name, **array):
    """An accelerator with another array."""
    base = Accelerator.load(name)
    return base.model_copy(update={"array": base.array.model_copy(update=array)})


@pytest.mark.parametrize(
    ("accelerator", "said"),
    [
        ("u-ticket", None),
        ("systolic", "waiting for memory"),
        ("sata", "this array does not skip zero weights"),
        (barrier("u-ticket", skip="none"), "this array does not skip zero weights"),
        (barrier("u-ticket", skip="spike"), "this array does not skip zero weights"),
        (barrier("u-ticket", skip="dual", barrier="tile"), None),
        ("eie", "waiting for other spikes at a barrier"),
    ],
)
def test_where_balance_saves_no_time_the_report_says_why(accelerator, said):
    """The cause follows from what the PEs do, not from the name of the accelerator."""
    hardware = Hardware.of(accelerator)
    report = balance_ticket(shipped_ticket(), hardware=hardware, reorder=False)
    notes = [note for note in report.notes if note.startswith("Little time saved")]
    if said is None:
        assert not notes
        assert report.cycles < 0.9 * report.cycles_before
    else:
        assert any(said in note for note in notes)
        if "skip" in said:  # whatever else the PEs of a layer do
            assert len(notes) == 1
            assert notes[0].startswith("Little time saved in all layers")
        use = report.hardware
        before, after = (
            sum((cost.drawn or cost).cycles for cost in side.values())
            for side in (use.before, use.after)
        )
        assert after > 0.85 * before


def test_pe_cycles_of_a_mask_are_all_accounted_for():
    """Busy, gated, idle, structural and stalled cycles are PEs x cycles."""
    ticket = open_ticket(shipped_ticket())
    shapes = {layer.name: layer.shape for layer in ticket.layers}
    for name in ("u-ticket", "generic-45nm", "systolic", "loas"):
        hardware = Hardware.of(name)
        layers = hardware.layers(shapes, ticket.about)
        for layer in ticket.layers:
            cost = layers.mask_cost(layer.name, layer.read_mask())
            pes = hardware.accelerator.array.size
            assert cost.time.total == pytest.approx(pes * cost.cycles)
            assert min(cost.time.busy, cost.time.idle, cost.time.structural) >= 0


def test_a_bound_of_cycles_stands_beside_those_of_drawn_spikes():
    """Where PEs wait for spikes, expected loads hide it: the report draws some."""
    hardware = Hardware.of(barrier("u-ticket", skip="dual", barrier="pixel"))
    report = balance_ticket(shipped_ticket(), hardware=hardware, reorder=False)
    drawn = [cost.drawn for cost in report.hardware.after.values()]
    rated = [cost for cost in drawn if cost is not None]
    assert len(rated) == 3  # the first layer has an analog input
    for cost in report.hardware.after.values():
        assert cost.drawn is None or cost.drawn.cycles > cost.cycles
    assert any("drawn from their rates" in note for note in report.notes)
    exact = balance_ticket(shipped_ticket(), hardware=Hardware.of(), reorder=False)
    assert not any("drawn" in note for note in exact.notes)
