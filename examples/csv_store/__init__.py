"""A database of CSV files, which are only read: each NAME.csv of a folder is a table."""
