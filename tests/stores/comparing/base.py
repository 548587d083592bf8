"""
``ENGINE = "tests.stores.comparing"``: as the minimal one, with preconditions.

OPTIONS are ``snapshots`` and ``remote``.
"""

from dataclasses import replace

from tests.stores.engine import base
from tests.stores.minimal.base import MinimalStore


class ComparingStore(MinimalStore):
    capabilities = replace(MinimalStore.capabilities, preconditions=True)


class DatabaseWrapper(base.DatabaseWrapper):
    display_name = "Comparing"
    store_class = ComparingStore
    store_vendor = "comparing"
    opened = {}

    def open_store(self, name, options):
        options = {**options, "serializable": False, "preconditions": True}
        return super().open_store(name, options)
