"""
``ENGINE = "tests.stores.minimal"``: a BufferedSession as an author begins with it.

Changed rows are compared with what they were, and nothing else is.
"""

from dataclasses import replace

from backendkit.backends.memory.store import MemoryStore
from tests.stores.buffered import BufferedStore
from tests.stores.engine import base


class MinimalStore(BufferedStore):
    capabilities = replace(MemoryStore.capabilities, locks=False, serializable=False)


class DatabaseWrapper(base.DatabaseWrapper):
    display_name = "Minimal"
    store_class = MinimalStore
    store_vendor = "minimal"
    opened = {}

    def open_store(self, name, options):
        return super().open_store(name, {**options, "serializable": False})
