"""`sparsefast bench patches`: unfold and fold beside what PyTorch, NumPy and scikit-learn have for them."""
