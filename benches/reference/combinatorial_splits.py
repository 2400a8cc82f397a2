"""Index sets of combinatorial purged cross-validation by skfolio, where it is installed, and by numpy."""

import itertools
import sys

import numpy as np
from measured import measured

rows, folds, test_folds, purge, embargo = map(int, sys.argv[1:6])


def by_numpy():
    size = rows // folds
    edges = [fold * size for fold in range(folds)] + [rows]
    index = np.arange(rows)
    for chosen in itertools.combinations(range(folds), test_folds):
        kept = np.ones(rows, dtype=bool)
        tests = []
        for fold in chosen:
            first, last = edges[fold], edges[fold + 1]
            kept[max(first - purge, 0) : last + purge + embargo] = False
            tests.append(index[first:last])
        yield index[kept], tests


def by_skfolio():
    from skfolio.model_selection import CombinatorialPurgedCV

    splitter = CombinatorialPurgedCV(n_folds=folds, n_test_folds=test_folds, purged_size=purge, embargo_size=embargo)
    return splitter.split(np.zeros((rows, 1)))


for name, splits in (("skfolio", by_skfolio), ("numpy", by_numpy)):
    try:
        measured(f"row numbers, purged by bars, {name}", 5, lambda: sum(len(train) for train, _ in splits()))
    except ImportError as error:
        print(f"{name} skipped: {error}")
