"""Collections of sources, one module each; see datasets/source.py."""
