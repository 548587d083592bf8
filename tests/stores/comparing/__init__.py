"""An ENGINE on a store that compares rows which were read for update: only for tests."""
