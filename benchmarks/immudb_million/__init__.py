"""
One million rows on a stock immudb: ``python -m benchmarks.immudb_million``.

A log of events is loaded, migrated, changed, read and emptied, on a server of its own
with default limits. Each step is a process of its own, so that its memory is its own.
"""
