"""
An audit of a ledger: whether a server answers what its proven transactions say.

All transactions are proven, and for each row the last one that wrote it is noted, in a
file. Then all tables are read, and what the server answers is compared: a row that is
stale, left out or added is found, and so is a hidden table.
"""
