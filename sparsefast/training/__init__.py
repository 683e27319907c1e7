"""Training on Lightning: a `Task` says what is learned, and the platform does what every training needs.

`fit` trains a task: resumable to the same bits, averaged weights, metrics, pictures, logs, one process or many. What a
model brings is in `sparsefast.pipelines`; what a run is made of, in `sparsefast.conf`.
"""
