"""Exchanges files with NumPy, the safetensors package and TensorBoard, through the program `exchange`.

    python3 check_python.py PROGRAM

Exits with 77 ("skipped") where NumPy is missing; leaves out what needs safetensors or TensorBoard where
those are, and says so. Checkpoints and event files are then read by the few lines here.
"""

import io
import itertools
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

import event_reader

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
try:
    import tensorboard
    from tensorboard.backend.event_processing import event_accumulator, event_file_loader
except ImportError:
    tensorboard = None

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


def checkpoint(folder):
    """A checkpoint, seen by the safetensors package or by these lines, and its checksum."""
    path = folder / "checkpoint"
    exchange("checkpoint", path)
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__")
    arrays = {name: np.frombuffer(data[8 + size:], "<f4")[
                  entry["data_offsets"][0] // 4:entry["data_offsets"][1] // 4]
              .reshape(entry["shape"]) for name, entry in header.items()}
    if safetensors is not None:
        with safetensors.safe_open(path, "numpy") as file:
            assert file.metadata() == metadata, (file.metadata(), metadata)
        same(theirs(path), arrays)
    kernel, bias = ramp("<f4", 2, 3), ramp("<f4", 3)
    same(arrays, {f"{group}/dense/{name}": array for name, array in [("kernel", kernel), ("bias", bias)]
                  for group in ["params", "optimizer/adam/m", "optimizer/adam/v"]})
    assert sorted(metadata) == ["crc32c", "xtape.checkpoint"], metadata
    blank = data.replace(metadata["crc32c"].encode(), b"00000000", 1)
    assert metadata["crc32c"] == f"{event_reader.crc32c(blank):08x}", metadata
    notes = json.loads(metadata["xtape.checkpoint"])
    numbers = notes.pop("numbers")
    assert math.copysign(1, numbers.pop("minus zero")) == -1
    assert numbers == {"third": 1 / 3, "most": sys.float_info.max, "least": 5e-324, "best": "inf"}
    assert notes == {"version": 1, "epoch": 1, "batch": 2, "step": 12, "tape_seed": 2**64 - 1,
                     "random_index": 5, "texts": {"note": '\u4f60\u597d "quoted"\n'},
                     "optimizer": {"adam/steps": 12, "adam/learning_rate": 0.1}}, notes
    exchange("again", path, folder / "again")
    assert (folder / "again").read_bytes() == data
    if safetensors is not None:  # what others write is refused, unless chance makes it the same
        safetensors.numpy.save_file(theirs(path), folder / "theirs", metadata)
        exchange("again", folder / "theirs", folder / "again",
                 fails=(folder / "theirs").read_bytes() != data)


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\x80\x90\xa0" * 2)) + chunk(b"IEND", b""))


def framing(path):
    """Events by the reader beside this script; also what is left of them when the file is torn."""
    data = path.read_bytes()
    records = list(event_reader.records(data))
    events = [event_reader.fields(r) for r in records]
    assert len(events) == 105 and events[0][3] == b"brain.Event:2", events[0]
    values = [event_reader.fields(event_reader.fields(e[5])[1]) for e in events[1:]]
    for step, (event, value) in enumerate(zip(events[1:101], values)):
        assert event[2] == step and value[1] == b"loss/train"
        assert struct.unpack("<f", value[2])[0] == np.float32(1 / (1 + step))
    assert event_reader.fields(values[100][8])[8].decode() == "**bold** \u4f60\u597d"
    assert event_reader.fields(values[102][4])[4] == png()
    assert events[104][2] == 2**64 - 1  # -1
    for cut in range(len(data) - 300, len(data)):
        torn = list(event_reader.records(data[:cut]))
        assert torn == records[:len(torn)] and len(torn) < len(records)


def tensorboard_events(folder, path):
    """The same events by TensorBoard's own reader."""
    everything = dict.fromkeys(["scalars", "tensors", "images", "histograms"], 0)
    events = event_accumulator.EventAccumulator(str(folder), size_guidance=everything)
    events.Reload()
    tags = events.Tags()
    assert sorted(tags["scalars"]) == ["loss/train", "loss/valid"], tags
    assert tags["tensors"] == ["note"] and tags["histograms"] == ["weights"] and tags["images"] == ["map"], tags
    for step, event in enumerate(events.Scalars("loss/train")):
        assert event.step == step and event.value == np.float32(1 / (1 + step)), event
    assert len(events.Scalars("loss/train")) == 100
    assert [(e.step, e.value) for e in events.Scalars("loss/valid")] == [(-1, 0.5)]
    note = events.Tensors("note")[0]
    assert note.step == 3 and note.tensor_proto.string_val[0].decode() == "**bold** \u4f60\u597d"
    assert events.SummaryMetadata("note").plugin_data.plugin_name == "text"
    image = events.Images("map")[0]
    assert (image.step, image.width, image.height) == (5, 3, 2)
    assert image.encoded_image_string == png()
    histogram = events.Histograms("weights")[0].histogram_value
    values = ramp("<f8", 100)
    assert (histogram.min, histogram.max, histogram.num) == (values.min(), values.max(), 100)
    assert (histogram.sum, histogram.sum_squares) == (values.sum(), (values**2).sum())
    # NumPy computes the limits in another order: the last bit of one may differ, and no value is near.
    limits = np.linspace(values.min(), values.max(), 31)
    np.testing.assert_allclose(histogram.bucket_limit, limits[1:], rtol=1e-14, atol=1e-14)
    assert np.array_equal(histogram.bucket, np.histogram(values, limits)[0])
    # A run that went on: what it repeats is shown once.
    exchange("resume", folder)
    events = event_accumulator.EventAccumulator(str(folder), size_guidance=everything)
    events.Reload()
    points = [(e.step, e.value) for e in events.Scalars("loss/train")]
    assert points == [(step, np.float32(1 / (1 + step)) if step < 50 else 7) for step in range(60)], points
    # A killed run: whole records are read, a torn one is left out.
    whole = list(event_file_loader.LegacyEventFileLoader(str(path)).Load())
    data = path.read_bytes()
    torn = folder / "torn.tfevents"
    torn.write_bytes(data[:-1])
    assert list(event_file_loader.LegacyEventFileLoader(str(torn)).Load()) == whole[:-1]


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
        checkpoint(folder)
        (folder / "picture.png").write_bytes(png())
        exchange("events", folder / "logs", folder / "picture.png")
        path, = (folder / "logs").glob("events.out.tfevents.*")
        framing(path)
        if tensorboard is not None:
            tensorboard_events(folder / "logs", path)
        refused_archives(folder)
        refused = same_judgement(folder)
    print(f"{count} files exchanged bit for bit with numpy {np.__version__}"
          + ("; safetensors cannot be imported" if safetensors is None else
             f" and safetensors {safetensors.__version__}, which refuses {refused} of 11 damaged"))
    print("a checkpoint and 105 events read here"
          + ("; tensorboard cannot be imported" if tensorboard is None else
             f" and by tensorboard {tensorboard.__version__}"))


main()
