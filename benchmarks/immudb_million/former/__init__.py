"""The log as it is before the migrations: while it is loaded."""
