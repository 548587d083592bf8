"""The same writes: the same tables."""

import pytest
from hypothesis import given

from .cases import check_writes
from .examples import cases, examples
from .writes import writes


@pytest.mark.parametrize("part", [1, 2])
@examples(0.13)
@given(case=cases(writes, most=5))
def test_writes(compared, part, case):
    """update, delete, save, bulk and nested transactions, valid and not."""
    check_writes(case, compared)
