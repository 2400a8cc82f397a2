"""Steps of a step model by onnxruntime, one thread; prints its version, then the nanoseconds of each step, and the logits of the last."""

import sys
import time

import numpy as np
import onnxruntime

path, rows_path, features, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rows = np.fromfile(rows_path, np.float32).reshape(-1, 1, features)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
inputs = {value.name: np.zeros(value.shape, np.float32) for value in session.get_inputs()}
inputs["dt_s"][...] = 0.001

times = []
for step in range(steps):
    inputs["features"] = rows[step % len(rows)]
    started = time.perf_counter_ns()
    outputs = session.run(names, inputs)
    times.append(time.perf_counter_ns() - started)
    outputs = dict(zip(names, outputs))
    for name in inputs:
        if name + "_next" in outputs:
            inputs[name] = outputs[name + "_next"]

print(onnxruntime.__version__)
print(*times)
print(*outputs["logits"].flatten())
