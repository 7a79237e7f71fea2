"""What the methods in trainers/ share: tasks in batches, the tower's features, training, testing, checkpoints."""
