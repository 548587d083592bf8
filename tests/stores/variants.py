"""The contract, for stores that differ in a part of it from others of their kind."""

from backendkit.stores.testing import StoreContract
from tests.effort import later


class Variant(StoreContract):
    """
    A store of which another one of its kind shows that it finds the right rows.

    What compares each filter with every other is for ``make check``.
    """

    test_comparisons = later(StoreContract.test_comparisons)
    test_filters_together = later(StoreContract.test_filters_together)
    test_names = later(StoreContract.test_names)
    test_order = later(StoreContract.test_order)
    test_patterns = later(StoreContract.test_patterns)
    test_update_by_filter = later(StoreContract.test_update_by_filter)
