"""
Kinds of operations, and how slow LMDB may be at them beside SQLite.

The bounds were set before anything was measured, and aren't changed to fit.
"""

KEY = "by key or index"
INSTANCES = "instances"
VALUES = "values_list()"
GROUP_BY = "group by over a join"
CREATES = "creates"
UPDATES = "updates"
DELETES = "deletes"
PAGE = "admin page"
ROWS = "each row in Python"
SCHEMA = "schema"
PROCESS = "process"
#: No bound: what no Django backend on this driver and disk can be faster than.
FLOOR = "floor"

#: The most that time (or memory) on LMDB may be, as a multiple of that on SQLite.
TARGETS = {
    KEY: 1.0,
    INSTANCES: 1.0,
    VALUES: 2.0,
    GROUP_BY: 4.0,
    CREATES: 1.0,
    UPDATES: 1.0,
    DELETES: 1.0,
    PAGE: 1.0,
    ROWS: 8.0,
    SCHEMA: 3.0,
    PROCESS: 1.3,
}
#: For the geometric mean of all operations, those of a process aside.
MEAN_TARGET = 1.1
