"""`sparsefast bench ksvd`: the dictionary update beside its peers, and the whole of dictionary learning."""
