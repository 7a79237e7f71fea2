"""What was trained, in use: a finished run, or what was exported of it, classifies photographs without its data.

Plain PyTorch and `prompting/`.
"""

from classifier.classifier import Classifier as Classifier
from classifier.predictions import Predictions as Predictions
from classifier.predictions import TaskPredictions as TaskPredictions
