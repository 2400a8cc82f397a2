"""Index sets of combinatorial purged cross-validation by skfolio, or by numpy where it is not installed; prints name and seconds."""

import itertools
import sys
import time

import numpy as np

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
        start = time.perf_counter()
        count = sum(len(train) for train, _ in splits())
        print(name, time.perf_counter() - start, count)
    except ImportError:
        pass
