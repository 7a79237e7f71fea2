"""Tools for data sets: fetch, check, show."""
