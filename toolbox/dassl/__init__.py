"""Dassl's public interface on current PyTorch: configuration, data, trainers, evaluation for image classification.

Plugins written against upstream Dassl 0.6.3 (``KaiyangZhou/Dassl.pytorch``) import the same names from the same places.
"""

__version__ = "0.7.0"
