"""What the methods in trainers/ share: batches per task, image features, training, testing, checkpoints."""
