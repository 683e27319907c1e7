"""Training of any of the systems: what their pipelines share."""
