"""Exchanges weights with Keras, through tools/keras_weights.py and the program `exchange`.

    python3 check_keras.py PROGRAM

Exits with 77 ("skipped") where Keras (with a backend) or h5py is missing.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
try:
    import h5py
    import numpy as np
    import keras
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

# Keras's type promotion turns the result of two float64 operands into float32 otherwise.
keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"

PROGRAM = sys.argv[1]
TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "keras_weights.py"
IDS = np.array([[1, 4, 10, 0, 2], [7, 7, 3, 9, 5]])


def run(*args, fails=None):
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, check=False)
    if fails is None:
        assert done.returncode == 0, (args, done.stderr)
    else:
        assert done.returncode == 1 and fails in done.stderr, (args, done)
        assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def tool(*args, **kwargs):
    return run(sys.executable, TOOL, *args, **kwargs)


def network(floatx, names=False):
    def called(name):
        return name if names else None
    keras.backend.clear_session()
    keras.config.set_floatx(floatx)
    ids = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(11, 8, name=called("words"))(ids)
    a = keras.layers.MultiHeadAttention(2, 3, value_dim=5, dropout=0.1, name=called("look"))(x, x)
    x = keras.layers.LayerNormalization(name=called("norm"))(x + a)
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(ids, keras.layers.Dense(4, activation="tanh", name=called("head"))(x))
    rng = np.random.default_rng(5)
    model.set_weights([rng.uniform(-1, 1, w.shape).astype(floatx) for w in model.get_weights()])
    return model


def output_of(model):
    return np.asarray(keras.ops.convert_to_numpy(model(IDS, training=False)))


def check_model(folder, floatx, ending, ours):
    """One file of Keras to xtape and back."""
    kind = "float" if floatx == "float32" else "double"
    model = network(floatx)
    model.compile("adam", "mse")
    model.train_on_batch(IDS, np.zeros((2, 5, 4), floatx))  # so that there is optimizer state
    theirs, weights = folder / ("model" + ending), folder / ("weights" + ours)
    np.savez(folder / "in.npz", ids=IDS.astype("<i8"))
    (model.save if ending == ".keras" else model.save_weights)(theirs)
    tool("to-xtape", theirs, weights)
    worst = 0.0
    for precision in (kind, "double"):
        run(PROGRAM, "run", precision, weights, folder / "in.npz", folder / "out.npz")
        got = np.load(folder / "out.npz")["output"]
        worst = max(worst, float(np.abs(got - output_of(model)).max()))
    # The way back, of other weights, into a copy and (for plain weights) into a new file.
    back = folder / ("back" + ending)
    tool("to-keras", weights, back, "--like", theirs)
    assert h5_of(back) == h5_of(theirs), "there and back is another file"
    run(PROGRAM, "init", kind, weights, folder / "in.npz")
    run(PROGRAM, "run", kind, weights, folder / "in.npz", folder / "out.npz")
    tool("to-keras", weights, back, "--like", theirs)
    if ending == ".keras":
        loaded = [keras.models.load_model(back)]
    else:
        loaded = [network(floatx), network(floatx)]
        loaded[0].load_weights(back)
        tool("to-keras", weights, folder / "new.weights.h5")
        loaded[1].load_weights(folder / "new.weights.h5")
    for other in loaded:
        got = np.load(folder / "out.npz")["output"]
        worst = max(worst, float(np.abs(got - output_of(other)).max()))
        other.save_weights(folder / "again.weights.h5")
        tool("to-xtape", folder / "again.weights.h5", folder / ("again" + ours))
        if ours == ".npz":
            with np.load(folder / "again.npz") as a, np.load(weights) as b:
                assert sorted(a) == sorted(b)
                assert all(a[k].tobytes() == b[k].tobytes() for k in a), "not bit for bit"
        else:
            assert (folder / "again.safetensors").read_bytes() == weights.read_bytes()
    assert worst < (2e-6 if kind == "float" else 1e-14), worst
    return worst


def h5_of(path):
    import zipfile
    if path.suffix != ".keras":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read("model.weights.h5")


class Encoder(keras.Model):
    """A subclassed model: stored by attribute."""

    def __init__(self):
        super().__init__()
        self.attend = keras.layers.MultiHeadAttention(2, 3, use_bias=False)
        self.blocks = [keras.layers.Dense(4), keras.layers.Dense(3)]
        self.table = keras.layers.Embedding(6, 4)
        self.scale = keras.layers.LayerNormalization(center=False)

    def call(self, ids):
        x = self.table(ids)
        return self.blocks[1](self.blocks[0](self.scale(self.attend(x, x))))


def check_names(folder):
    model = network("float32", names=True)
    path = folder / "named.weights.h5"
    model.save_weights(path)
    text = tool("list", path, "--by-name")
    for name in ("words/embeddings", "look/query/kernel", "look/attention_output/bias",
                 "norm/gamma", "head/kernel"):
        assert f"  {name}  " in text, text
    mapping = folder / "map.json"
    mapping.write_text(json.dumps({"layers/dense": "out", "layers/embedding/vars/0": "a/b",
                                   "layers/multi_head_attention": "enc/0/att"}))
    text = tool("list", path, "--map", mapping)
    for name in ("out/kernel", "a/b", "enc/0/att/value/bias", "layer_normalization/beta"):
        assert f"  {name}  " in text, text
    weights, back = folder / "mapped.safetensors", folder / "back.weights.h5"
    tool("to-xtape", path, weights, "--map", mapping)
    tool("to-keras", weights, back, "--map", mapping, "--like", path)
    assert back.read_bytes() == path.read_bytes()
    tool("to-keras", weights, back, "--map", mapping)
    other = network("float32", names=True)
    other.load_weights(back)
    assert (output_of(other) == output_of(model)).all()

    subclassed = Encoder()
    subclassed(IDS % 6)
    path = folder / "sub.weights.h5"
    subclassed.save_weights(path)
    tool("list", path, fails="name them with --map")
    # Attributes that sort behind "layers" are found there first.
    names = {"layers/layer_normalization/vars/0": "scale/gamma", "layers/embedding": "table"}
    mapping.write_text(json.dumps({**names, "missing": "unused"}))
    tool("list", path, "--map", mapping, fails="--map names missing")
    mapping.write_text(json.dumps(names))
    text = tool("list", path, "--map", mapping)
    for name in ("attend/query/kernel", "attend/attention_output/kernel", "blocks/dense/bias",
                 "blocks/dense_1/kernel", "scale/gamma", "table/embeddings"):
        assert f"  {name}  " in text, text
    mapping.write_text(json.dumps({**names, "blocks/dense": "same", "blocks/dense_1": "same"}))
    tool("list", path, "--map", mapping, fails="two variables would have this path")


def check_configs():
    """Configs of Keras come in, and what xtape makes of them makes the same layer in Keras."""
    i, r, c = keras.initializers, keras.regularizers, keras.constraints
    for options in (
            {}, {"value_dim": 5, "dropout": 0.25, "use_bias": False, "output_shape": (3, 2),
                 "attention_axes": (2, -3), "sliding_window": 3, "use_gate": True, "seed": 7,
                 "trainable": False},
            {"kernel_initializer": i.VarianceScaling(3.0, "fan_avg", "uniform"),
             "bias_initializer": i.Constant(0.5), "kernel_regularizer": r.L1L2(0.25, 2),
             "bias_regularizer": r.L2(0.5), "activity_regularizer": r.L1(0.5),
             "kernel_constraint": c.MinMaxNorm(0.5, 1.5, 0.75, axis=[0, 1]),
             "bias_constraint": c.UnitNorm()},
            {"kernel_initializer": i.Orthogonal(2.0), "bias_constraint": c.NonNeg(),
             "kernel_regularizer": r.OrthogonalRegularizer(0.5, "columns")}):
        layer = keras.layers.MultiHeadAttention(4, 8, name="attention", **options)
        done = subprocess.run([PROGRAM, "config"], input=json.dumps(layer.get_config()),
                              capture_output=True, text=True, check=True)
        back = keras.layers.MultiHeadAttention.from_config(json.loads(done.stdout))
        ours, theirs = (json.dumps(x.get_config(), sort_keys=True) for x in (back, layer))
        assert ours == theirs, (ours, theirs)


def check_dtypes(folder):
    path, weights = folder / "half.weights.h5", folder / "half.safetensors"
    for dtype in ("float16", "bfloat16"):
        layer = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
        layer.save_weights(path)
        assert ("BF16" if dtype == "bfloat16" else "F16") in tool("to-xtape", path, weights)
        tool("to-keras", weights, folder / "back.weights.h5", "--like", path)
        assert (folder / "back.weights.h5").read_bytes() == path.read_bytes()
    tool("to-xtape", path, folder / "half.npz", fails="bfloat16")
    doubles = folder / "double.npz"
    np.savez(doubles, **{"dense/kernel": np.full((3, 2), 0.1), "dense/bias": np.full(2, 1e300)})
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="float32")]).save_weights(path)
    back = folder / "back.weights.h5"
    tool("to-keras", doubles, back, "--like", path, fails="dtype is F64, expected F32")
    tool("to-keras", doubles, back, "--like", path, "--cast", fails="beyond the range")
    np.savez(doubles, **{"dense/kernel": np.full((3, 2), 0.1), "dense/bias": np.full(2, 3.0)})
    tool("to-keras", doubles, back, "--like", path, "--cast")
    np.savez(doubles, **{"dense/kernel": np.full((2, 3), 0.1, "f"), "dense/bias": np.ones(2, "f")})
    tool("to-keras", doubles, back, "--like", path, fails="shape is (2, 3)")
    np.savez(doubles, **{"dense/kernel": np.ones((3, 2), "f"), "dense/x": np.ones(2, "f")})
    tool("to-keras", doubles, back, "--like", path, fails="missing: dense/bias; unexpected: dense/x")


def check_refusals(folder):
    """Files a safe reader refuses."""
    secret, path = folder / "secret.h5", folder / "bad.weights.h5"
    with h5py.File(secret, "w") as file:
        file["layers/dense/vars/0"] = np.ones((2, 2), "f")

    def refused(fill, text):
        with h5py.File(path, "w") as file:
            fill(file)
        tool("to-xtape", path, folder / "x.safetensors", fails=text)
        assert not (folder / "x.safetensors").exists()

    group = "layers/dense/vars"

    def soft(file):
        file["other"] = np.ones((2, 2), "f")
        file[group + "/0"] = h5py.SoftLink("/other")

    def external_link(file):
        file["layers/dense"] = h5py.ExternalLink(str(secret), "/layers/dense")

    def external_data(file):
        file.create_dataset(group + "/0", (2, 2), "<f4", external=[(str(secret), 0, 16)])

    def virtual(file):
        layout = h5py.VirtualLayout((2, 2), "<f4")
        layout[:] = h5py.VirtualSource(str(secret), group + "/0", (2, 2))
        file.create_virtual_dataset(group + "/0", layout)

    def twice(file):
        file[group + "/0"] = np.ones((2, 2), "f")
        file["layers/dense_1/vars/0"] = file[group + "/0"]

    def cycle(file):
        group = file.create_group("layers")
        group["again"] = group

    refused(soft, "soft or external link")
    refused(external_link, "soft or external link")
    refused(external_data, "external data")
    refused(virtual, "virtual")
    refused(twice, "under two names")
    refused(cycle, "under two names")
    refused(lambda f: f.create_dataset(group + "/0", (10 ** 9, 10 ** 6), "<f4"), "are stored")
    refused(lambda f: f.create_dataset(group + "/0", data=np.ones((9, 9)), compression="gzip"),
            "compressed")
    refused(lambda f: f.create_dataset(group + "/0", data="text"), "expected numbers")
    refused(lambda f: f.create_dataset(group + "/0", data=np.ones(2, ">f4")), "dtype")
    refused(lambda f: f.create_dataset("kernel", data=np.ones(2)), "not under a group vars")
    refused(lambda f: [f.create_dataset(f"{group}/{i}", data=np.ones(2)) for i in range(4)],
            "cannot tell the variables")
    path.write_bytes(b"no HDF5")
    tool("list", path, fails="no HDF5 file")
    tool("list", folder / "missing.keras", fails="No such file")
    tool("list", folder / "w.weights.json", fails="o such file")
    bad = folder / "bad.safetensors"
    bad.write_bytes(b"\2\0\0\0\0\0\0\0{}x")
    tool("to-keras", bad, path, fails="bytes behind the last tensor")
    bad.write_bytes(b"\xff" * 9)
    tool("to-keras", bad, path, fails="damaged")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for floatx in ("float32", "float64"):
            for ending, ours in ((".weights.h5", ".safetensors"), (".keras", ".npz")):
                worst = check_model(folder, floatx, ending, ours)
                print(f"{floatx} {ending} {ours}: outputs differ by {worst:.1e}")
        keras.config.set_floatx("float32")
        check_names(folder)
        check_configs()
        check_dtypes(folder)
        check_refusals(folder)
    print(f"weights exchanged bit for bit with Keras {keras.__version__}")


main()
