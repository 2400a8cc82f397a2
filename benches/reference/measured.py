"""Times work as the benches do: once that does not count, then so many runs; prints median, p99 and maximum."""

import math
import time


def measured(name, runs, work):
    work()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    seconds.sort()

    def at(quantile):
        return seconds[max(math.ceil(len(seconds) * quantile), 1) - 1]

    print(f"{name:<62} {runs:>4} runs  median {at(0.5):>10.6f}  p99 {at(0.99):>10.6f}  max {at(1.0):>10.6f} s")
    return at(0.5)
