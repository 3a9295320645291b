"""Which runs a sweep has, and which settings it refuses."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_cases import DESIGN, RUNS, DeadlyTrainer

from balancer import BalancerError
from hwmodel import Accelerator, SweepError, SweepPlan

AXES = {
    "pes": st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True),
    "sparsity": st.lists(
        st.sampled_from([0.0, 0.5, 0.75, 0.9]), min_size=1, max_size=3, unique=True
    ),
    "method": st.lists(
        st.sampled_from(["optimal", "lth", "u-ticket", "topk-per-pe"]),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    "seed": st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
    "accelerator": st.lists(
        st.sampled_from(["u-ticket", "loas", "eie"]), min_size=1, unique=True
    ),
}


@given(st.fixed_dictionaries({}, optional=AXES))
def test_every_combination_is_one_run(axes):
    """Points are the product of the lists, in their order, each once."""
    plan = SweepPlan.of(axes)
    assert len(plan.points) == math.prod(map(len, axes.values()))
    assert len({point.key for point in plan.points}) == len(plan.points)
    first, last = plan.points[0].columns(), plan.points[-1].columns()
    for name, values in axes.items():
        assert (first[name], last[name]) == (values[0], values[-1])
        assert (name in plan.axes) == (len(values) > 1)


@given(st.fixed_dictionaries(AXES), st.randoms())
def test_values_twice_and_in_another_order_are_the_same_runs(axes, random):
    """Neither repetitions nor the order of values change what is run."""
    keys = {point.key for point in SweepPlan.of(axes).points}
    shuffled = {}
    for name, values in axes.items():
        shuffled[name] = [*values, values[0]]
        random.shuffle(shuffled[name])
    assert {point.key for point in SweepPlan.of(shuffled).points} == keys


def test_accelerators_share_masks():
    """Runs that differ in the accelerator alone are one task."""
    plan = SweepPlan.of(DESIGN)
    assert len(plan.points) == RUNS
    assert {len(group) for group in plan.groups()} == {2}


def test_masks_that_depend_on_the_accelerator_are_not_shared():
    """Budgets of cycles, or by cycles, are of one accelerator."""
    axes = {"accelerator": ["u-ticket", "generic-45nm"], "sparsity": 0.9, "pes": 16}
    assert len(SweepPlan.of(axes).groups()) == 1
    assert len(SweepPlan.of(axes | {"budgets": "cycles"}).groups()) == 2
    limited = {"scope": "global", "latency_budget": 0.8}
    assert len(SweepPlan.of(axes | limited).groups()) == 2


def test_the_array_is_that_of_the_accelerator_unless_said():
    """Map and PEs are the accelerator's own by default."""
    plan = SweepPlan.of({"accelerator": ["eie", "loas"]})
    assert [(p.array.pe_map, p.array.pes) for p in plan.points] == [
        ("interleaved", 64),
        ("output_channel", 16),
    ]


def test_any_field_of_a_description_is_an_axis():
    """Fields are changed by dotted names or in tables, and told apart."""
    name = "dram.bandwidth_bits_per_cycle"
    for fields in (
        {name: [16, 64]},
        {"dram": {"bandwidth_bits_per_cycle": [16, 64]}},
    ):
        plan = SweepPlan.of({"accelerator": "generic-45nm", "description": fields})
        assert [
            p.array.accelerator.dram.bandwidth_bits_per_cycle for p in plan.points
        ] == [
            16,
            64,
        ]
        assert plan.axes == (f"description.{name}",)
        assert len(plan.groups()) == 1


def test_an_accelerator_may_be_a_description():
    """One that was made in Python, or stands in the file, needs no file of its own."""
    loas = Accelerator.load("loas")
    of_object, of_table, of_name = (
        SweepPlan.of({"accelerator": one}).points[0]
        for one in (loas, loas.model_dump(exclude_unset=True), "loas")
    )
    assert of_object.array == of_table.array == of_name.array


def test_numbers_of_numpy_are_lists():
    """An array of values is a list of them."""
    plan = SweepPlan.of({"sparsity": np.linspace(0.5, 0.9, 3), "pes": range(4, 6)})
    assert len(plan.points) == 6


def test_grids_are_sweeps_beside_each_other():
    """Tables have points of their own, and a run that two have is one."""
    grids = [
        {"method": ["lth", "optimal"]},
        {"method": "optimal", "order": ["fixed", "optimized"]},
    ]
    plan = SweepPlan.of({"pes": [8, 16], "grid": grids})
    assert len(plan.points) == 6


def test_the_content_of_a_ticket_counts_and_not_its_name(tmp_path):
    """A ticket that is moved has the same runs, one that is changed has others."""
    scores = np.random.default_rng(0).random((8, 8))
    keys = []
    for name, factor in (("a.npz", 1), ("b.npz", 1), ("c.npz", 2)):
        np.savez(tmp_path / name, layer=factor * scores)
        plan = SweepPlan.of({"ticket": str(tmp_path / name), "pes": 4})
        keys.append(plan.points[0].key)
    assert keys[0] == keys[1] != keys[2]


def test_training_needs_somebody_who_trains():
    """A table of training is refused without a trainer, and has runs with one."""
    fields = {"training": {"epochs": [1, 2]}, "seed": [0, 1]}
    with pytest.raises(SweepError, match="LotteryTrainer"):
        SweepPlan.of(fields)
    plan = SweepPlan.of(fields, DeadlyTrainer())
    assert plan.trains
    assert plan.axes == ("training.epochs", "seed")


BAD = {
    "no field is named 'pess'; accepted: ticket, pes, map,": {"pess": [8]},
    "no field is named 'grid'": {"grid": [{"grid": []}]},
    "`pes` is 0; it needs a whole number of at least 1": {"pes": [8, 0]},
    "`pes` is 'many'": {"pes": "many"},
    "`pes` is an empty list": {"pes": []},
    "`sparsity` is 1.5": {"sparsity": 1.5},
    "`spike_rate` is 1.5; accepted: 0 to 1": {"spike_rate": 1.5},
    "`input_shape` is '3,x'": {"input_shape": "3,x"},
    "`method` is 'best'; accepted for a ticket: optimal, lth": {"method": "best"},
    "`order` is 'optimized' with method 'lth'": {"method": "lth", "order": "optimized"},
    "`order` is 'sorted' with the map 'interleaved'": {
        "map": "interleaved",
        "order": "sorted",
    },
    "`order` is 'any'": {"order": "any"},
    "with method 'unchanged'": {"method": "unchanged", "sparsity": 0.5},
    "`scope` is 'global' with method 'lth'": {"method": "lth", "scope": "global"},
    "PE map 'nowhere'": {"map": "nowhere"},
    "neither a preset": {"accelerator": "mine"},
    "counting 'sata_sim' needs mapping 'output_stationary'": {
        "accelerator": "sata",
        "map": "interleaved",
    },
    "which no accelerator has": {"map": "2:4", "budgets": "cycles"},
    "`description.array.pes` is what `map` and `pes` say": {
        "description": {"array.pes": 8}
    },
    "`drum` is no field": {"description": {"drum.pes": 8}},
    "`description.frequency_hz.x`: 'frequency_hz' has no fields": {
        "description": {"frequency_hz.x": 8}
    },
    "`description` is 3; it needs a table": {"description": 3},
    "`by_layer` is 1": {"by_layer": 1},
    "with `budgets` layers depend on each other": {
        "by_layer": True,
        "budgets": "lamp",
        "sparsity": 0.9,
    },
    "`masks` writes masks that are made": {"masks": True, "method": "unchanged"},
    "`masks` is 'yes'": {"masks": "yes"},
    "`grid` is no list of tables": {"grid": 3},
    "`ticket` does not go with `training`": {"ticket": "a", "training": {}},
    "nothing.npz": {"ticket": "nothing.npz"},
}


@pytest.mark.parametrize("said", BAD)
def test_bad_settings_are_refused_in_one_line(said):
    """What is wrong is named before anything runs, with what is accepted."""
    with pytest.raises(BalancerError, match=re.escape(said)) as caught:
        SweepPlan.of(BAD[said], DeadlyTrainer())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pes = [8", "no TOML"),
        ("pess = 8", "no field is named 'pess'"),
        (None, "No such file"),
    ],
)
def test_a_bad_file_is_named(text, said, tmp_path):
    """Errors of a file begin with its name."""
    path = tmp_path / "design.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SweepError, match=said) as caught:
        SweepPlan.read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_keywords_go_before_the_file(tmp_path):
    """What is given in Python replaces what stands in the file."""
    path = Path(tmp_path / "design.toml")
    path.write_text("pes = [8, 16]\nsparsity = 0.9\n")
    plan = SweepPlan.read(path, pes=4)
    assert [(p.array.pes, p.settings.sparsity) for p in plan.points] == [(4, 0.9)]
