"""Source data sets, one module each; see datasets/source.py."""
