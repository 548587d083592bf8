"""A small application, the same on both engines."""
