"""What all golden cases share: the frameworks in float64, and recording cases. See make.py."""

import importlib.metadata
import json
import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def versions():
    """The versions in use; exits unless they are the pinned ones."""
    pinned = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split())
    found = {name: importlib.metadata.version(name).split("+")[0] for name in pinned}
    if found != pinned:
        sys.exit(f"versions differ: found {found}, pinned {pinned}")
    return {m.__name__: found[m.__name__] for m in (keras, np, torch)}


def setup():
    versions()
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
