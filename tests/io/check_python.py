"""Exchanges files with NumPy, the safetensors package and TensorBoard, through the program `exchange`.

    python3 check_python.py PROGRAM

Exits with 77 ("skipped") where NumPy is missing; leaves out what needs safetensors or TensorBoard where
those are, and says so. Checkpoints and event files are then read by the few lines here.
"""

import io
import itertools
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

try:
    import numpy as np
except ImportError:
    print("skipped: numpy cannot be imported")
    sys.exit(77)
try:
    import safetensors
    import safetensors.numpy
except ImportError:
    safetensors = None

PROGRAM = sys.argv[1]


def exchange(*args, fails=False):
    done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails and done.returncode in (0, 1), (args, done)
    return done.stderr


def ramp(dtype, *shape):
    values = (np.arange(np.prod(shape, dtype=int)) * 37 + 11) % 101 - 50
    return values.astype(dtype).reshape(shape)


def known():
    return {"block/0/kernel": ramp("<f4", 3, 4, 2), "double": ramp("<f8", 2, 3),
            "int": ramp("<i4", 5), "long": ramp("<i8", 1, 5), "scalar": ramp("<f8"),
            "empty": ramp("<f4", 2, 0), "n\u00e4me": ramp("<f4", 1),
            "flag": np.array([True, False]),
            "special": np.array([0xFFC12345, 0x80000000, 1], "<u4").view("<f4")}


def random_arrays(seed):
    rng = np.random.default_rng(seed)
    arrays = {}
    for i in range(int(rng.integers(0, 8))):
        dtype = np.dtype(rng.choice(["<f4", "<f8", "<f2", "<i4", "<i8", "<u2", "|u1", "|b1"]))
        shape = tuple(int(n) for n in rng.integers(0, 5, size=rng.integers(0, 5)))
        size = int(np.prod(shape, dtype=int))
        data = rng.bytes(size * dtype.itemsize)  # any bits: NaNs with payloads, too
        if dtype == bool:
            data = bytes(b & 1 for b in data)
        a = np.frombuffer(data, dtype).reshape(shape)
        arrays[f"t{i}/\u00e9 {dtype.str}"] = np.asfortranarray(a) if rng.random() < 0.3 else a
    return arrays


def same(a, b):
    assert sorted(a) == sorted(b), (sorted(a), sorted(b))
    for name, x in a.items():
        y = b[name]
        assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes(), name


def theirs(path):
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file}
    return safetensors.numpy.load_file(path)


def write_theirs(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.numpy.save_file({k: np.ascontiguousarray(a).reshape(a.shape)
                                     for k, a in arrays.items()}, path)


def same_judgement(folder):
    """Damaged files: what the safetensors package refuses, xtape refuses."""
    path = folder / "damaged.safetensors"
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    data = bytes(8)
    refused = 0
    for h, d in [(header, data[:7]), (header, data + b"x"), (header.replace(b"[0,8]", b"[1,9]"), data),
                 (header.replace(b"[2]", b"[3]"), data), (header.replace(b"[2]", b"[-2]"), data),
                 (header.replace(b"F32", b"F33"), data), (header[:-1], data),
                 (header.replace(b"[2]", b"[4294967296,4294967296]"), data),
                 (header.replace(b'"a"', b'"\xff"'), data), (b"[]", b""), (b"", b"")]:
        path.write_bytes(struct.pack("<Q", len(h)) + h + d)
        exchange("copy", path, folder / "copied.npz", fails=True)
        if safetensors is not None:
            try:
                safetensors.deserialize(path.read_bytes())
                print(f"only xtape refuses {h!r} with {len(d)} bytes")
            except Exception:  # pylint: disable=broad-except
                refused += 1
    return refused


def refused_archives(folder):
    path = folder / "refused.npz"
    arrays = {"a": ramp("<f4", 3)}
    np.savez_compressed(path, **arrays)
    assert "compressed member" in exchange("copy", path, folder / "x.npz", fails=True)
    np.savez(path, a=np.array([{}], dtype=object))
    assert "Python objects" in exchange("copy", path, folder / "x.npz", fails=True)
    np.savez(path, a=ramp(">f4", 3))
    assert "big-endian" in exchange("copy", path, folder / "x.npz", fails=True)

    class Pipe(io.RawIOBase):  # numpy to a pipe: sizes behind the data
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, chunk):
            self.data += bytes(chunk)
            return len(chunk)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("a.npy", b"x")
    path.write_bytes(pipe.data)
    assert "streamed member" in exchange("copy", path, folder / "x.npz", fails=True)


def main():
    endings = [".npz"] + ([".safetensors"] if safetensors is not None else [])
    count = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for ending in endings:
            exchange("write", folder / ("known" + ending))
            same(theirs(folder / ("known" + ending)), known())
        for seed, source, target in itertools.product(range(15), endings, endings):
            arrays = random_arrays(seed)
            write_theirs(folder / ("in" + source), arrays)
            exchange("copy", folder / ("in" + source), folder / ("out" + target))
            same(theirs(folder / ("out" + target)), arrays)
            count += 1
        refused_archives(folder)
        refused = same_judgement(folder)
    print(f"{count} files exchanged bit for bit with numpy {np.__version__}"
          + ("; safetensors cannot be imported" if safetensors is None else
             f" and safetensors {safetensors.__version__}, which refuses {refused} of 11 damaged"))


main()
