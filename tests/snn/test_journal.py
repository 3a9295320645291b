"""The log of a run: complete lines, no work twice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from snn.training.journal import Journal, JournalError  # noqa: E402
from snn.training.trainer import EpochReport  # noqa: E402

ROUNDS, EPOCHS = 3, 4


def report(epoch, loss=0.5):
    return EpochReport(epoch, EPOCHS, loss, 0.9, None, 0.1, 100.0, 1.5)


def play(journal, begin=(0, 0), until=(ROUNDS, 0), loss=0.5):
    """Write down the work from one (round, epochs done) to another."""
    for number in range(begin[0], until[0] + 1):
        first = begin[1] if number == begin[0] else 0
        last = until[1] if number == until[0] else EPOCHS
        for epoch in range(first, last):
            journal.epoch(number, report(epoch + 1, loss))
        if number < until[0]:
            journal.round(number, {"sparsity": 0.25 * number, "layers": ["a"]})


def test_lines_are_events(tmp_path):
    """Each line is a JSON object with its kind, its round and the values."""
    with Journal(tmp_path / "new" / "run") as journal:
        journal.epoch(2, report(3))
        journal.round(2, {"accuracy": 0.75, "layers": {"a": [1, 2]}})
    lines = (tmp_path / "new" / "run" / "log.jsonl").read_text().splitlines()
    first, second = map(json.loads, lines)
    assert first["event"] == "epoch"
    assert (first["round"], first["epoch"], first["epochs"]) == (2, 3, EPOCHS)
    assert (first["loss"], first["validation_accuracy"]) == (0.5, None)
    assert second == {
        "event": "round",
        "round": 2,
        "accuracy": 0.75,
        "layers": {"a": [1, 2]},
    }


POINTS = st.tuples(st.integers(0, ROUNDS - 1), st.integers(0, EPOCHS))


@given(killed=POINTS, resumed=POINTS, cut=st.integers(0, 60))
def test_a_resumed_log_is_that_of_a_run_without_break(
    tmp_path_factory, killed, resumed, cut
):
    """Wherever it was killed, inside a line too, and from wherever it goes on."""
    resumed = min(killed, resumed)
    folder = tmp_path_factory.mktemp("run")
    with Journal(folder / "straight") as straight:
        play(straight)
    with Journal(folder / "broken") as broken:
        play(broken, until=killed)
    with broken.path.open("a") as log:
        log.write(
            json.dumps({"event": "epoch", "round": killed[0]} | {"x": "y" * 60})[:cut]
        )
    with Journal(folder / "broken") as broken:
        broken.rewind_to(*resumed)
        play(broken, begin=resumed)
    assert broken.path.read_text() == straight.path.read_text()


def test_a_cut_line_does_not_spoil_the_next(tmp_path):
    """Opening the log again drops the rest of a line, so that appending is safe."""
    Journal(tmp_path).epoch(0, report(1))
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"event": "epoch", "ro')
    journal = Journal(tmp_path)
    journal.epoch(0, report(2))
    assert [event["epoch"] for event in journal.events()] == [1, 2]


def test_damaged_lines_are_reported(tmp_path):
    """A whole line that is no JSON is nothing that a kill leaves: it is named."""
    (tmp_path / "log.jsonl").write_text('{"event": "round", "round": 0}\nnonsense\n')
    with pytest.raises(JournalError, match=r"log\.jsonl, line 2"):
        Journal(tmp_path).events()


def test_scalars_are_written_once(tmp_path):
    """TensorBoard shows every step once, with the values of the resumed run."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    with Journal(tmp_path, tensorboard=True) as journal:
        play(journal, until=(1, 3), loss=1.0)
    with Journal(tmp_path, tensorboard=True) as journal:
        journal.rewind_to(1, 1)
        play(journal, begin=(1, 1), until=(2, 0), loss=2.0)

    def scalars(kind, name):
        shown = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard" / kind))
        shown.Reload()
        return [(event.step, event.value) for event in shown.Scalars(name)]

    losses = [(step, 1.0 if step <= 5 else 2.0) for step in range(1, 9)]
    assert scalars("epochs", "loss") == losses
    assert scalars("rounds", "sparsity") == [(0, 0.0), (1, 0.25)]
