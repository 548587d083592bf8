"""
An audit of a ledger: whether a server answers what its proven transactions say.

All transactions are proven, and for each row the last one that wrote it is noted, in a
file. Then all tables are read, and what the server answers is compared: a row that is
stale, left out or added is found, and so is a hidden table.
"""

from .audit import Audit, Unproven
from .checkpoint import load, save
from .comparing import Compared, Difference
from .history import History
from .report import Report, Signer, counted
from .versions import Versions

__all__ = [
    "Audit",
    "Compared",
    "Difference",
    "History",
    "Report",
    "Signer",
    "Unproven",
    "Versions",
    "counted",
    "load",
    "save",
]
