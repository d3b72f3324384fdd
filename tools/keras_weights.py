#!/usr/bin/env python3
"""Converts weights between Keras (.weights.h5, .keras) and xtape (.safetensors, .npz).

    keras_weights.py list model.weights.h5
    keras_weights.py to-xtape model.keras weights.safetensors
    keras_weights.py to-keras weights.safetensors new.keras --like model.keras

Values are copied bit for bit, both ways. Needs NumPy and h5py, but no Keras.

Names. Keras stores a layer of a Functional or Sequential model under its class
(layers/multi_head_attention_1/query_dense/vars/0), a layer of a subclassed model under the attribute
that holds it, or likewise under "layers" when the attribute comes later in the alphabet; `list` tells.
xtape's path is what is left without "layers" and "vars", with the variable's name at the end:
multi_head_attention_1/query/kernel. So give the layers of the xtape model those scope names; or
choose other ones:
  --by-name     the layers' own names (keras.layers.Dense(4, name="head") is head/kernel)
  --map FILE    a JSON object, {"layers/dense": "head", "emb/vars/0": "tokens/embeddings", ...}:
                a Keras group (whatever lies below moves along) or one variable -> xtape's path.
                The longest entry that fits counts. The same file serves both directions.
Dense and EinsumDense have kernel and bias, Embedding embeddings, LayerNormalization gamma and beta,
MultiHeadAttention query, key, value and attention_output. Layers with other variables need --map.
The optimizer's state and the seeds of dropout are not converted.

The way back writes into a copy of the file given by --like, which must have exactly the same
variables; its other contents (optimizer state, configuration) stay. Without --like a .weights.h5 is
made anew, as of a Functional model.

Files of Keras are read with h5py, for which malformed files have been a danger; links, external,
virtual, chunked and compressed data are refused, but do not give it files you do not trust.
"""

import argparse
import collections
import io
import json
import math
import os
import re
import sys
import zipfile

import numpy as np

try:
    import h5py
except ImportError:
    sys.exit("keras_weights.py: h5py is missing; install python3-h5py, or: pip install h5py")

from tensor_files import DTYPES, Refused, Tensor, read_xtape, write_file, write_xtape

SUBLAYERS = {"query_dense": "query", "key_dense": "key", "value_dense": "value",
             "output_dense": "attention_output"}
INDEX = {"kernel": 0, "embeddings": 0, "gamma": 0, "bias": 1, "beta": 1}
MAX_OBJECTS = 1_000_000
MAX_DEPTH = 32
MEMBER = "model.weights.h5"


# Keras's files

def h5_bytes(path):
    """The HDF5 file in a .weights.h5 or .keras."""
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".keras"):
        members = keras_members(path, data)
        if MEMBER not in members:
            raise Refused(f"{path}: no {MEMBER} in it, expected one; save it again with Keras 3")
        return members[MEMBER]
    if not path.endswith(".h5"):
        raise Refused(f"{path}: unknown kind of file, expected .weights.h5 or .keras; a sharded "
                      "model must be saved as one file")
    return data


def keras_members(path, data):
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise Refused(f"{path}: damaged archive: {error}") from None
    members = {}
    for info in archive.infolist():
        if info.is_dir():
            continue
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise Refused(f"{path}: member {info.filename!r} is compressed or encrypted, expected "
                          "stored members, as Keras writes them")
        if info.file_size > len(data) or info.filename in members:
            raise Refused(f"{path}: member {info.filename!r} is there twice or larger than the file")
        try:
            members[info.filename] = archive.read(info)
        except (zipfile.BadZipFile, EOFError) as error:
            raise Refused(f"{path}: member {info.filename!r} is damaged: {error}") from None
    return members


def open_h5(path, data, mode="r"):
    try:
        return h5py.File(data, mode)
    except OSError as error:
        raise Refused(f"{path}: no HDF5 file, or a damaged one: {error}") from None


def check_dataset(path, name, dataset, size):
    plist = dataset.id.get_create_plist()
    if plist.get_external_count() or dataset.is_virtual or plist.get_nfilters() or \
            plist.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        raise Refused(f"{path}: {name}: chunked, compressed, virtual or external data, expected plain "
                      "data, as Keras writes it")
    if dataset.shape is None or dataset.dtype.kind not in "biufV":
        raise Refused(f"{path}: {name}: {dataset.dtype} data, expected numbers")
    stored = dataset.id.get_storage_size()
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    if declared != stored or stored > size:
        raise Refused(f"{path}: {name}: {stored} bytes are stored, expected {declared}")


def read_h5(path, data):
    """Variables by their path ("layers/dense/vars/0"), and the layers' names by their group."""
    tensors, names, seen = {}, {}, set()

    def visit(group, prefix, depth):
        if depth > MAX_DEPTH or len(seen) > MAX_OBJECTS:
            raise Refused(f"{path}: groups nested deeper than {MAX_DEPTH}, or too many objects")
        for key in group:
            name = prefix + key
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise Refused(f"{path}: {name}: a soft or external link, expected none")
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise Refused(f"{path}: {name}: an object under two names, expected one")
            seen.add(address)
            if isinstance(item, h5py.Group):
                label = item.attrs.get("name")
                if key == "vars" and isinstance(label, (str, bytes)):
                    names[prefix.rstrip("/")] = label if isinstance(label, str) else label.decode()
                visit(item, name + "/", depth + 1)
            elif isinstance(item, h5py.Dataset):
                check_dataset(path, name, item, len(data))
                tensors[name] = h5_tensor(path, name, item)
            else:
                raise Refused(f"{path}: {name}: neither a group nor a dataset")

    with open_h5(path, io.BytesIO(data)) as file:
        visit(file, "", 0)
    return tensors, names


def h5_tensor(path, name, dataset):
    array = np.asarray(dataset[()])
    label = dataset.attrs.get("dtype")
    if label in ("bfloat16", b"bfloat16") and array.dtype.itemsize == 2:
        return Tensor("BF16", array.view("<u2"))
    for dtype, descr in DTYPES.items():
        if dtype != "BF16" and array.dtype == np.dtype(descr):
            return Tensor(dtype, array)
    raise Refused(f"{path}: {name}: dtype {array.dtype}, expected one of {', '.join(DTYPES)}")


# Names

def load_map(path):
    if path is None:
        return {}
    with open(path, encoding="utf-8") as file:
        mapping = json.load(file)
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise Refused(f'{path}: expected a JSON object of texts, {{"layers/dense": "head"}}')
    return {key.strip("/"): value.strip("/") for key, value in mapping.items()}


def variable_names(group, arrays):
    """What the variables of a layer are called, by the layer's class and their shapes."""
    own = re.sub(r"_\d+$", "", group.rsplit("/", 1)[-1])
    ranks = [a.ndim for a in arrays]
    if own.endswith("embedding") and len(arrays) == 1:
        return ["embeddings"]
    if len(arrays) == 2 and arrays[0].shape == arrays[1].shape and "dense" not in own:
        return ["gamma", "beta"]
    if len(arrays) == 2 and ranks[0] >= 2 and ranks[1] < ranks[0]:
        return ["kernel", "bias"]
    if len(arrays) == 1 and ranks[0] >= 2 and "normalization" not in own:
        return ["kernel"]
    shapes = ", ".join(str(a.shape) for a in arrays)
    raise Refused(f"{group}: cannot tell the variables of shapes {shapes} apart, expected a Dense, "
                  "Embedding, LayerNormalization or MultiHeadAttention; name them with --map, as in "
                  f'{{"{group}/vars/0": "path/gamma"}}')


def group_path(group, names, groups, by_name, begin=0):
    """xtape's path of a group, from its component `begin` on."""
    parts, out = group.split("/"), []
    for i, part in enumerate(parts[begin:], begin):
        here = "/".join(parts[:i + 1])
        if part in ("layers", "_layer_checkpoint_dependencies"):
            continue
        if by_name and here in names:
            out.append(names[here].replace("/", "_"))
        elif part in SUBLAYERS and "/".join(parts[:i] + ["query_dense"]) in groups:
            out.append(SUBLAYERS[part])
        elif part:
            out.append(part)
    return out


def pair_names(tensors, names, mapping, by_name):
    """[(Keras's path, xtape's path)], and the groups left out."""
    groups = collections.defaultdict(dict)
    for path in tensors:
        match = re.fullmatch(r"(?:(.*)/)?vars/(\d+)", path)
        if match is None:
            raise Refused(f"{path}: not under a group vars, expected the layout of Keras 3")
        groups[match[1] or ""][int(match[2])] = path
    pairs, skipped, used = [], [], set()
    for group, by_index in sorted(groups.items()):
        paths = [by_index[i] for i in sorted(by_index)]
        prefixes = ["/".join(group.split("/")[:n]) for n in range(group.count("/") + 1, 0, -1)]
        prefix = next((p for p in prefixes if p in mapping), None)
        single = [p for p in paths if p in mapping]
        if group.split("/")[0] == "optimizer" or group.split("/")[-1] == "seed_generator":
            if prefix is None and not single:
                skipped.append(group)
                continue
        variables = None
        for i, path in enumerate(paths):
            if path in mapping:
                used.add(path)
                pairs.append((path, mapping[path]))
                continue
            if variables is None:
                variables = variable_names(group, [tensors[p].array for p in paths])
            begin = 0
            target = []
            if prefix is not None:
                used.add(prefix)
                begin = prefix.count("/") + 1
                target = [mapping[prefix]] if mapping[prefix] else []
            target += group_path(group, names, groups, by_name, begin)
            pairs.append((path, "/".join([*target, variables[i]])))
    unused = sorted(set(mapping) - used)
    if unused:
        raise Refused(f"--map names {', '.join(unused)}: no such group or variable, expected those "
                      "that `list` shows")
    counts = collections.Counter(target for _, target in pairs)
    twice = [target for target, n in counts.items() if n > 1]
    if twice:
        raise Refused(f"{twice[0]}: two variables would have this path; tell them apart with --map")
    return pairs, skipped


# The way back

def fitting(name, tensor, like, cast):
    """The tensor in the dtype of the one it replaces."""
    if tensor.array.shape != like.array.shape:
        raise Refused(f"{name}: shape is {tensor.array.shape}, expected {like.array.shape}")
    if tensor.dtype == like.dtype:
        return tensor.array
    if not cast or "BF16" in (tensor.dtype, like.dtype):
        raise Refused(f"{name}: dtype is {tensor.dtype}, expected {like.dtype}; values would be "
                      "rounded, --cast allows it (but not for bfloat16)")
    with np.errstate(over="ignore"):
        array = tensor.array.astype(like.array.dtype)
    if array.dtype.kind == "f" and (np.isinf(array) & ~np.isinf(tensor.array)).any():
        raise Refused(f"{name}: a value is beyond the range of {like.dtype}")
    return array


def fill(like_path, tensors, mapping, by_name, cast):
    """The bytes of `like_path`, with its variables replaced; and what stays as it was."""
    data = h5_bytes(like_path)
    old, names = read_h5(like_path, data)
    pairs, kept = pair_names(old, names, mapping, by_name)
    missing = sorted(target for _, target in pairs if target not in tensors)
    extra = sorted(set(tensors) - {target for _, target in pairs})
    if missing or extra:
        raise Refused(f"another architecture than {like_path}: missing: {', '.join(missing) or 'none'};"
                      f" unexpected: {', '.join(extra) or 'none'}; see `list` and --map")
    buffer = io.BytesIO(data)
    with open_h5(like_path, buffer, "r+") as file:
        for source, target in pairs:
            array = fitting(target, tensors[target], old[source], cast)
            file[source][...] = array.view(file[source].dtype) if old[source].dtype == "BF16" else array
    filled = buffer.getvalue()
    if like_path.endswith(".keras"):
        with open(like_path, "rb") as file:
            members = keras_members(like_path, file.read())
        members[MEMBER] = filled
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        filled = buffer.getvalue()
    return filled, pairs, kept


def keras_path(path, tensors, mapping):
    """Where a Functional model keeps the variable of this path."""
    for keras, own in sorted(mapping.items(), key=lambda item: -len(item[1])):
        if path == own:
            return keras
        if path.startswith(own + "/"):
            return keras + "/" + below(path[len(own) + 1:], path, tensors)
    return "layers/" + below(path, path, tensors)


def below(tail, path, tensors):
    *parts, variable = tail.split("/")
    if variable not in INDEX:
        raise Refused(f"{path}: unknown variable {variable!r}, expected {', '.join(INDEX)}; name it "
                      "with --map")
    parent = path.rsplit("/", 2)[0]
    attention = all(f"{parent}/{own}/kernel" in tensors for own in SUBLAYERS.values())
    if attention and parts and parts[-1] in SUBLAYERS.values():
        parts[-1] = next(k for k, v in SUBLAYERS.items() if v == parts[-1])
    first = {"bias": "kernel", "beta": "gamma"}.get(variable)
    index = INDEX[variable]
    if first is not None and path.rsplit("/", 1)[0] + "/" + first not in tensors:
        index = 0
    return "/".join([*parts, "vars", str(index)])


def make_h5(tensors, mapping):
    buffer = io.BytesIO()
    pairs = []
    with h5py.File(buffer, "w") as file:
        for path, tensor in sorted(tensors.items()):
            target = keras_path(path, tensors, mapping)
            if target in file:
                raise Refused(f"{path}: {target} is there already; tell them apart with --map")
            dataset = file.create_dataset(
                target, data=tensor.array.view("V2") if tensor.dtype == "BF16" else tensor.array)
            if tensor.dtype == "BF16":
                dataset.attrs["dtype"] = "bfloat16"
            pairs.append((target, path))
    return buffer.getvalue(), pairs


# Commands

def show(pairs, tensors, key):
    for source, target in sorted(pairs):
        tensor = tensors[(source, target)[key]]
        print(f"{source}  {target}  {tensor.dtype} {tensor.array.shape}")


def run(options):
    mapping = load_map(options.map)
    if options.command in ("list", "to-xtape"):
        tensors, names = read_h5(options.source, h5_bytes(options.source))
        pairs, skipped = pair_names(tensors, names, mapping, options.by_name)
        if options.command == "to-xtape":
            write_xtape(options.target, {b: tensors[a] for a, b in pairs})
        show(pairs, tensors, 0)
        for group in skipped:
            print(f"{group}: left out", file=sys.stderr)
        return
    tensors = read_xtape(options.source)
    wanted = ".keras" if options.like and options.like.endswith(".keras") else ".weights.h5"
    if not options.target.endswith(wanted):
        raise Refused(f"{options.target}: unknown kind of file, expected {wanted}"
                      + ("" if options.like else "; a .keras needs --like, for its configuration"))
    if options.like:
        data, pairs, kept = fill(options.like, tensors, mapping, options.by_name, options.cast)
        for group in kept:
            print(f"{group}: kept as in {options.like}", file=sys.stderr)
    else:
        data, pairs = make_h5(tensors, mapping)
    write_file(options.target, data)
    show(pairs, tensors, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (("list", "show the variables of a Keras file and xtape's paths for them"),
                       ("to-xtape", "Keras -> xtape"), ("to-keras", "xtape -> Keras")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("source", help="the file to read")
        if name != "list":
            command.add_argument("target", help="the file to write; its ending says which kind")
        if name == "to-keras":
            command.add_argument("--like", metavar="FILE",
                                 help="a file of the model, to be filled with the weights")
            command.add_argument("--cast", action="store_true",
                                 help="allow rounding to the dtypes of --like")
        command.add_argument("--map", metavar="FILE", help="paths of your own, as JSON; see --help")
        command.add_argument("--by-name", action="store_true",
                             help="use the layers' own names instead of their classes")
    options = parser.parse_args()
    try:
        run(options)
    except (Refused, OSError, zipfile.BadZipFile, UnicodeDecodeError, json.JSONDecodeError) as error:
        sys.exit(f"keras_weights.py: {error}")


if __name__ == "__main__":
    main()
