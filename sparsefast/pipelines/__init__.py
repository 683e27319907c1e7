"""The systems that can be trained, a folder each: none knows another."""
