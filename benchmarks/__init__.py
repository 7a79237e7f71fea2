"""Speed and memory, always as a ratio to a plain path measured in the same run.

Run them as modules from the repository: python -m benchmarks.text_encoder.
"""
