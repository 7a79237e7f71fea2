"""Accuracies and distances."""

from .accuracy import compute_accuracy, compute_ci95
from .distance import compute_distance_matrix, cosine_distance, euclidean_squared_distance

__all__ = [
    "compute_accuracy",
    "compute_ci95",
    "compute_distance_matrix",
    "cosine_distance",
    "euclidean_squared_distance",
]
