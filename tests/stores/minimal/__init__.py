"""An ENGINE on a store that neither locks nor notices what was read: only for tests."""
