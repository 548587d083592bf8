"""Redis, or Valkey, as a database with transactions."""
