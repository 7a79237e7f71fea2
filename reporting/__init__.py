"""Reads finished runs and sets them in tables; knows nothing of PyTorch or Dassl, only of results.json files."""
