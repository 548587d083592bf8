"""The contract, for stores that differ in how they isolate transactions."""

from backendkit.stores.testing import StoreContract
from tests.effort import later


class OtherIsolation(StoreContract):
    """
    A store that isolates transactions in its own way, and finds rows as the others do.

    What compares each filter with every other is for ``make check``.
    """

    test_comparisons = later(StoreContract.test_comparisons)
    test_filters_together = later(StoreContract.test_filters_together)
    test_names = later(StoreContract.test_names)
    test_order = later(StoreContract.test_order)
    test_patterns = later(StoreContract.test_patterns)
    test_update_by_filter = later(StoreContract.test_update_by_filter)
