"""Golden cases of the activations. See make.py."""

from reference import Family, agree, keras, np, torch

import torch.nn.functional as F


def sparsemax(x, axis):
    """Follows algorithm 1 of the paper. Keras 3.15 uses a wrong threshold (keras issue 23425)."""
    z, _ = torch.sort(x, dim=axis, descending=True)
    k = torch.arange(1.0, x.shape[axis] + 1).reshape([-1 if d == axis % x.ndim else 1
                                                      for d in range(x.ndim)])
    support = 1 + k * z > z.cumsum(axis)
    total = torch.where(support, z, 0.0).sum(axis, keepdim=True)
    tau = (total - 1) / support.sum(axis, keepdim=True)
    y = torch.clamp(x - tau, min=0.0)
    agree(y.sum(axis), torch.ones(y.sum(axis).shape), 1e-14, "sparsemax")
    return y


# PyTorch's gradients of these hold 1 / alpha and 1 / 6 in float32, also for float64. So the
# formulas are written out here; PyTorch agrees to 1e-7.
WRITTEN_OUT = {
    "celu": lambda x, alpha=1.0: torch.where(x > 0, x, alpha * torch.expm1(x / alpha)),
    "hard_sigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0.0, 1.0),
}


def activations():
    f = Family("activations", 6)
    # Off the kinks of every function below (0, 0.3, 0.5, 0.7, 0.8, 1, 3, 4.7, 6 and negatives).
    grid = np.concatenate([np.arange(-7.87, 8, 0.29), [-40, -20, -12.5, 12.5, 20, 40],
                           [-1e-3, 1e-3, -0.4999, 0.5001]]).round(4)
    a = keras.activations
    for name, options, torch_function in [
            ("linear", {}, None), ("relu", {}, F.relu),
            ("relu", {"negative_slope": 0.1, "max_value": 4.0, "threshold": 0.7}, None),
            ("leaky_relu", {}, lambda x: F.leaky_relu(x, 0.2)),
            ("leaky_relu", {"negative_slope": 0.05}, lambda x: F.leaky_relu(x, 0.05)),
            ("relu6", {}, F.relu6), ("elu", {}, F.elu),
            ("elu", {"alpha": 1.5}, lambda x: F.elu(x, 1.5)),
            ("selu", {}, F.selu), ("celu", {}, F.celu),
            ("celu", {"alpha": 0.7}, lambda x: F.celu(x, 0.7)), ("gelu", {}, F.gelu),
            ("gelu", {"approximate": True}, lambda x: F.gelu(x, approximate="tanh")),
            ("silu", {}, F.silu), ("softplus", {}, F.softplus), ("softsign", {}, F.softsign),
            ("tanh", {}, torch.tanh), ("sigmoid", {}, torch.sigmoid),
            ("hard_sigmoid", {}, F.hardsigmoid), ("hard_silu", {}, F.hardswish),
            ("hard_tanh", {}, F.hardtanh), ("hard_shrink", {}, F.hardshrink),
            ("hard_shrink", {"threshold": 0.8}, lambda x: F.hardshrink(x, 0.8)),
            ("soft_shrink", {}, F.softshrink),
            ("soft_shrink", {"threshold": 0.3}, lambda x: F.softshrink(x, 0.3)),
            ("tanh_shrink", {}, F.tanhshrink), ("mish", {}, F.mish),
            ("exponential", {}, torch.exp), ("log_sigmoid", {}, F.logsigmoid),
            ("sparse_plus", {}, None), ("sparse_sigmoid", {}, None), ("squareplus", {}, None),
            ("squareplus", {"b": 1.5}, None),
            ("threshold", {"threshold": 0.7, "default_value": -0.2},
             lambda x: F.threshold(x, 0.7, -0.2))]:
        function = WRITTEN_OUT.get(name, getattr(a, name))
        leaves, outputs = f.add(f"{name} {options or ''}".strip(),
                                {"function": name, "options": options}, {"x": grid},
                                lambda x: function(x, **options))
        if torch_function is not None:  # a second opinion, since Keras writes the formula out
            x = torch.tensor(grid, requires_grad=True)
            y = torch_function(x)
            c = torch.tensor(f.cases[-1]["cotangents"]["output"]["data"])
            (y * c).sum().backward()
            tolerance = 1e-7 if name in WRITTEN_OUT else 1e-14
            agree(y, outputs["output"], 1e-14, name)
            agree(x.grad, leaves["x"].grad, tolerance, name)
    for name, axis in [("glu", -1), ("glu", 0), ("softmax", -1), ("softmax", 1),
                       ("log_softmax", -1), ("log_softmax", 0), ("sparsemax", -1),
                       ("sparsemax", 0)]:
        function = sparsemax if name == "sparsemax" else getattr(a, name)
        f.add(f"{name} axis {axis}", {"function": name, "options": {"axis": axis}},
              {"x": f.uniform(4, 3, 6, low=-2, high=2)}, lambda x: function(x, axis=axis))
    f.write()
