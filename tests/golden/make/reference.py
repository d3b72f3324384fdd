"""Records cases of Keras on PyTorch, and of PyTorch, in float64. See make.py."""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from cases import Cases, agree, encode, pinned_versions  # noqa: E402, F401


def versions():
    return pinned_versions((keras, np, torch), "requirements.txt")


def setup():
    versions()
    keras.config.set_floatx("float64")
    # Except on TensorFlow, Keras's type promotion turns the result of two float64 operands into
    # float32, as JAX does by default, also under floatx float64. Nothing public lifts that.
    keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


class Family(Cases):
    """The cases of one file."""

    def __init__(self, name, seed):
        super().__init__(name, seed, versions())

    def add(self, name, options, inputs, call, layer=None, constants=None, weights=None):
        """Records call(*inputs), a tensor or a dict of them, and its gradients.

        The weights are those of a Keras layer, or arrays, which the call then finds as tensors
        behind the inputs, as a dict.
        """
        leaves = {k: torch.tensor(v, requires_grad=True) for k, v in inputs.items()}
        variables = {}
        if layer is not None:
            call(*leaves.values())  # makes the weights
            variables = {v.path.split("/", 1)[1]: v for v in layer.weights}
            for v in variables.values():
                v.assign(self.uniform(*v.shape))
                v.value.grad = None
            weights = {k: v.numpy().copy() for k, v in variables.items()}
        arguments = list(leaves.values())
        tensors = {k: v.value for k, v in variables.items()}
        if layer is None and weights is not None:
            tensors = {k: torch.tensor(v, requires_grad=True) for k, v in weights.items()}
            arguments.append(tensors)
        outputs = call(*arguments)
        outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
        cotangents = {k: self.uniform(*v.shape) for k, v in outputs.items()}
        sum((v * torch.tensor(cotangents[k])).sum() for k, v in outputs.items()).backward()
        gradients = {k: v.grad for k, v in (leaves | tensors).items()}
        self.record(name, options, inputs, weights or {}, constants, cotangents, outputs, gradients)
        return leaves, outputs
