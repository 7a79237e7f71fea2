"""Prompt learning for CLIP in plain PyTorch: towers, prompts, the text encoder, the meta network, losses.

Nothing in here knows of Dassl, of files on disk other than checkpoints, or of configuration objects.
"""
