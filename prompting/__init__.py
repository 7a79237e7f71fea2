"""Prompt learning for CLIP in plain PyTorch: towers, prompts, the text encoder, the meta network, losses.

Nothing here depends on Dassl, data sets or configuration objects. The only files that it reads or writes are
checkpoints and the feature bank.
"""
