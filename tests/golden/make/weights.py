"""Writes the files of ../weights with the packages that define their formats.

    venv/bin/python tests/golden/make/weights.py

in the environment of make.py. Seeds are fixed; a second run writes the same tensors. The tests read
the files and need no Python.

arrays.safetensors and arrays.npz hold the same arrays, of every dtype the format and the package
have in common; in the npz, "fortran" is stored in Fortran order. An array's values follow from its
name: element i (row-major) is (i * 37 + 11) % 101 - 50, in "special" come NaNs with payloads,
infinities and zeros. versions.npz has the npy versions 1.0, 2.0 and 3.0 of one array.
torch_attention.safetensors has two torch.nn.MultiheadAttention in float64 below "self." and
"cross.": weights, inputs, masks and outputs. torch_layers.safetensors has a Linear below "head.", and
layers of an encoder and a decoder below "encoder." and "decoder.", the same way.
"""

import io
import pathlib
import zipfile

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "weights"


def ramp(dtype, *shape):
    values = (np.arange(np.prod(shape, dtype=int)) * 37 + 11) % 101 - 50
    return values.astype(dtype).reshape(shape)


def special(dtype, bits):
    return np.array(bits, dtype=bits_of(dtype)).view(dtype)


def bits_of(dtype):
    return {4: np.uint32, 8: np.uint64}[np.dtype(dtype).itemsize]


def arrays():
    return {
        "layer/0/kernel": ramp("<f4", 3, 4),
        "layer/0/bias": ramp("<f4", 4),
        "double": ramp("<f8", 2, 3, 2),
        "half": ramp("<f2", 5),
        "int": ramp("<i4", 2, 2),
        "long": ramp("<i8", 3),
        "byte": ramp("|u1", 6),
        "short": ramp("<u2", 2),
        "flag": np.array([True, False, True]),
        "scalar": ramp("<f8"),
        "empty": ramp("<f4", 2, 0, 3),
        "special": special("<f4", [0x7FC00001, 0xFFC12345, 0x7F800000, 0xFF800000, 0x80000000, 1]),
        "special double": special("<f8", [0x7FF8000000000001, 0xFFF8123456789ABC,
                                          0x7FF0000000000000, 0xFFF0000000000000, 1 << 63, 1]),
        "n\u00e4me \u2200 \U0001f600": ramp("<f4", 2),
    }


def versions():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for version in ((1, 0), (2, 0), (3, 0)):
            member = io.BytesIO()
            np.lib.format.write_array(member, ramp("<f4", 2, 3), version=version)
            archive.writestr(zipfile.ZipInfo("v%d.npy" % version[0]), member.getvalue())
    (FOLDER / "versions.npz").write_bytes(buffer.getvalue())


def attention(prefix, layer, inputs, tensors, **masks):
    for name, parameter in layer.named_parameters():
        parameter.data.uniform_(-0.7, 0.7)
        tensors[prefix + name] = parameter.data.contiguous()
    output, scores = layer(*inputs, average_attn_weights=False, **masks)
    for name, array in (("query", inputs[0]), ("key", inputs[1]), ("value", inputs[2]),
                        ("output", output), ("scores", scores), *masks.items()):
        tensors[prefix + "case." + name] = array.detach().clone().contiguous()


def torch_attention():
    torch.manual_seed(7)
    kind = {"batch_first": True, "dtype": torch.float64}
    tensors = {}
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    attention("self.", torch.nn.MultiheadAttention(12, 3, **kind), (x, x, x), tensors,
              attn_mask=causal)
    query, key, value = (torch.randn(2, *s, dtype=torch.float64) for s in ((3, 8), (4, 6), (4, 5)))
    padding = torch.tensor([[False, False, False, True], [False, True, False, False]])
    attention("cross.", torch.nn.MultiheadAttention(8, 2, bias=False, kdim=6, vdim=5, **kind),
              (query, key, value), tensors, key_padding_mask=padding)
    safetensors.torch.save_file(tensors, FOLDER / "torch_attention.safetensors")


def torch_layers():
    torch.manual_seed(8)
    kind = {"dtype": torch.float64}
    block = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0, "batch_first": True}
    layers = {
        "head.": torch.nn.Linear(8, 3, **kind),
        "plain.": torch.nn.Linear(8, 5, bias=False, **kind),
        "encoder.": torch.nn.TransformerEncoderLayer(**block, **kind),
        "bare.": torch.nn.TransformerEncoderLayer(**block, bias=False, norm_first=True,
                                                  activation="gelu", **kind),
        "decoder.": torch.nn.TransformerDecoderLayer(**block, **kind),
    }
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    memory = torch.randn(2, 4, 8, dtype=torch.float64)
    causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    tensors = {"x": x, "memory": memory}
    for prefix, layer in layers.items():
        for name, parameter in layer.named_parameters():
            parameter.data.uniform_(-0.5, 0.5)
            tensors[prefix + name] = parameter.data.contiguous()
        output = layer(x, memory, tgt_mask=causal) if prefix == "decoder." else layer(x)
        tensors["output." + prefix] = output.detach().contiguous()
    safetensors.torch.save_file(tensors, FOLDER / "torch_layers.safetensors")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    safetensors.numpy.save_file(arrays(), FOLDER / "arrays.safetensors",
                                metadata={"format": "np", "note": "\"quoted\"\n\u00e4"})
    np.savez(FOLDER / "arrays.npz", fortran=np.asfortranarray(ramp("<f8", 3, 4, 2)),
             **arrays())
    versions()
    torch_attention()
    torch_layers()
