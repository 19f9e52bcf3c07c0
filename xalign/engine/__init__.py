"""The one training loop: batches, launch, checkpoints, and the steps between them."""
