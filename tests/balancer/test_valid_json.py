"""What is written as JSON every parser reads."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.valid_json import to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "not_finite"), VALUES))
def test_any_document_becomes_json_of_the_standard(document):
    """Nothing but numbers that are not finite changes, and each of them is told."""
    found = json.loads(to_json(document), parse_constant=pytest.fail)
    told = found.pop("not_finite", {})

    def same(given, read):
        if isinstance(given, dict):
            return given.keys() == read.keys() and all(
                same(given[k], read[k]) for k in given
            )
        if isinstance(given, list):
            return len(given) == len(read) and all(map(same, given, read))
        if isinstance(given, float) and not math.isfinite(given):
            return read is None
        return read == given

    assert same(document, found)
    assert set(told.values()) <= {"Infinity", "-Infinity", "NaN"}


def test_the_place_of_each_number_that_is_not_finite_is_said():
    """`not_finite` names them by their place, NumPy's too."""
    document = {
        "layers": [{"gap": np.float64("inf")}, {"gap": 0.0}],
        "loss": float("nan"),
    }
    found = json.loads(to_json(document))
    assert found["layers"] == [{"gap": None}, {"gap": 0.0}]
    assert found["not_finite"] == {"layers.0.gap": "Infinity", "loss": "NaN"}
