"""Estimators by the conventions of scikit-learn."""

from sparsefast.estimators.ksvd import KSVD as KSVD
from sparsefast.estimators.online import OnlineDictionaryLearning as OnlineDictionaryLearning
from sparsefast.estimators.sparse_coder import SparseCoder as SparseCoder
