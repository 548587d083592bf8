"""Rows sort the same in memory and in a file."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit.engine import sorting
from backendkit.engine.parameters import InexactError
from backendkit.engine.sorting import sorted_rows
from backendkit.stores import BATCH_BYTES, sort_by, weight

ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 3),
        st.none() | st.text("ab", max_size=2),
        st.sampled_from([b"", bytes(50), bytes(1000)]),
        st.decimals(0, 3, places=1),
    ),
    max_size=60,
)
ORDERS = st.lists(
    st.tuples(st.sampled_from([0, 1, 3]), st.booleans()), min_size=1, max_size=3
)


@given(
    ROWS,
    ORDERS,
    st.none() | st.integers(0, 70),
    st.sampled_from([4, 500, 5_000, BATCH_BYTES]),
    st.integers(1, 20),
)
def test_sorting_is_stable_wherever_it_is_done(rows, ordering, high, whole, read):
    expected = list(sort_by(rows, ordering))[:high]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "_WHOLE", whole)
        patch.setattr(sorting, "_READ", read)
        assert list(sorted_rows(iter(rows), ordering, high, weight)) == expected
    assert list(sorted_rows(iter(rows), ordering, high, None)) == expected


def test_sqlite_sorts_by_what_is_large():
    rows = [(Decimal(n), str(n) * BATCH_BYTES) for n in range(20)]
    assert next(sorted_rows(rows, [(0, True)], None, weight))[0] == 19
    with pytest.raises(InexactError):
        sorted_rows(rows, [(1, False)], None, weight)
