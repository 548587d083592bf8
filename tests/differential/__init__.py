"""The same models, rows and queries on several databases: the same answers."""
