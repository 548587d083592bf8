"""The log after the migrations."""
