//! One step of the model: the step graph, its ONNX form, tract and the native kernel.
