"""Lottery runs for a PE array of one's own: masks, cycles, what tells two apart."""

import json

import pytest

pytest.importorskip("torch")

from balancer import BalancerError, LoadMetrics, PEMap, open_ticket, register_map
from snn import LotteryConfig, run_lottery
from snn.lottery.config import ConfigError

PAIRS = "group: out // 8\npe: (out // 2 % 4) * 3 + row\npes: 12\n"
TEXT = "pes=12; group=out // 8; pe=out // 2 % 4 * 3 + row"
SMALL = {
    "network": "8c3-mp2-16c3-fc10",
    "train_size": 64,
    "timesteps": 1,
    "epochs": 1,
    "rewind": 0,
    "sparsities": (0.5,),
    "method": "optimal",
}


def test_a_run_is_told_by_what_the_file_says(tmp_path):
    """Masks fit the array; without the file, a run goes on under its content's name."""
    file = tmp_path / "mine.yaml"
    file.write_text(PAIRS)
    config = LotteryConfig(map=str(file), **SMALL)
    assert (config.map, config.pes) == (TEXT, 12)
    result = run_lottery(config, root=tmp_path)
    assert result.last.utilization == 1.0
    assert all(layer.cycles is not None for layer in result.last.layers)
    ticket = open_ticket(result.ticket())
    for layer in ticket.layers:
        pe_map = PEMap.parse(TEXT, layer.shape)
        assert LoadMetrics.of(layer.read_mask(), pe_map).mu == 1.0
    file.rename(tmp_path / "moved.yml")
    again = LotteryConfig(map=str(tmp_path / "moved.yml"), **SMALL)
    assert again.digest() == config.digest()
    assert run_lottery(again, root=tmp_path, resume=True).folder == result.folder
    stored = json.loads((result.folder / "config.json").read_text())
    assert LotteryConfig.of(stored.get("config", stored)) == config


def test_two_maps_of_one_name_are_two_runs(tmp_path):
    """Of a registered map the function counts, not its name alone."""
    cut = {"by": 2}

    def place(o, i, r, c):
        return o // 4, o % 4 // cut["by"]

    register_map("mine_in_runs", place=place)
    config = LotteryConfig(map="mine_in_runs", pes=4, **SMALL)
    first = run_lottery(config, root=tmp_path)
    assert run_lottery(config, root=tmp_path, resume=True).folder == first.folder
    cut["by"] = 1
    second = run_lottery(config, root=tmp_path)
    assert second.folder != first.folder
    assert first.last.utilization == second.last.utilization == 1.0


def test_what_cannot_be_ordered_is_refused_before_training(tmp_path):
    """The layer is named, and what to use; pairs of channels share PEs."""
    config = LotteryConfig(map=TEXT, **SMALL | {"method": "optimal-order"})
    said = "cannot order the channels of layer .* on the PE map pes=12.*use 'optimal'"
    with pytest.raises(BalancerError, match=said):
        run_lottery(config, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_tiles_of_ones_own_are_ordered(tmp_path):
    """Channels of tiles dealt in turn change places, as those of the package do."""
    own = "pes=4; group=out % 4; pe=out // 4 % 4"
    config = LotteryConfig(map=own, **SMALL | {"method": "optimal-order"})
    result = run_lottery(config, root=tmp_path)
    assert result.last.utilization == 1.0
    layer = next(x for x in open_ticket(result.ticket()).layers if len(x.shape) == 4)
    arrays = layer.read()
    scheduled = arrays.schedule_along(0).apply(arrays.mask)
    assert LoadMetrics.of(scheduled, PEMap.parse(own, layer.shape)).mu == 1.0


def test_a_wrong_map_is_no_configuration():
    """One line says which formula is wrong."""
    with pytest.raises(ConfigError, match="formula `pe` 'channel'") as caught:
        LotteryConfig.of({"map": "group=0; pe=channel"})
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="`pes` is 4, but the PE map"):
        LotteryConfig.of({"map": TEXT, "pes": 4})
