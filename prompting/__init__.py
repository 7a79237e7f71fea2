"""Prompt learning for CLIP in plain PyTorch: towers, prompts, the text encoder, the meta network, losses.

Nothing in here knows of Dassl, of data sets or of configuration objects; on disk it knows checkpoints
and the feature bank.
"""
