"""`sparsefast bench train`: how fast batches come, how fast a step is, and what the platform costs between the two."""
