"""Django on LMDB measured beside Django on SQLite: ``python -m benchmarks``."""
