"""Balancing a ticket: every number of the report follows from masks and hardware."""

import json
from collections import Counter

import numpy as np
import pytest

from balancer import (
    BalanceRequest,
    BalancerError,
    LayerCost,
    MaskCost,
    PEMap,
    RetentionProblem,
    SearchLimits,
    Ticket,
    balance_ticket,
    open_ticket,
    shipped_ticket,
)
from balancer.files.array_files import ArraysInMemory

PES = 4


class Slots:
    """An array of PEs whose cycles are the largest loads of the tiles, added up.

    It stands for the models of others: nothing of `hwmodel` is in it.
    """

    name, pe_map, pes, energy_unit = "slots", "output_channel", PES, "slots"

    def layers(self, shapes, about):
        return SlotsOfLayers(about.get("assumed"), about.get("refused", ()))


class SlotsOfLayers:
    def __init__(self, assumption, refused):
        self.assumption, self.refused = assumption, refused

    def slice_cost(self, name):
        return LayerCost(cycles_per_slice=1, energy_per_nonzero=1)

    def mask_cost(self, name, mask, schedule=None):
        if name in self.refused:
            raise BalancerError(f"{name} does not fit into slots")
        scheduled = mask if schedule is None else schedule.apply(mask)
        return MaskCost(slots(scheduled), int(mask.sum()), "counted")


def slots(mask):
    """Sum of the largest loads of tiles of `PES` output channels."""
    loads = mask.reshape(len(mask), -1).sum(axis=1)
    return sum(int(loads[t : t + PES].max()) for t in range(0, len(loads), PES))


class Counted(ArraysInMemory):
    """Arrays that count how often they are read."""

    __slots__ = ("reads",)

    def __init__(self, arrays):
        super().__init__(arrays)
        object.__setattr__(self, "reads", Counter())

    def read(self, name):
        self.reads[name] += 1
        return super().read(name)


def arrays_of(seed=0, layers=2):
    """Scores and masks of layers whose channels are of very different scales."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for number in range(layers):
        scores = rng.random((16, 30)) * rng.lognormal(0, 1, (16, 1))
        arrays[f"l{number}.score"] = scores
        arrays[f"l{number}.mask"] = scores > np.quantile(scores, 0.8)
    return arrays


def ticket_of(arrays=None, **about):
    found = Ticket.of(Counted(arrays or arrays_of()))
    return Ticket(found.layers, about)


def test_cycles_before_are_those_of_the_masks_as_they_were_read():
    """What the masks took before does not depend on the order that is chosen."""
    arrays = arrays_of()
    read = sum(slots(mask) for name, mask in arrays.items() if name.endswith("mask"))
    for order in ("fixed", "sorted", "optimized"):
        report = balance_ticket(ticket_of(arrays), hardware=Slots(), order=order)
        assert report.cycles_before == read
        after = sum(
            slots(layer.solution.schedule.apply(layer.solution.mask))
            for layer in report.layers
        )
        assert report.cycles == after < read
    assert not any(layer.solution.schedule.is_natural for layer in report.layers)


def test_cycles_before_are_those_of_the_order_that_was_read():
    """A ticket with an order of its own is measured in it, and keeps it."""
    arrays = arrays_of()
    first = balance_ticket(ticket_of(arrays), hardware=Slots(), order="optimized")
    for layer in first.layers:
        arrays[f"{layer.name}.mask"] = layer.solution.mask
        arrays[f"{layer.name}.order"] = layer.solution.order
    again = balance_ticket(ticket_of(arrays), hardware=Slots(), order="optimized")
    assert again.cycles_before == again.cycles == first.cycles
    for one, other in zip(first.layers, again.layers, strict=True):
        assert other.before == other.after == one.after
        assert other.solution.schedule == one.solution.schedule
        np.testing.assert_array_equal(other.solution.mask, one.solution.mask)


def test_the_columns_of_the_hardware_add_up():
    """Cycles and energy of the network are the sums of those of its layers."""
    report = balance_ticket(ticket_of(), hardware=Slots())
    document = report.to_dict()
    for column in ("cycles_before", "cycles", "energy_pj_before", "energy_pj"):
        rows = [row[column] for row in document["layers"]]
        assert document["network"][column] == sum(rows) > 0
    assert report.energy == document["network"]["nonzeros"]
    assert report.energy_before == document["network"]["nonzeros_before"]
    assert report.hardware.basis == document["network"]["basis"] == "counted"
    assert document["network"]["accelerator"] == "slots"


@pytest.mark.parametrize(
    ("about", "hardware", "note", "known"),
    [
        ({}, Slots(), None, True),
        ({"assumed": "one pixel each"}, Slots(), "one pixel each", True),
        ({"refused": ["l1"]}, Slots(), "in no sum: l1 does not fit into slots", True),
        (
            {"refused": ["l0", "l1"]},
            Slots(),
            "l0 does not fit into slots; l1 does not fit into slots",
            False,
        ),
        ({}, None, "no accelerator has this PE map", False),
    ],
)
def test_the_report_says_what_its_cycles_assume(about, hardware, note, known):
    """An assumption stands beside the numbers, and a reason where there are none."""
    report = balance_ticket(ticket_of(**about), hardware=hardware, sparsity=0.9)
    network = report.to_dict()["network"]
    assert report.hardware_note == network["hardware_note"] == note
    assert (report.cycles is not None) == (network["cycles"] is not None) == known
    assert (report.hardware is not None) == known


def test_a_layer_that_does_not_run_hides_no_other():
    """Without it the cycles are those of the others, and its own are not known."""
    whole = balance_ticket(ticket_of(), hardware=Slots(), sparsity=0.9).to_dict()
    part = balance_ticket(
        ticket_of(refused=["l1"]), hardware=Slots(), sparsity=0.9
    ).to_dict()
    assert part["network"]["cycles"] == whole["layers"][0]["cycles"]
    assert part["layers"][0] | {"seconds": 0} == whole["layers"][0] | {"seconds": 0}
    assert part["layers"][1]["cycles"] is part["layers"][1]["cycles_before"] is None


def test_notes_count_what_the_masks_hold():
    """Dead channels and revived weights are counted in the masks, and named."""
    arrays = arrays_of()
    arrays["l0.score"][:8] *= 1e-3  # two tiles that are worth nothing beside the others
    ticket = ticket_of(arrays)
    report = balance_ticket(ticket, sparsity=0.9, pes=PES, reorder=False)
    masks = report.solution.masks
    dead = sum(int((~mask.any(axis=1)).sum()) for mask in masks.values())
    revived = sum(int((masks[x] & ~arrays[f"{x}.mask"]).sum()) for x in masks)
    assert dead >= 8
    assert f"{dead} output channels keep no weight." in report.notes
    [said] = (note for note in report.notes if "revived" in note)
    assert said.startswith(f"{revived} of the kept weights are zero here (revived)")
    assert "train again with these masks" in said
    nested = balance_ticket(ticket, budget=40, pes=2, nested=True, reorder=False)
    assert not any("revived" in note for note in nested.notes)


def test_notes_say_what_is_left_over_dense_idle_or_answered_by_greedy():
    """Each thing that the table hides has its sentence, and no sentence is empty."""
    whole = {"a": np.ones((6, 8)), "b": np.ones((4, 8))}
    ticket = ticket_of({f"{name}.score": values for name, values in whole.items()})
    dense = balance_ticket(ticket, pes=PES, time_limit=0.0).notes
    assert "Dense, as before: a, b; use --sparsity to prune." in dense
    assert "PEs that hold weights: a 75%; the others are idle by structure." in dense
    assert any(note.startswith("a: answered by greedy: a limit of 0") for note in dense)
    report = balance_ticket(ticket, budget=11, pes=PES)
    left = 2 * 11 - sum(int(mask.sum()) for mask in report.solution.masks.values())
    [note] = [note for note in report.notes if "left over" in note]
    assert note.startswith(f"{left} non-zeros of the budget")


def test_a_better_order_is_told_only_where_it_was_looked_for():
    """With one budget for all layers, or another order, there is nothing to tell."""
    ticket = ticket_of()
    told = balance_ticket(ticket, pes=PES)
    best = balance_ticket(ticket, pes=PES, order="optimized")
    kept, unstructured, nonzeros = told.reordered
    assert told.solution.kept < kept <= best.solution.bound
    share = kept / unstructured
    said = f"would keep {share:.4f} ({nonzeros} non-zeros)."
    assert f"With --order optimized the network {said}" in told.notes
    assert told.to_dict()["network"]["kept_if_reordered"] == kept
    for silent in (
        best,
        balance_ticket(ticket, pes=PES, scope="global"),
        balance_ticket(ticket, pes=PES, reorder=False),
    ):
        assert silent.reordered is None
        assert not any("--order" in note for note in silent.notes)
    for other in ({"scope": "global"}, {"order": "sorted"}):
        document = balance_ticket(ticket, pes=PES, **other).to_dict()
        assert "kept_if_reordered" not in document["network"]


def test_what_a_better_order_keeps_is_at_most_everything():
    """Its share is of as many non-zeros, whatever the fixed order leaves over."""
    ticket = ticket_of()
    for pes in (2, 3, 5, 7):
        for budget in (3, 9, 21):
            report = balance_ticket(ticket, budget=budget, pes=pes)
            kept, unstructured, _ = report.reordered
            assert kept <= unstructured * (1 + 1e-12)


def test_masks_and_report_are_written_as_they_were_made(tmp_path):
    """What is saved reads back: masks, their order, and the document with settings."""
    report = balance_ticket(
        ticket_of(dataset="d"), sparsity=0.9, pes=PES, order="sorted", seed=7
    )
    files = report.save(tmp_path / "out")
    assert sorted(path.name for path in files.masks.parent.iterdir()) == [
        "masks.safetensors",
        "report.json",
    ]
    written = open_ticket(files.masks)
    for layer in written.layers:
        np.testing.assert_array_equal(
            layer.read_mask(), report.solution.masks[layer.name]
        )
        # The order of the output channels is the one in which the mask is balanced.
        [schedule] = layer.read_schedules()
        assert schedule == report.solution.schedules[layer.name]
    assert written.about == {"dataset": "d"}
    document = json.loads(files.report.read_text())
    assert document["settings"]["seed"] == 7
    assert document["settings"]["order"] == "sorted"
    assert document["network"] == report.to_dict()["network"]
    assert document["outputs"] == files.to_dict()
    beside = report.save(tmp_path / "deep" / "net.npz")
    assert beside.report == tmp_path / "deep" / "net.json"
    assert {layer.name for layer in open_ticket(beside.masks).layers} == {"l0", "l1"}


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({"compare": True}, 1),
        ({"order": "optimized"}, 1),
        ({"scope": "global"}, 2),
        ({"scope": "global", "frontier": 3, "latency_budget": 0.9}, 2),
    ],
)
def test_every_array_is_read_once_a_pass(options, passes):
    """Measuring, comparing and reordering read nothing again."""
    arrays = Counted(arrays_of())
    balance_ticket(Ticket.of(arrays), hardware=Slots(), **options)
    assert arrays.reads == dict.fromkeys(arrays.arrays, passes)


def test_a_layer_that_takes_more_than_its_share_is_read_again():
    """Where a solution is deeper than a layer was ranked, it is read once more.

    The small layer, whose share of the budget is small too, takes all of it.
    """
    rng = np.random.default_rng(0)
    arrays = {
        "small.score": rng.random((16, 100)) + 9,
        "large.score": rng.random((16, 900)),
    }
    counted = Counted(arrays)
    report = balance_ticket(
        Ticket.of(counted), pes=PES, scope="global", budget=960, allow_empty=True
    )
    assert report.solution.masks["small"].sum() == 960
    assert counted.reads == {"small.score": 3, "large.score": 2}


def test_objects_and_keywords_say_the_same():
    """A request with limits and keywords give the same report; keywords go first."""
    by_object = balance_ticket(
        ticket_of(),
        BalanceRequest(sparsity=0.9, pes=PES, order="sorted"),
        limits=SearchLimits(seed=3),
    )
    by_keywords = balance_ticket(
        ticket_of(), sparsity=0.9, pes=PES, order="sorted", seed=3
    )
    mixed = balance_ticket(
        ticket_of(),
        BalanceRequest(sparsity=0.5, pes=PES, order="sorted"),
        limits=SearchLimits(seed=4),
        sparsity=0.9,
        seed=3,
    )
    for other in (by_keywords, mixed):
        assert other.request == by_object.request
        assert other.limits == by_object.limits
        assert other.settings == by_object.settings
        for name, mask in by_object.solution.masks.items():
            np.testing.assert_array_equal(other.solution.masks[name], mask)
    with pytest.raises(TypeError, match="sparsty"):
        balance_ticket(ticket_of(), sparsty=0.9)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"pe_map": "banked"}, "`pe_map` is banked, but the hardware has output_chann"),
        ({"pes": 8}, "`pes` is 8, but the hardware has 4"),
        ({"frontier": 3}, "needs scope='global'"),
        ({"frontier": 0, "scope": "global"}, "`points` is 0"),
        ({"layers": "conv*"}, "matches no layer; the ticket has l0, l1"),
    ],
)
def test_what_contradicts_the_hardware_or_the_ticket_is_refused(asked, message):
    """A second opinion about the array, and names that no layer has, are errors."""
    with pytest.raises(BalancerError, match=message):
        balance_ticket(ticket_of(), hardware=Slots(), **asked)


def test_budgets_of_cycles_need_hardware():
    """Without hardware there are no cycles to bound or to trade, which is said."""
    with pytest.raises(BalancerError, match="no accelerator has this PE map"):
        balance_ticket(ticket_of(), scope="global", latency_budget=0.9)
    with pytest.raises(BalancerError, match="no accelerator has this PE map"):
        balance_ticket(ticket_of(), scope="global", frontier=2)


def test_what_is_printed_is_short_and_holds_no_array():
    """A line for each layer and each note, whatever the size of the weights."""
    ticket = open_ticket(shipped_ticket())
    report = balance_ticket(ticket, hardware=None, reorder=False)
    solution = report.solution
    texts = {
        repr(PEMap.output_channel((64, 64, 3, 3))): 1,
        repr(RetentionProblem(np.ones((64, 9)), PEMap.output_channel((64, 9)), 9)): 1,
        repr(solution.layers[0].solution): 1,
        repr(solution.layers[0].solution.schedule): 1,
        repr(solution.layers[0]): 1,
        repr(solution): 1 + len(solution.layers),
        repr(ticket): 1 + len(ticket.layers),
        repr(report): 2 + len(solution.layers) + len(report.notes),
    }
    for text, lines in texts.items():
        assert len(text.splitlines()) == lines
        assert "array" not in text
        assert max(map(len, text.splitlines())) < 160
