"""An ENGINE on a store of BufferedSession: only for tests."""
