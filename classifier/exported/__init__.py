"""The files that are copied into every export as they are."""
