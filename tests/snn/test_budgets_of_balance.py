"""`balance` gives layers the budgets that rounds of the lottery give them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from balancer import ArrayLayer, InfeasibleError, LayerCost, balance_network
from balancer.network.layer_counts import RULES
from snn.lottery.pruning import Pruning, layer_budgets, unstructured


@given(
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 10**6),
    sparsity=st.floats(0, 0.97),
    density=st.sampled_from([0.5, 0.9, 1.0]),
    pes=st.sampled_from([2, 4]),
)
def test_budgets_are_those_of_a_round(rule, seed, sparsity, density, pes):
    """By every rule, also of layers with ragged tiles and pruned weights."""
    rng = np.random.default_rng(seed)
    shapes = {
        f"l{number}": (*map(int, rng.integers(2, 13, 2)), 3)[: rng.integers(2, 4)]
        for number in range(3)
    }
    scores = {
        name: rng.random(shape) * 10.0 ** rng.integers(-2, 3)
        for name, shape in shapes.items()
    }
    masks = {name: rng.random(shape) < density for name, shape in shapes.items()}
    costs = {name: LayerCost(float(rng.integers(0, 9))) for name in shapes}
    pruning = Pruning(scores, masks, masks, sparsity, 0.5, rule, pes=pes, costs=costs)
    layers = [ArrayLayer(name, scores[name], masks[name]) for name in shapes]

    def balanced():
        return balance_network(
            layers,
            sparsity=sparsity,
            budgets=rule,
            costs=costs,
            pes=pes,
            nested=True,
        )

    try:
        expected = layer_budgets(pruning, unstructured(pruning))
    except InfeasibleError:
        try:
            balanced()
        except InfeasibleError:
            return
        raise AssertionError("the lottery refuses what balance does not") from None
    found = {
        layer.name: layer.solution.nonzeros + layer.solution.remainder
        for layer in balanced().layers
    }
    assert found == expected
