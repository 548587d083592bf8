"""What ends a run before it began."""


class UsageError(Exception):
    """The run can't start as asked: one clear line, and exit code 2."""
