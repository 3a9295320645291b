"""Rounds in any order of training, pruning, writing and reading keep their promises."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

torch = pytest.importorskip("torch")

from lottery_cases import has_room  # noqa: E402
from torch import nn  # noqa: E402

from balancer.files.ticket import open_ticket  # noqa: E402
from balancer.program.validation import budget_of_sparsity  # noqa: E402
from snn.lottery.config import LotteryConfig  # noqa: E402
from snn.lottery.hardware import RunArray, layer_outcomes  # noqa: E402
from snn.lottery.methods import METHODS, ROUNDED  # noqa: E402
from snn.lottery.pruning import (  # noqa: E402
    Pruned,
    Pruning,
    layer_budgets,
    natural_schedules,
    unstructured,
)
from snn.lottery.results import RoundOutcome  # noqa: E402
from snn.lottery.round_tickets import (  # noqa: E402
    RoundTicket,
    load_state,
    load_ticket,
    save_ticket,
    state_of,
)
from snn.networks.geometry import layer_geometry  # noqa: E402
from snn.training.masking import apply_masks, update_scores  # noqa: E402

BALANCED = ("topk-per-pe", "optimal", "optimal-order", "latency")
MAPS = ("output_channel", "input_channel", "banked")
# Methods that order tiles of output channels, or need their accelerator.
TILED = ("lth-sorted", "optimal-order", "latency")
CASES = [
    (method, pe_map)
    for method in METHODS
    for pe_map in MAPS
    if pe_map == "output_channel" or method not in TILED
]
EXAMPLES = max(5, settings.default.max_examples // 12)


def tiny_network():
    """Two convolutions and a linear layer, whose channels do not fill the PEs."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 5, 2),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 7, 2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(28, 3),
    )


def assert_same_arrays(first, second):
    """Names, types, shapes and bits are the same."""
    assert list(first) == list(second)
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        assert array.shape == second[name].shape
        assert array.tobytes() == second[name].tobytes(), name


class Rounds(RuleBasedStateMachine):
    """A lottery run whose training is simulated: weights drift, some become zero."""

    def __init__(self, method, pe_map, folder):
        super().__init__()
        self.method = method
        self.pe_map = pe_map
        self.folder = folder

    @initialize(
        pes=st.integers(1, 4),
        budgets=st.sampled_from(["global", "lamp", "cycles", "layer", "erk"]),
        revive=st.booleans(),
        seed=st.integers(0, 3),
    )
    def begin(self, pes, budgets, revive, seed):
        fields = {"method": self.method, "map": self.pe_map}
        fields |= {"pes": pes, "budgets": budgets}
        self.config = LotteryConfig.of(fields | {"revive": revive, "seed": seed})
        self.array = RunArray.of(self.config)
        self.network = tiny_network()
        self.about = {
            "layers": layer_geometry(self.network, torch.zeros(1, 1, 4, 4)),
            "input_shape": [1, 4, 4],
        }
        layers = [layer["name"] for layer in self.about["layers"]]
        weights = {name: self.network.get_submodule(name).weight for name in layers}
        dense = {name: np.ones(w.shape, np.bool_) for name, w in weights.items()}
        self.pruned = Pruned(dense, dense, natural_schedules(dense, self.pe_map))
        self.former = self.pruned
        self.scores = update_scores(self.network, dense)
        self.sparsity = 0.0
        self.pruning = None
        self.round = 0

    @rule(seed=st.integers(0, 2**16), zeros=st.sampled_from([0.0, 0.1, 0.6]))
    def train(self, seed, zeros):
        """Only weights that are kept and not zero get new scores: their magnitudes."""
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            for name in self.pruned.masks:
                weight = self.network.get_submodule(name).weight
                drift = rng.normal(0, 0.2, weight.shape).astype(np.float32)
                weight += torch.from_numpy(drift)
                weight[torch.from_numpy(rng.random(weight.shape) < zeros)] = 0
        apply_masks(self.network, self.pruned.masks)
        scores = update_scores(self.network, self.pruned.masks, self.scores)
        for name, mask in self.pruned.masks.items():
            weight = self.network.get_submodule(name).weight.detach().numpy()
            assert not weight[~mask].any()
            fresh = mask & (weight != 0)
            magnitudes = np.abs(weight[fresh])
            assert scores[name][fresh].tobytes() == magnitudes.tobytes()
            former = self.scores[name][~fresh]
            assert scores[name][~fresh].tobytes() == former.tobytes()
        self.scores = scores

    @rule(step=st.sampled_from([0.0, 0.1, 0.25, 0.6]))
    def prune(self, step):
        """A round prunes its share of what is left."""
        sparsity = 1 - (1 - self.sparsity) * (1 - step)
        pruning = Pruning(
            scores=self.scores,
            masks=self.pruned.masks,
            carried=self.pruned.carried,
            sparsity=sparsity,
            step=step,
            budgets=self.config.budgets,
            pe_map=self.pe_map,
            pes=self.config.pes,
            revive=self.config.revive,
            seed=self.round + 1,
            costs=self.array.costs(self.pruned.masks, self.about),
            latency_budget=self.config.latency_budget,
        )
        in_order = self.method != "optimal-order"
        revived = replace(pruning, revive=True)
        if self.method in ROUNDED and not all(
            has_room(one, in_order) for one in (pruning, revived)
        ):
            return  # a run that prunes so far is refused before it begins
        self.pruning, self.sparsity = pruning, sparsity
        self.former = self.pruned
        self.round += 1
        self.pruned = METHODS[self.method](self.pruning)
        apply_masks(self.network, self.pruned.masks)

    @rule()
    def write_and_read(self):
        """A ticket is read as it was written; the run goes on from it."""
        metrics = self.array.load_metrics(self.pruned.masks, self.pruned.schedules)
        layers = layer_outcomes(self.pruned.masks, self.scores, metrics, {}, None, None)
        outcome = RoundOutcome(
            round=self.round,
            timesteps=2,
            sparsity=self.sparsity,
            nonzeros=sum(layer.nonzeros for layer in layers),
            accuracy=1 / 3,
            loss=0.1,
            validation_accuracy=None,
            kept_fraction=1.0,
            utilization=0.1 + 0.2,
            eta=1.0,
            spike_rate=None,
            cycles=None,
            idle_cycles=None,
            energy=None,
            energy_unit=None,
            epochs=3,
            layers=layers,
        )
        rates = {"6": np.linspace(0, 1, 56, dtype=np.float32).reshape(2, 28)}
        written = RoundTicket(
            outcome,
            state_of(self.network),
            self.pruned,
            self.scores,
            rates,
            self.scores,
        )
        path = self.folder / "ticket.safetensors"
        save_ticket(path, written, self.config, self.about)
        read = load_ticket(path)
        assert read.outcome == outcome
        assert {k: v.tobytes() for k, v in read.state.items()} == {
            k: v.tobytes() for k, v in written.state.items()
        }
        assert_same_arrays(read.pruned.masks, self.pruned.masks)
        assert_same_arrays(read.pruned.carried, self.pruned.carried)
        assert read.pruned.schedules == self.pruned.schedules
        assert_same_arrays(read.scores, self.scores)
        assert_same_arrays(read.rates, rates)
        for layer in open_ticket(path).layers:
            arrays = layer.read()
            np.testing.assert_array_equal(arrays.mask, self.pruned.masks[layer.name])
            np.testing.assert_array_equal(arrays.scores, self.scores[layer.name])
            assert layer.read_schedules() == (self.pruned.schedules[layer.name],)
        load_state(self.network, read.state)
        self.pruned, self.scores = read.pruned, read.scores

    @invariant()
    def nothing_returns_unless_it_may(self):
        """Only `revive` and the random recovery of u-Ticket bring weights back."""
        for name, mask in self.pruned.masks.items():
            carried = self.pruned.carried[name]
            if self.method != "u-ticket-code":
                np.testing.assert_array_equal(carried, mask)
            if self.method == "u-ticket":
                continue
            if self.method == "u-ticket-code" or not self.config.revive:
                assert not (carried & ~self.former.carried[name]).any()

    @invariant()
    def groups_are_balanced(self):
        """In their order all PEs of a group have the same load."""
        balanced = self.method in BALANCED or (
            self.method == "u-ticket" and self.pe_map == "output_channel"
        )
        if not balanced or self.pruning is None:
            return
        for name, mask in self.pruned.masks.items():
            pe_map = self.array.map_of(mask)
            scheduled = self.pruned.schedules[name].apply(mask)
            loads = pe_map.cell_loads(scheduled)
            assert (loads == pe_map.largest_of_group(loads)[pe_map.cell_group]).all()

    @invariant()
    def budgets_are_kept(self):
        """lth keeps exactly its budget; optimal methods keep that of every layer."""
        if self.pruning is None:
            return
        kept = {n: np.count_nonzero(mask) for n, mask in self.pruned.masks.items()}
        if self.method in ("lth", "lth-sorted"):
            candidates = self.pruning.candidates().values()
            weights = sum(candidate.size for candidate in candidates)
            most = sum(np.count_nonzero(candidate) for candidate in candidates)
            budget = budget_of_sparsity(self.sparsity, weights)
            assert sum(kept.values()) == min(budget, most)
        if self.method in ("optimal", "optimal-order"):
            masks = unstructured(self.pruning)
            in_order = self.method == "optimal"
            budgets = layer_budgets(self.pruning, masks, in_order=in_order)
            for name, budget in budgets.items():
                assert kept[name] <= budget

    @invariant()
    def pruned_weights_are_zero(self):
        """What the masks prune is exactly zero in the network."""
        for name, mask in self.pruned.masks.items():
            weight = self.network.get_submodule(name).weight.detach().numpy()
            assert not weight[~mask].any()


@pytest.mark.parametrize(("method", "pe_map"), CASES)
def test_rounds(method, pe_map, tmp_path):
    """Nested, balanced, within budget, scores kept, tickets read as written."""
    run_state_machine_as_test(
        partial(Rounds, method, pe_map, tmp_path),
        settings=settings(max_examples=EXAMPLES, stateful_step_count=15, deadline=None),
    )
