"""Made pictures of three kinds, each with statistics of natural images that are known exactly."""
