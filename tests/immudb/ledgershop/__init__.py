"""An application with models whose admin is the ledger's."""
