"""What scripts/ call: the commands that people type. Standard library only until the first run starts."""
