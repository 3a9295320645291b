"""The tables of `balance`: narrow enough, and nothing in them that is not so."""

import pytest

from balancer import balance_ticket, shipped_ticket
from hwmodel import Hardware
from hwmodel.commands.balance_tables import baseline_table, network_table

TERMINAL = 80


@pytest.fixture(scope="module")
def document():
    report = balance_ticket(
        shipped_ticket(), hardware=Hardware.of(), compare=True, reorder=False
    )
    return report.to_dict()


def width(table):
    """Columns of a terminal that a table takes, with a space on each side of a cell."""
    cells = zip(table.header, *table.rows, strict=True)
    return sum(2 + max(map(len, column)) for column in cells)


def test_a_narrow_table_fits_a_terminal(document):
    """The short table takes at most 80 columns, and keeps what matters most."""
    narrow, full = network_table(document, narrow=True), network_table(document)
    assert width(narrow) <= TERMINAL < width(full)
    assert set(narrow.header) < set(full.header)
    assert {"layer", "utilization", "kept", "gap", "status"} < set(narrow.header)


def test_cells_stand_under_their_headers(document):
    """Whatever columns there are, a row holds the texts of its layer."""
    for narrow in (True, False):
        table = network_table(document, narrow)
        for cells, row in zip(table.rows, document["layers"], strict=False):
            named = dict(zip(table.header, cells, strict=True))
            assert named["layer"] == row["name"]
            assert named["kept"] == f"{row['kept_fraction']:.4f}"
            assert named["status"] == row["status"]
        assert table.rows[-1][0] == "network"


def test_without_hardware_there_is_no_column_of_cycles():
    """Where no cycles are known the table does not speak of any."""
    document = balance_ticket(shipped_ticket(), reorder=False).to_dict()
    assert "cycles" not in network_table(document).header


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
