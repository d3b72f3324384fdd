"""Reads and writes .safetensors and .npz, with NumPy alone; for keras_weights.py."""

import collections
import io
import json
import os
import struct
import zipfile

import numpy as np

# dtype names of safetensors; bfloat16 travels as its bits
DTYPES = {"BOOL": "|b1", "U8": "|u1", "I8": "|i1", "I16": "<i2", "U16": "<u2", "F16": "<f2",
          "BF16": "<u2", "I32": "<i4", "U32": "<u4", "F32": "<f4", "F64": "<f8", "I64": "<i8",
          "U64": "<u8"}
MAX_HEADER = 100_000_000


class Refused(Exception):
    """What is wrong with a file or a request, for the user."""


Tensor = collections.namedtuple("Tensor", "dtype array")  # dtype as in DTYPES


def read_xtape(path):
    if path.endswith(".safetensors"):
        return read_safetensors(path)
    if not path.endswith(".npz"):
        raise Refused(f"{path}: unknown kind of file, expected .safetensors or .npz")
    with zipfile.ZipFile(path) as archive:
        if any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
            raise Refused(f"{path}: compressed members, expected stored ones (numpy.savez)")
    by_descr = {np.dtype(d): name for name, d in DTYPES.items() if name != "BF16"}
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: np.ascontiguousarray(file[key]).reshape(file[key].shape) for key in file}
    for name, array in arrays.items():
        if array.dtype not in by_descr:
            raise Refused(f"{path}: {name}: dtype {array.dtype}, expected plain numbers")
    return {name: Tensor(by_descr[a.dtype], a) for name, a in arrays.items()}


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()

    def once(items):
        if len(dict(items)) != len(items):
            raise Refused(f"{path}: a key twice in the header, expected every key once")
        return dict(items)

    try:
        length = struct.unpack("<Q", data[:8])[0]
        if length > min(MAX_HEADER, len(data) - 8) or data[8:9] != b"{":
            raise ValueError("header length")
        header = json.loads(data[8:8 + length].decode("utf-8"), object_pairs_hook=once)
        header.pop("__metadata__", None)
        entries = sorted((*e["data_offsets"], name) for name, e in header.items())
        at, tensors = 0, {}
        for begin, end, name in entries:
            dtype, shape = header[name]["dtype"], header[name]["shape"]
            if begin != at or not all(type(n) is int and n >= 0 for n in [begin, end, *shape]):
                raise ValueError(f"offsets of {name!r}")
            chunk = data[8 + length + begin:8 + length + end]
            if len(chunk) != end - begin:
                raise ValueError(f"size of {name!r}")
            tensors[name] = Tensor(dtype, np.frombuffer(chunk, DTYPES[dtype]).reshape(shape))
            at = end
        if 8 + length + at != len(data):
            raise ValueError("bytes behind the last tensor")
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise Refused(f"{path}: no safetensors file, or a damaged one: {error}") from None
    return tensors


def write_xtape(path, tensors):
    buffer = io.BytesIO()
    if path.endswith(".npz"):
        half = [name for name, t in tensors.items() if t.dtype == "BF16"]
        if half:
            raise Refused(f"{path}: {half[0]} is bfloat16, which .npz cannot hold; write .safetensors")
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, tensor in sorted(tensors.items()):
                member = io.BytesIO()
                np.lib.format.write_array(member, tensor.array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(name + ".npy"), member.getvalue())
    elif path.endswith(".safetensors"):
        order = list(DTYPES)
        names = sorted(tensors, key=lambda n: (-order.index(tensors[n].dtype), n.encode()))
        header, at = {}, 0
        for name in names:
            size = tensors[name].array.nbytes
            header[name] = {"dtype": tensors[name].dtype, "shape": list(tensors[name].array.shape),
                            "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        buffer.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            buffer.write(tensors[name].array.tobytes())
    else:
        raise Refused(f"{path}: unknown kind of file, expected .safetensors or .npz")
    write_file(path, buffer.getvalue())


def write_file(path, data):
    temporary = f"{path}.tmp.{os.getpid()}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
