"""immudb: a ledger, whose answers can be proven and whose past can be read."""
