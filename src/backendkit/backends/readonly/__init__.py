"""``ENGINE = "backendkit.backends.readonly"``: any other ENGINE, for reading only."""

from .errors import ReadOnlyError

__all__ = ["ReadOnlyError"]
