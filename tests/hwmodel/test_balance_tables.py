"""The tables of `balance`: narrow enough, and nothing in them that is not so."""

import numpy as np
import pytest

from balancer import Ticket, balance_ticket, open_ticket, shipped_ticket
from balancer.files.array_files import ArraysInMemory
from hwmodel import Hardware
from hwmodel.commands.balance_tables import baseline_table, network_table
from hwmodel.commands.text_tables import draw
from hwmodel.effective import count_effective

TERMINAL = 80


@pytest.fixture(scope="module")
def document():
    report = balance_ticket(
        shipped_ticket(), hardware=Hardware.of(), compare=True, reorder=False
    )
    return report.to_dict()


def test_cells_stand_under_their_headers(document):
    """A row holds the texts of its layer."""
    table = network_table(document)
    for cells, row in zip(table.rows, document["layers"], strict=False):
        named = dict(zip(table.header, cells, strict=True))
        assert named["layer"] == row["name"]
        assert named["kept"] == f"{row['kept_fraction']:.4f}"
        assert named["status"] == row["status"]
    assert table.rows[-1][0] == "network"


def test_the_table_of_a_terminal_shows_what_matters(document):
    """In 80 columns, with long names too, only solver and time have no room."""
    rows = [row | {"name": f"module.{row['name']}" * 3} for row in document["layers"]]
    for named in (document, {**document, "layers": rows}):
        drawn = draw(network_table(named), TERMINAL)
        assert max(map(len, (*drawn.header, *drawn.rows))) <= TERMINAL
        assert set(drawn.left_out) == {"time", "solver"}
        text = "\n".join(drawn.rows)
        for row in named["layers"]:
            assert row["name"] in text
            assert f"{row['kept_fraction']:.4f}" in text


def test_an_empty_layer_has_neither_utilization_nor_a_share():
    """Nothing is kept of it, so the table has dashes where perfect numbers stood."""
    layers = {"a": np.ones((4, 4)), "b": np.full((4, 4), 9.0)}
    arrays = {f"{name}.score": values for name, values in layers.items()}
    ticket = Ticket.of(ArraysInMemory(arrays))
    report = balance_ticket(
        ticket, scope="global", budget=8, pes=4, allow_empty=True, compare=True
    )
    document = report.to_dict()
    row = dict(
        zip(
            network_table(document).header, network_table(document).rows[0], strict=True
        )
    )
    assert row["utilization"] == "1.000 → -"
    assert (row["kept"], row["price"]) == ("-", "-")
    assert document["layers"][0]["kept_fraction"] is None
    assert "Without any weight: a; the network computes nothing." in report.notes


def test_without_hardware_there_is_no_column_of_cycles():
    """Where no cycles are known the table does not speak of any."""
    document = balance_ticket(shipped_ticket(), reorder=False).to_dict()
    assert "cycles" not in network_table(document).header


def test_effective_weights_stand_beside_the_others_where_they_are_known(document):
    """Of the layers, and added up; without them there is no column."""
    ticket = open_ticket(shipped_ticket())
    report = balance_ticket(ticket, effective=count_effective(ticket), reorder=False)
    table = network_table(report.to_dict())
    place = table.header.index("effective")
    assert table.header[place - 1] == "non-zeros"
    before, after = (
        [one[layer.name] for layer in report.layers]
        for one in (report.effective_before, report.effective)
    )
    pairs = zip([*before, sum(before)], [*after, sum(after)], strict=True)
    assert [row[place] for row in table.rows] == [f"{a:,} → {b:,}" for a, b in pairs]
    assert "effective" not in network_table(document).header


def test_ours_stands_last_among_the_methods(document):
    """Below the other methods of a layer stands the mask that was made."""
    rows = baseline_table(document).rows
    methods = len(document["layers"][0]["baselines"]) + 1
    assert len(rows) == methods * len(document["layers"])
    for layer, row in zip(
        document["layers"], rows[methods - 1 :: methods], strict=True
    ):
        assert row[1] == f"balance ({layer['solver']})"
        assert row[2] == f"{layer['nonzeros']:,}"
