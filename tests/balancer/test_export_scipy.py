"""Layers as sparse matrices of SciPy."""

import json

import numpy as np
import pytest
from cases import masked_layers
from hypothesis import given

from balancer import (
    BalancerError,
    PEMap,
    balance_ticket,
    export_scipy,
    open_ticket,
    shipped_ticket,
    sparse_layer,
)

sparse = pytest.importorskip("scipy.sparse", reason="needs the extra export")


@given(masked_layers())
def test_the_matrices_of_the_pes_add_up_to_the_layer(case):
    """Every kept weight, zeros too, is in its place, once in all and once in its PE."""
    weights, mask, pe_map, schedules = case
    made = sparse_layer(weights, mask, pe_map, schedules)
    pruned = np.where(mask, weights, np.float32(0)).reshape(made.whole.shape)
    assert np.array_equal(made.whole.toarray(), pruned)
    assert made.whole.nnz == mask.sum()
    assert len(made.pes) == pe_map.pes
    assert np.array_equal(sum(one.toarray() for one in made.pes), pruned)
    for schedule in schedules:
        mask = schedule.apply(mask)
    loads = pe_map.loads(mask).sum(axis=0)
    assert [one.nnz for one in made.pes] == loads.tolist()


def test_a_ticket_is_exported(tmp_path):
    """The files hold the masked weights of each layer, and what each PE has of them."""
    report = balance_ticket(shipped_ticket(), order="optimized", pes=8)
    masks = report.save(tmp_path / "balanced").masks
    solutions = {one.name: one.solution for one in report.solution.layers}
    made = export_scipy(tmp_path / "out", shipped_ticket(), masks)
    for layer in open_ticket(shipped_ticket()).layers:
        whole = sparse.load_npz(tmp_path / "out" / f"{layer.name}.npz")
        solution = solutions[layer.name]
        weights = np.where(solution.mask, layer.read_weight(), 0)
        assert np.array_equal(whole.toarray(), weights.reshape(whole.shape))
        for pe, load in enumerate(solution.loads.sum(axis=0)):
            matrix = sparse.load_npz(tmp_path / "out" / f"{layer.name}.pe{pe}.npz")
            assert matrix.nnz == load
            assert (matrix != made[layer.name].pes[pe]).nnz == 0


def test_a_map_can_be_given(tmp_path):
    """Matrices are those of the PEs asked for, and the description counts them."""
    made = export_scipy(tmp_path / "out", shipped_ticket(), pe_map="grid:2x3", pes=7)
    known = json.loads((tmp_path / "out" / "export.json").read_text())
    assert {layer["pes"] for layer in known["layers"]} == {6}
    assert {len(layer.pes) for layer in made.values()} == {6}


def test_what_does_not_fit_is_refused():
    """Weights of another shape than the map are named, with what is needed."""
    pe_map = PEMap.banked((2, 2), 2)
    with pytest.raises(BalancerError, match="the PE map needs"):
        sparse_layer(np.ones((2, 3)), np.ones((2, 3), bool), pe_map)
