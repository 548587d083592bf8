"""LMDB: an embedded database, for one machine and many processes."""
