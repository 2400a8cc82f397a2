"""Exported graphs under the official checker and ONNX Runtime, against what the native kernel answered.

Arguments: the exported folder, and one with `features`, `dt_s`, `regime`, `logits`, `forecast`: 32-bit floats, a row a step, outputs of the
first member. Prints the largest difference of each graph as JSON.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

exported, answers = map(pathlib.Path, sys.argv[1:])
signature = json.loads((exported / "signature.json").read_text())
widths = {value["name"]: int(value["shape"][1]) for value in signature["inputs"] + signature["outputs"]}
ROWS = ["features", "dt_s", "regime"]


def rows(name):
    return np.fromfile(answers / name, np.float32).reshape(-1, widths[name])


def session(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["chronos.features"]) == signature["features"], "metadata of the features"
    assert [entry.version for entry in model.opset_import] == [signature["opset"]], "operator set"
    runtime = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for side, values in (("inputs", runtime.get_inputs()), ("outputs", runtime.get_outputs())):
        shapes = {value.name: [str(length) for length in value.shape] for value in values}
        for value in signature[side]:
            shape = ["1", value["shape"][1]] if value["shape"][0] == "steps" and "step" in path.stem else value["shape"]
            assert shapes.pop(value["name"]) == shape, f"{path.name}: shape of {value['name']}"
        assert not shapes, f"{path.name}: {side} not in the signature: {shapes}"
    return runtime


def run(runtime, window):
    """Feeds windows of so many rows with carried states; the outputs of all rows."""
    names = [output.name for output in runtime.get_outputs()]
    states = {v["name"]: np.zeros((int(v["shape"][0]), int(v["shape"][1])), np.float32)
              for v in signature["inputs"] if v["name"] not in ROWS}
    found = {"logits": [], "forecast": []}
    inputs = {name: rows(name) for name in ROWS}
    for start in range(0, len(inputs["features"]), window):
        fed = {name: values[start:start + window] for name, values in inputs.items()} | states
        outputs = dict(zip(names, runtime.run(names, fed)))
        states = {name: outputs[name + "_next"] for name in states}
        for name, values in found.items():
            values.append(outputs[name])
    return {name: np.concatenate(values) for name, values in found.items()}


def largest_difference(found):
    return max(float(np.abs(values - rows(name)).max()) for name, values in found.items())


first, *others = signature["members"]
step, window = session(exported / first["step"]), session(exported / first["window"])
report = {
    "step": largest_difference(run(step, 1)),
    "window_64": largest_difference(run(window, 64)),
    "window_all": largest_difference(run(window, 1 << 30)),
    "others": [float(np.abs(run(session(exported / m["step"]), 1)["logits"]
                            - run(session(exported / m["window"]), 64)["logits"]).max()) for m in others],
    "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
}
print(json.dumps(report))
