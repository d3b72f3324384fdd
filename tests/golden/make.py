"""Writes the golden files of this folder: values and gradients made by Keras and PyTorch.

    python3 -m venv venv
    venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make.py

Everything is computed in float64 on the CPU with fixed seeds, so a second run writes the same bytes
on the same kind of machine (another one may differ in the last digits). The versions are pinned in
requirements.txt and checked here. The tests read the files; they need no Python.

A file is {"versions": {...}, "cases": [...]}. A case has a name, the options of what was called,
"inputs" and "weights" (differentiated), "constants" (labels and masks, not differentiated),
"cotangents" (the fixed random factors c of the loss sum(output * c), one per output), "outputs", and
"gradients" of that loss, of every input and weight. An array is {"shape": [...], "data": [...]},
row-major, in digits that restore the double exactly. NaN and infinity are refused.
"""

import json
import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def versions():
    """The versions in use; exits unless they are the pinned ones."""
    found = {m.__name__: m.__version__.split("+")[0] for m in (keras, np, torch)}
    pinned = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split())
    if found != pinned:
        sys.exit(f"versions differ: found {found}, pinned {pinned}")
    return found


def setup():
    keras.config.set_floatx("float64")
    # Except on TensorFlow, Keras's type promotion turns the result of two float64 operands into
    # float32, as JAX does by default, also under floatx float64. Nothing public lifts that.
    keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def numpy(x):
    return x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


def encode(x):
    """An array as JSON. Reads back exactly: repr of a double is its shortest exact form."""
    x = numpy(x)
    if x.dtype.kind == "f":
        assert x.dtype == np.float64, f"{x.dtype} among the results: something left float64"
        assert np.isfinite(x).all(), "NaN or infinity among the results"
    kind = {"f": float, "i": int, "b": int}[x.dtype.kind]
    return {"shape": list(x.shape), "data": [kind(v) for v in x.ravel()]}


def agree(a, b, tolerance, what):
    a, b = numpy(a), numpy(b)
    scale = max(1.0, np.abs(b).max())
    assert a.shape == b.shape and np.abs(a - b).max() <= tolerance * scale, f"{what} disagree"


class Family:
    """The cases of one file, with their source of random numbers."""

    def __init__(self, name, seed):
        self.name, self.random, self.cases = name, np.random.default_rng(seed), []

    def uniform(self, *shape, low=-1.0, high=1.0):
        # Few digits keep the files small.
        return self.random.uniform(low, high, shape).round(4)

    def mask(self, *shape, keep=0.6):
        return self.random.uniform(size=shape) < keep

    def add(self, name, options, inputs, call, layer=None, constants=None):
        """Records call(*inputs), a tensor or a dict of them, and its gradients."""
        leaves = {k: torch.tensor(v, requires_grad=True) for k, v in inputs.items()}
        variables = {}
        if layer is not None:
            call(*leaves.values())  # makes the weights
            variables = {v.path.split("/", 1)[1]: v for v in layer.weights}
            for v in variables.values():
                v.assign(self.uniform(*v.shape))
                v.value.grad = None
        weights = {k: v.numpy().copy() for k, v in variables.items()}
        outputs = call(*leaves.values())
        outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
        cotangents = {k: self.uniform(*v.shape) for k, v in outputs.items()}
        sum((v * torch.tensor(cotangents[k])).sum() for k, v in outputs.items()).backward()
        gradients = {k: v.grad for k, v in leaves.items()}
        gradients |= {k: v.value.grad for k, v in variables.items()}
        groups = {"inputs": inputs, "weights": weights, "constants": constants or {},
                  "cotangents": cotangents, "outputs": outputs, "gradients": gradients}
        self.cases.append({"name": name} | options | {
            group: {k: encode(v) for k, v in arrays.items()} for group, arrays in groups.items()})
        return leaves, outputs

    def write(self):
        lines = ",\n".join(json.dumps(c, allow_nan=False, separators=(",", ":"))
                           for c in self.cases)
        text = f'{{"versions": {json.dumps(versions())}, "cases": [\n{lines}\n]}}\n'
        (HERE / f"{self.name}.json").write_text(text)
        print(f"{self.name}.json: {len(self.cases)} cases, {len(text)} bytes")


def dense():
    f = Family("dense", 1)
    for shape, units, bias, activation in [
            ((3, 4), 5, True, "linear"), ((3, 4), 5, False, "linear"), ((2, 3, 4), 2, True, "tanh"),
            ((2, 3, 2, 5), 3, True, "gelu"), ((1, 1), 1, True, "sigmoid"),
            ((4, 6), 8, False, "softmax"), ((2, 2, 2, 2, 3), 2, True, "relu"),
            ((7, 33), 17, True, "selu")]:
        layer = keras.layers.Dense(units, activation=activation, use_bias=bias)
        f.add(f"{shape} to {units}, {activation}, bias {bias}",
              {"units": [units], "axes": 1, "use_bias": bias, "activation": activation},
              {"x": f.uniform(*shape)}, layer, layer)
    for equation, shape, units, axes, bias, activation in [
            ("abc,cde->abde", (2, 3, 4), (2, 5), 1, "de", "linear"),
            ("abcd,cde->abe", (2, 3, 2, 4), (5,), 2, "e", "linear"),
            ("abcd,cdef->abef", (2, 3, 2, 4), (3, 2), 2, "ef", "silu"),
            ("abcd,bcdef->aef", (4, 2, 3, 2), (2, 3), 3, None, "linear"),
            ("ab,bcde->acde", (3, 4), (2, 1, 3), 1, "cde", "softplus")]:
        kept = shape[1:len(shape) - axes]
        layer = keras.layers.EinsumDense(equation, kept + units, activation, bias_axes=bias)
        f.add(f"{equation}, {activation}, bias {bias}",
              {"units": units, "axes": axes, "use_bias": bias is not None,
               "activation": activation}, {"x": f.uniform(*shape)}, layer, layer)
    f.write()


def softmax():
    f = Family("softmax", 2)

    def add(shape, axes, mask=None, what="no mask", scale=3.0):
        layer = keras.layers.Softmax(axis=axes if len(axes) > 1 else axes[0])
        m = None if mask is None else torch.tensor(mask)
        f.add(f"{shape} over {axes}, {what}", {"axes": axes},
              {"x": f.uniform(*shape, low=-scale, high=scale)}, lambda x: layer(x, mask=m),
              constants={} if mask is None else {"mask": mask})

    add((3, 5), (-1,))
    add((3, 5), (0,))
    add((2, 3, 4), (1,))
    add((2, 3, 4), (1, 2))
    add((2, 3, 4), (-1, 0))
    add((2, 2, 3, 2), (-3, -2, -1))
    add((2, 300), (-1,), scale=40.0)
    add((3, 5), (-1,), f.mask(3, 5), "mask")
    full = f.mask(3, 4, 5)
    full[1, 2] = False  # rows without any element taking part: zeros
    full[0, 0] = False
    add((3, 4, 5), (-1,), full, "mask with empty rows")
    add((3, 4, 5), (-1,), f.mask(5), "mask of fewer axes")
    add((3, 4, 5), (1,), f.mask(3, 1, 5), "broadcast mask")
    joint = f.mask(3, 4, 5)
    joint[1] = False
    add((3, 4, 5), (1, 2), joint, "mask, one batch empty")
    f.write()


def layer_normalization():
    f = Family("layer_normalization", 3)
    for shape, axes, epsilon, center, scale in [
            ((3, 5), (-1,), 1e-3, True, True), ((3, 5), (-1,), 1e-5, True, True),
            ((2, 3, 4), (-1,), 1e-3, False, True), ((2, 3, 4), (-1,), 1e-3, True, False),
            ((2, 3, 4), (2,), 1e-12, False, False), ((2, 3, 4), (1, 2), 1e-3, True, True),
            ((2, 3, 4), (1,), 1e-5, True, True), ((4, 3, 2), (0,), 1e-3, True, True),
            ((2, 3, 4, 2), (-1, 1), 1e-5, True, True), ((2, 40), (-1,), 1e-5, True, True)]:
        at = sorted(a % len(shape) for a in axes)
        last = list(range(len(shape) - len(at), len(shape)))
        # Keras 3.15 on PyTorch fails for neighbouring axes that are not the last ones, and orders
        # negative axes before positive ones: those move to the end, and all are given as positive.
        moved = at != last and at == list(range(at[0], at[-1] + 1))
        layer = keras.layers.LayerNormalization(axis=last if moved else at, epsilon=epsilon,
                                                center=center, scale=scale)

        def call(x):
            return layer(x.movedim(at, last)).movedim(last, at) if moved else layer(x)

        leaves, outputs = f.add(
            f"{shape} over {axes}, epsilon {epsilon}, center {center}, scale {scale}",
            {"axes": axes, "epsilon": epsilon, "center": center, "scale": scale},
            {"x": f.uniform(*shape, low=-2, high=3)}, call, layer)
        # Keras computes these in float64 (it promises "at least float32"); PyTorch confirms.
        by_torch = F.layer_norm(leaves["x"].movedim(at, last), [shape[a] for a in at],
                                *[None if v is None else v.value for v in (layer.gamma, layer.beta)],
                                epsilon)
        agree(by_torch.movedim(last, at), outputs["output"], 1e-14, "layer_norm")
    f.write()


def embedding():
    f = Family("embedding", 4)
    for rows, width, ids in [(5, 3, [0, 4, 2]), (4, 2, [[1, 1, 3], [1, 0, 3]]), (7, 5, [[[6], [6]]])]:
        layer = keras.layers.Embedding(rows, width)
        ids = np.array(ids)
        _, outputs = f.add(f"{ids.shape} of {rows} x {width}", {"rows": rows, "width": width}, {},
                           lambda: layer(torch.tensor(ids)), layer, {"ids": ids})
        agree(F.embedding(torch.tensor(ids), layer.embeddings.value), outputs["output"], 0, "embedding")
    f.write()


def losses():
    f = Family("losses", 5)

    def add(kind, x, truth, reduction="sum_over_batch_size", from_logits=False, ignore_class=None,
            mask=None, weights=None, note=""):
        options = {"kind": kind, "reduction": reduction, "from_logits": from_logits}
        arguments = {"reduction": reduction}
        if kind != "mse":
            arguments["from_logits"] = from_logits
        if ignore_class is not None:
            options["ignore_class"] = arguments["ignore_class"] = ignore_class
        loss = {"mse": keras.losses.MeanSquaredError,
                "sparse": keras.losses.SparseCategoricalCrossentropy,
                "categorical": keras.losses.CategoricalCrossentropy}[kind](**arguments)
        constants = {"labels": truth} if kind == "sparse" else {}
        if mask is not None:
            constants["mask"] = mask
        if weights is not None:
            constants["sample_weight"] = weights

        def call(prediction, target=None):
            if mask is not None:  # as a layer with a mask would leave it on its output
                prediction = prediction * 1.0
                keras.src.backend.set_keras_mask(prediction, torch.tensor(mask))
            t = torch.tensor(truth) if target is None else target
            return loss(t, prediction, None if weights is None else torch.tensor(weights))

        inputs = {"prediction": x} | ({} if kind == "sparse" else {"target": truth})
        f.add(f"{kind} {x.shape}, {reduction}, logits {from_logits}{note}", options, inputs, call,
              constants=constants)

    def probabilities(*shape):
        # Not quite normalised, so that the renormalisation and its gradient count.
        p = f.uniform(*shape, low=0.05, high=1.0)
        return (p / p.sum(-1, keepdims=True) * 1.1).round(4)

    some = np.array([[1, 1, 0], [0, 1, 0]]) == 1
    none = np.zeros((2, 3)) == 1
    labels = np.array([[0, 3, 1], [2, 0, 3]])
    ignored = np.array([[0, 3, -1], [2, -1, 3]])
    for reduction in ("sum_over_batch_size", "sum", "none"):
        for logits in (True, False):
            x = f.uniform(2, 3, 4, low=-4, high=4) if logits else probabilities(2, 3, 4)
            y = probabilities(2, 3, 4)
            add("sparse", x, labels, reduction, logits)
            add("sparse", x, labels, reduction, logits, mask=some, note=", mask")
            add("sparse", x, ignored, reduction, logits, -1, note=", ignore_class")
            add("sparse", x, ignored, reduction, logits, -1, mask=some, note=", both")
            add("categorical", x, y, reduction, logits)
            add("categorical", x, y, reduction, logits, mask=some, note=", mask")
        x, y = f.uniform(2, 3, 4), f.uniform(2, 3, 4)
        add("mse", x, y, reduction)
        add("mse", x, y, reduction, mask=some, note=", mask")
    x = f.uniform(5, 4, low=-30, high=30)
    add("sparse", x, np.array([1, 0, 3, 3, 2]), from_logits=True, note=", large")
    add("sparse", x, np.array([1, 0, 2, 2, 2]), from_logits=True, ignore_class=2, note=", ignore 2")
    add("sparse", f.uniform(2, 3, 4), labels, from_logits=True, mask=none, note=", nothing counts")
    # Sample weights multiply and are not in the divisor.
    w = f.uniform(2, 3, low=0, high=2)
    add("sparse", f.uniform(2, 3, 4), labels, from_logits=True, weights=w, note=", weights")
    add("categorical", probabilities(2, 3, 4), probabilities(2, 3, 4), weights=w, note=", weights")
    add("mse", f.uniform(2, 3, 4), f.uniform(2, 3, 4), weights=w, note=", weights")
    # Probabilities 0 and 1 are limited, where the gradient stops.
    edge = np.array([[1.0, 0, 0, 0], [0, 0.5, 0.5, 0], [0.2, 0.3, 0.4, 0.1]])
    add("sparse", edge, np.array([0, 3, 1]), note=", limits")
    add("categorical", edge, np.eye(4)[[0, 3, 1]], note=", limits")
    f.write()


def sparsemax(x, axis):
    """By the paper's algorithm 1. Keras 3.15 takes a wrong threshold (keras issue 23425)."""
    z, _ = torch.sort(x, dim=axis, descending=True)
    k = torch.arange(1.0, x.shape[axis] + 1).reshape([-1 if d == axis % x.ndim else 1
                                                      for d in range(x.ndim)])
    support = 1 + k * z > z.cumsum(axis)
    tau = (torch.where(support, z, 0.0).sum(axis, keepdim=True) - 1) / support.sum(axis, keepdim=True)
    y = torch.clamp(x - tau, min=0.0)
    agree(y.sum(axis), torch.ones(y.sum(axis).shape), 1e-14, "sparsemax")
    return y


# PyTorch's gradients of these hold 1 / alpha and 1 / 6 in float32, also for float64; so the formulas
# are written out, and it agrees to 1e-7.
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
            ("relu6", {}, F.relu6), ("elu", {}, F.elu), ("elu", {"alpha": 1.5}, lambda x: F.elu(x, 1.5)),
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
        if torch_function is not None:  # independent of Keras where Keras spells the formula out
            x = torch.tensor(grid, requires_grad=True)
            y = torch_function(x)
            c = torch.tensor(f.cases[-1]["cotangents"]["output"]["data"])
            (y * c).sum().backward()
            tolerance = 1e-7 if name in WRITTEN_OUT else 1e-14
            agree(y, outputs["output"], 1e-14, name)
            agree(x.grad, leaves["x"].grad, tolerance, name)
    for name, axis in [("glu", -1), ("glu", 0), ("softmax", -1), ("softmax", 1), ("log_softmax", -1),
                       ("log_softmax", 0), ("sparsemax", -1), ("sparsemax", 0)]:
        function = sparsemax if name == "sparsemax" else getattr(a, name)
        f.add(f"{name} axis {axis}", {"function": name, "options": {"axis": axis}},
              {"x": f.uniform(4, 3, 6, low=-2, high=2)}, lambda x: function(x, axis=axis))
    f.write()


def multi_head_attention():
    f = Family("multi_head_attention", 7)

    def add(name, query, value=None, key=None, causal=False, heads=2, key_dim=3, **more):
        """Shapes of the inputs; without a value's, query and value are one array."""
        constants = {k: more.pop(k) for k in list(more) if k.endswith("mask")}
        layer = keras.layers.MultiHeadAttention(heads, key_dim, flash_attention=False, **more)
        shapes = {"query": query, "value": value, "key": key}
        masks = {k: torch.tensor(v) for k, v in constants.items() if k != "query_mask"}

        def call(query, value=None, key=None, scores=True):
            value = query if value is None else value
            if "query_mask" in constants:  # Keras replaces the argument by the tensor's own mask
                query = query * 1.0
                keras.src.backend.set_keras_mask(query, torch.tensor(constants["query_mask"]))
            out = layer(query, value, key, return_attention_scores=scores, use_causal_mask=causal,
                        **masks)
            return dict(zip(("output", "scores"), out)) if scores else out

        options = {"num_heads": heads, "key_dim": key_dim, "causal": causal} | more
        leaves, outputs = f.add(name, options,
                                {k: f.uniform(*s) for k, s in shapes.items() if s is not None},
                                call, layer, constants)
        # The path without scores differs in rows that may attend to nothing; elsewhere it agrees.
        if outputs["scores"].sum(-1).min() > 0.5:
            agree(call(*leaves.values(), scores=False), outputs["output"], 1e-13, name)

    add("self", (2, 4, 5))
    add("self, causal", (2, 4, 5), causal=True)
    add("self, one head, no bias", (1, 3, 4), heads=1, key_dim=2, use_bias=False)
    add("cross", (2, 3, 5), (2, 4, 6))
    add("cross, causal", (2, 3, 5), (2, 5, 6), causal=True)
    add("cross, causal, longer query", (2, 5, 4), (2, 3, 4), causal=True)
    add("cross, key, value_dim", (2, 3, 5), (2, 4, 6), (2, 4, 7), value_dim=4)
    add("mask (T, S)", (2, 3, 5), (2, 4, 5), attention_mask=f.mask(3, 4) | np.eye(3, 4, dtype=bool))
    empty = f.mask(2, 3, 4) | np.eye(3, 4, dtype=bool)
    empty[1, 2] = False
    empty[0, 0] = False
    add("mask (B, T, S), rows attending to nothing", (2, 3, 5), (2, 4, 6), (2, 4, 3), value_dim=2,
        attention_mask=empty)
    add("mask (B, N, T, S) and causal", (2, 4, 5), attention_mask=f.mask(2, 2, 4, 4), causal=True)
    add("mask (B, 1, S)", (2, 3, 4), (2, 5, 4), attention_mask=f.mask(2, 1, 5))
    lengths = np.arange(5) < np.array([[5], [2]])
    add("padding of value", (2, 3, 4), (2, 5, 4), value_mask=lengths)
    add("padding of query, value and key", (2, 3, 4), (2, 5, 4), (2, 5, 4), value_mask=lengths,
        key_mask=f.mask(2, 5) | (np.arange(5) == 0), query_mask=np.array([[1, 1, 0], [1, 1, 1]]) == 1)
    add("padding and causal", (2, 5, 4), value_mask=lengths, causal=True)
    add("output_shape 7", (2, 3, 4), (2, 2, 5), output_shape=7)
    add("output_shape (3, 2)", (2, 3, 4), (2, 2, 5), output_shape=(3, 2), value_dim=4)
    add("rank 4, all axes", (2, 3, 2, 4))
    add("rank 4, axes (2,)", (2, 3, 2, 4), (2, 3, 4, 5), attention_axes=(2,))
    five = {"query": (2, 2, 3, 2, 4), "value": (2, 2, 2, 3, 5)}
    add("rank 5, axes (2, 3)", **five, attention_axes=(2, 3))
    add("rank 5, axes (2, 3), value_dim, output_shape", **five, attention_axes=(2, 3), value_dim=2,
        output_shape=(3,), heads=3)
    add("rank 5, axes (2, 3), mask (T1, T2, S1, S2)", **five, attention_axes=(2, 3),
        attention_mask=f.mask(3, 2, 2, 3))
    free = f.mask(2, 2, 3, 2, 2, 3)  # (B, free axis, T1, T2, S1, S2): not the heads
    free[0, 1, 2, 0] = False
    add("rank 5, axes (2, 3), mask with the free axis, empty rows", **five, attention_axes=(2, 3),
        attention_mask=free, heads=3)
    add("rank 5, axes (3, 2)", **five, attention_axes=(3, 2))
    add("rank 5, axes (1,)", (2, 3, 2, 2, 4), (2, 4, 2, 2, 4), attention_axes=(1,))
    add("rank 5, all axes", (1, 2, 2, 3, 4))
    add("wider", (2, 9, 16), (2, 11, 16), heads=4, key_dim=8)
    f.write()


def transcribed(kind, o, weights, gradients, epsilon=1e-7):
    """The update rules in plain NumPy float64; yields the weights after each step."""
    w = [x.copy() for x in weights]
    m, v = [np.zeros_like(x) for x in w], [np.zeros_like(x) for x in w]
    lr, mu = o["learning_rate"], o.get("momentum", 0.0)
    b1, b2 = o.get("beta_1", 0.9), o.get("beta_2", 0.999)
    for t, g in enumerate(gradients, 1):
        for i in range(len(w)):
            w[i] = w[i] - w[i] * lr * o.get("weight_decay", 0.0)
            if kind == "SGD":
                m[i] = mu * m[i] - lr * g[i]
                w[i] = w[i] + (mu * m[i] - lr * g[i] if o.get("nesterov") else m[i])
            else:
                m[i] = b1 * m[i] + (1 - b1) * g[i]
                v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2
                alpha = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
                w[i] = w[i] - alpha * m[i] / (np.sqrt(v[i]) + epsilon)
        yield w


def by_torch(kind, o, weights, gradients):
    """The same by torch.optim, for the options where its formulas coincide (epsilon 0)."""
    w = [torch.tensor(x, requires_grad=True) for x in weights]
    if kind == "SGD":
        optimizer = torch.optim.SGD(w, o["learning_rate"], o.get("momentum", 0.0),
                                    nesterov=o.get("nesterov", False))
    else:
        optimizer = torch.optim.AdamW(w, o["learning_rate"], weight_decay=o.get("weight_decay", 0.0),
                                      betas=(o.get("beta_1", 0.9), o.get("beta_2", 0.999)), eps=0)
    for g in gradients:
        for x, y in zip(w, g):
            x.grad = torch.tensor(y)
        optimizer.step()
    return w


def optimizers():
    cases = []
    weights = [np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.25, -0.75, 1.5])]
    gradients = [[np.cos(0.7 * np.arange(4.0) ** 2 + t).reshape(2, 2),
                  3 * np.sin(0.3 * np.arange(3.0) + 0.5 * t)] for t in range(1, 101)]
    # The last digits of cos and sin depend on the machine; the tests read these.
    given = [[encode(x) for x in g] for g in gradients]
    for kind, o in [
            ("SGD", {"learning_rate": 0.01}), ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
            ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
            ("SGD", {"learning_rate": 0.1, "weight_decay": 0.1}),
            ("SGD", {"learning_rate": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.02}),
            ("Adam", {"learning_rate": 0.001}), ("Adam", {"learning_rate": 0.1}),
            ("Adam", {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.9}),
            ("Adam", {"learning_rate": 0.1, "weight_decay": 0.05}),
            ("AdamW", {"learning_rate": 0.001}),
            ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.05})]:
        w = [keras.Variable(x) for x in weights]
        optimizer = getattr(keras.optimizers, kind)(**o)
        explicit = ({"weight_decay": 0.004} if kind == "AdamW" else {}) | o
        steps = {}
        for t, (g, expected) in enumerate(
                zip(gradients, transcribed(kind, explicit, weights, gradients)), 1):
            optimizer.apply([torch.tensor(x) for x in g], w)
            # Keras 3.15 keeps the rates in float64 under floatx float64, as this shows.
            for x, y in zip(w, expected):
                agree(x.value, y, 1e-13, f"{kind} {o} at step {t}")
            if t in (1, 2, 5, 10, 50, 100):
                steps[str(t)] = [encode(x.value) for x in w]
        if kind != "SGD" or "weight_decay" not in o:  # torch's SGD decays through the gradient
            *_, last = transcribed(kind, explicit, weights, gradients, epsilon=0)
            for x, y in zip(by_torch(kind, explicit, weights, gradients), last):
                agree(x, y, 1e-12, f"torch {kind} {o}")
        cases.append({"name": f"{kind} {o}", "kind": kind, "options": o, "steps": steps})
    f = Family("optimizers", 8)
    f.cases = [{"name": "data", "weights": [encode(x) for x in weights], "gradients": given}] + cases
    f.write()


if __name__ == "__main__":
    versions()
    setup()
    dense()
    softmax()
    layer_normalization()
    embedding()
    losses()
    activations()
    multi_head_attention()
    optimizers()
