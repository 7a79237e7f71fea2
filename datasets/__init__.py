"""Dassl data sets of this project. Importing the package registers them all."""

from datasets import garden8 as garden8
