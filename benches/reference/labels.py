"""The book's barriers (snippet 3.2) on some events, and sequential bootstrap with prefix sums for some draws, by numpy and pandas.

Arguments: folder of the inputs, events, draws, all events, all draws. Whole they would take hours: the last column is scaled up.
"""

import sys

import numpy as np
import pandas as pd
from measured import measured

folder, events_count, draws, events_all, draws_all = sys.argv[1], *map(int, sys.argv[2:6])
close = pd.Series(np.fromfile(folder + "/closes", np.float64))
target = np.fromfile(folder + "/targets", np.float64)
start, end = np.fromfile(folder + "/starts", np.int64), np.fromfile(folder + "/ends", np.int64)


def barriers():
    for event in range(1000, 1000 + events_count):
        path = close.iloc[event : event + 101]
        path = path / path.iloc[0] - 1
        (path[path > 2 * target[event]].index.min(), path[path < -2 * target[event]].index.min())


def bootstrap():
    count = np.zeros(len(close))
    rng = np.random.default_rng(0)
    for _ in range(draws):
        sums = np.concatenate(([0.0], np.cumsum(1.0 / (1.0 + count))))
        average = (sums[end + 1] - sums[start]) / (end - start + 1)
        cumulative = np.cumsum(average)
        label = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
        count[start[label] : end[label] + 1] += 1


print(f"numpy {np.__version__}, pandas {pd.__version__}")
seconds = measured(f"the book's barriers, {events_count} events", 3, barriers)
print(f"for {events_all} events, scaled up: {seconds * events_all / events_count:.0f} s")
seconds = measured(f"bootstrap with prefix sums, {draws} draws", 3, bootstrap)
print(f"for {draws_all} draws, scaled up: {seconds * draws_all / draws:.0f} s")
