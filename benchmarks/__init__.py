"""Speed and memory, always as a ratio against a plain path measured in the same run."""
