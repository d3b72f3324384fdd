"""Arrays as JSON and files of cases, for all frameworks. See make.py."""

import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


def pinned_versions(modules, file):
    """Returns the versions in use. Exits unless they are the pinned ones."""
    found = {m.__name__: m.__version__.split("+")[0] for m in modules}
    pinned = dict(line.split("==") for line in (HERE / file).read_text().split())
    if any(pinned[name] != version for name, version in found.items()):
        sys.exit(f"versions differ: found {found}, pinned {pinned}")
    return found


def numpy(x):
    """Returns the NumPy array of a tensor of any framework."""
    return x.detach().numpy() if hasattr(x, "detach") else np.asarray(x)


def encode(x):
    """Returns an array as JSON. It reads back exactly: repr of a double is its shortest exact form."""
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


class Cases:
    """The cases of one file, with their random numbers."""

    def __init__(self, name, seed, versions):
        self.name, self.random, self.cases = name, np.random.default_rng(seed), []
        self.versions = versions

    def uniform(self, *shape, low=-1.0, high=1.0):
        # Few digits keep the files small.
        return self.random.uniform(low, high, shape).round(4)

    def mask(self, *shape, keep=0.6):
        return self.random.uniform(size=shape) < keep

    def record(self, name, options, inputs, weights, constants, cotangents, outputs, gradients):
        groups = {"inputs": inputs, "weights": weights, "constants": constants or {},
                  "cotangents": cotangents, "outputs": outputs, "gradients": gradients}
        self.cases.append({"name": name} | options | {
            group: {k: encode(v) for k, v in arrays.items()} for group, arrays in groups.items()})

    def write(self):
        lines = ",\n".join(json.dumps(c, allow_nan=False, separators=(",", ":"))
                           for c in self.cases)
        text = f'{{"versions": {json.dumps(self.versions)}, "cases": [\n{lines}\n]}}\n'
        (HERE.parent / f"{self.name}.json").write_text(text)
        print(f"{self.name}.json: {len(self.cases)} cases, {len(text)} bytes")
