"""A full step of training by PyTorch, with a selective scan of its own backward pass; prints versions, the loss before the
first step, and median, p99 and maximum of the steps in seconds."""

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

description = json.load(open(sys.argv[1]))
batch, steps, features = (description[name] for name in ("batch", "steps", "features"))
torch.set_num_threads(description["threads"])
device = torch.device("cuda" if description["is_on_card"] else "cpu")

flat, parameters, at = np.fromfile(sys.argv[2], np.float32), {}, 0
for parameter in description["parameters"]:
    count = int(np.prod(parameter["shape"]))
    values = torch.from_numpy(flat[at : at + count].copy()).reshape(parameter["shape"])
    parameters[parameter["name"]] = values.to(device).requires_grad_()
    at += count
rows = torch.from_numpy(np.fromfile(sys.argv[3], np.float32)).to(device)
x, dt_s, targets = rows.split([batch * steps * features, batch * steps, batch])
x, dt_s = x.reshape(batch, steps, features), dt_s.reshape(batch, steps, 1)
classes = torch.tensor(description["classes"], device=device)
SCALES = torch.tensor([1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6], device=device)


class Scan(torch.autograd.Function):
    """The recurrence alone, step by step, with the states kept for the way back."""

    @staticmethod
    def forward(context, u, delta, a, b, c):
        decay = torch.exp(delta.unsqueeze(2) * a)
        entering = b.unsqueeze(3) * (delta * u).unsqueeze(2)
        states = torch.empty_like(decay)
        state = torch.zeros_like(decay[:, 0])
        for step in range(u.shape[1]):
            state = torch.addcmul(entering[:, step], decay[:, step], state)
            states[:, step] = state
        context.save_for_backward(u, delta, a, b, c, decay, states)
        return torch.einsum("btn,btnd->btd", c, states)

    @staticmethod
    def backward(context, gradient):
        u, delta, a, b, c, decay, states = context.saved_tensors
        of_states = c.unsqueeze(3) * gradient.unsqueeze(2)
        for step in range(u.shape[1] - 2, -1, -1):
            of_states[:, step].addcmul_(decay[:, step + 1], of_states[:, step + 1])
        of_exponent = torch.zeros_like(decay)
        torch.mul(of_states[:, 1:], states[:, :-1], out=of_exponent[:, 1:])
        of_exponent.mul_(decay)
        of_entering = torch.einsum("btn,btnd->btd", b, of_states)
        of_delta = torch.einsum("nd,btnd->btd", a, of_exponent) + of_entering * u
        of_a = torch.einsum("btd,btnd->nd", delta, of_exponent)
        of_b = torch.einsum("btd,btnd->btn", delta * u, of_states)
        of_c = torch.einsum("btd,btnd->btn", gradient, states)
        return of_entering * delta, of_delta, of_a, of_b, of_c


def affine(name, value):
    return value @ parameters[name + ".weight"] + parameters[name + ".bias"]


def rms(name, value):
    return value * torch.rsqrt(value.square().mean(-1, keepdim=True) + 1e-5) * parameters[name + ".weight"]


def head(name, value):
    return affine(name + ".output", F.silu(affine(name + ".hidden", value)))


def block(name, residual):
    p = {key[len(name) + 1 :]: value for key, value in parameters.items() if key.startswith(name + ".")}
    u, z = (rms(name + ".norm", residual) @ p["in_proj.weight"]).chunk(2, -1)
    taps, channels = p["conv.weight"].shape
    padded = F.pad(u.transpose(1, 2), (taps - 1, 0))
    u = F.silu(F.conv1d(padded, p["conv.weight"].t().unsqueeze(1), p["conv.bias"], groups=channels)).transpose(1, 2)
    states = p["a_log"].shape[0]
    low, b, c = (u @ p["x_proj.weight"]).split([p["dt_proj.weight"].shape[0], states, states], -1)
    delta = F.softplus(low @ p["dt_proj.weight"] + p["dt_proj.bias"])
    y = Scan.apply(u, delta, -torch.exp(p["a_log"]), b, c) + p["d"] * u
    return residual + (y * F.silu(z)) @ p["out_proj.weight"]


def focal(logits):
    log_p = F.log_softmax(logits, -1).gather(1, classes.unsqueeze(1)).squeeze(1)
    return (-((1 - log_p.exp()) ** 2) * log_p).mean()


def loss():
    residual = affine("input", x) + torch.log1p(dt_s * SCALES) @ parameters["time.weight"]
    residual = residual * 2 * torch.sigmoid(affine("volatility", x))
    auxiliary = None
    for layer in range(description["layers"]):
        residual = block(f"layers.{layer}", residual)
        if layer + 1 == description["auxiliary_after"]:
            auxiliary = head("auxiliary.0.head", rms("auxiliary.0.norm", residual[:, -1]))
    normed = rms("norm", residual[:, -1])
    forecast = F.huber_loss(head("forecast", normed).squeeze(1), targets)
    return focal(head("logits", normed)) + forecast + 0.3 * focal(auxiliary)


decaying = [parameters[parameter["name"]] for parameter in description["parameters"] if parameter["decays"]]
spared = [parameters[parameter["name"]] for parameter in description["parameters"] if not parameter["decays"]]
groups = [{"params": decaying, "weight_decay": description["weight_decay"]}, {"params": spared, "weight_decay": 0.0}]
optimiser = torch.optim.AdamW(groups, lr=description["learning_rate"])

times, first = [], loss().item()
for run in range(description["runs"] + 3):
    started = time.perf_counter()
    optimiser.zero_grad()
    total = loss()
    total.backward()
    optimiser.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    times.append(time.perf_counter() - started)
times = np.sort(times[3:])
print(f"torch {torch.__version__} on {device}, threads {torch.get_num_threads()}; loss before: {first:.6f}, after: {total.item():.6f}")
print(f"{len(times)} runs  median {np.median(times):.6f}  p99 {np.quantile(times, 0.99, method='higher'):.6f}  max {times[-1]:.6f} s")
