#!/usr/bin/env python3
"""Makes a model for CTranslate2 of a model's folder that seq2seq has trained.

    to_ctranslate2.py my_model served                        float
    to_ctranslate2.py my_model served --quantization int8    weights as whole numbers

`served` then works with ctranslate2.Translator("served"). It takes and gives tokens of source.vocab and target.vocab, and its
greedy translations are those of `seq2seq translate`, with min_decoding_length=0. The files of subwords are copied into it. CTranslate2 itself
adds the <start> and <end> of --source-ends. Needs Python with NumPy and ctranslate2.

CTranslate2 has no rotary positions, and not every activation: such a model is refused.
"""

import argparse
import json
import os
import shutil
import sys

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec, common_spec

from tensor_files import Refused, read_safetensors

ACTIVATIONS = {"relu": "RELU", "gelu": "GELU", "silu": "SWISH", "swish": "SWISH", "tanh": "Tanh", "sigmoid": "Sigmoid"}
ESCAPES = {"\\": "\\", "n": "\n", "t": "\t", "r": "\r", "s": " "}
NEVER = -1e4  # the bias of tokens that are not written


def read_vocabulary(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        lines = file.read().split("\n")
    if not lines[0].startswith("vocabulary\t1\t4\t"):
        raise Refused(f"{path}: unknown kind of vocabulary, expected one of 'seq2seq train'")
    tokens = []
    for line in lines[1:-1]:
        token, rest = "", iter(line)
        for letter in rest:
            token += ESCAPES[next(rest)] if letter == "\\" else letter
        tokens.append(token)
    return tokens


class Weights:
    """The tensors of a file, each to be used."""

    def __init__(self, path):
        self.path = path
        self.left = {name: tensor.array for name, tensor in read_safetensors(path).items()}
        self.used = {}

    def __contains__(self, name):
        return name in self.left or name in self.used

    def get(self, name):
        if name in self.left:
            self.used[name] = self.left.pop(name).astype(np.float32)
        if name not in self.used:
            raise Refused(f"{self.path}: {name} is missing, expected the weights of this model")
        return self.used[name]

    def dense(self, spec, *paths):
        """Projections side by side; heads are part of the width."""
        kernels, biases = [], []
        for path in paths:
            kernel = self.get(path + "/kernel")
            outputs = kernel.shape[-1] if path.endswith("attention_output") else int(np.prod(kernel.shape[1:]))
            kernels.append(kernel.reshape(-1, outputs).T)
            if path + "/bias" in self:
                biases.append(self.get(path + "/bias").reshape(-1))
        spec.weight = np.ascontiguousarray(np.concatenate(kernels))
        if biases:
            spec.bias = np.concatenate(biases)

    def norm(self, spec, path):
        spec.gamma = self.get(path + "/gamma")
        spec.beta = self.get(path + "/beta") if path + "/beta" in self else np.zeros_like(spec.gamma)


def positions(weights, options, side):
    """The table that is added to the embeddings."""
    length, width = options["max_length"], options["hidden_dim"]
    if options["positions"] == "learned":
        return weights.get(side + "_positions/embeddings")
    if options["positions"] == "none":
        return np.zeros((length + 2, width), np.float32)
    place, column = np.arange(length + 2)[:, None], np.arange(width)[None, :]
    angle = place * float(options["max_wavelength"]) ** (-(column - column % 2) / width)
    return np.where(column % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


def fill_layer(weights, layer, path, decoder):
    mine, source = layer.self_attention, f"{path}/self_attention"
    weights.dense(mine.linear[0], *(f"{source}/{part}" for part in ("query", "key", "value")))
    weights.dense(mine.linear[1], source + "/attention_output")
    weights.norm(mine.layer_norm, path + "/self_attention_norm")
    if decoder:
        cross, source = layer.attention, f"{path}/cross_attention"
        weights.dense(cross.linear[0], source + "/query")
        weights.dense(cross.linear[1], source + "/key", source + "/value")
        weights.dense(cross.linear[2], source + "/attention_output")
        weights.norm(cross.layer_norm, path + "/cross_attention_norm")
    weights.dense(layer.ffn.linear_0, path + "/feed_forward/intermediate")
    weights.dense(layer.ffn.linear_1, path + "/feed_forward/output")
    weights.norm(layer.ffn.layer_norm, path + "/feed_forward_norm")


def fill_output(weights, spec, table, options):
    projection = spec.decoder.projection
    size = options["target_vocabulary"]
    if options["tying"] == "none":
        projection.weight = np.ascontiguousarray(weights.get("output/kernel").T)
    else:
        projection.weight = table
    bias = weights.get("output/bias").copy() if "output/bias" in weights else np.zeros(size, np.float32)
    bias[[options["pad_id"], 1, options["start_id"]]] = NEVER  # 1 is <unk>
    projection.bias = bias


def check(options, path):
    activation = options["activation"]
    if activation not in ACTIVATIONS:
        raise Refused(f"{path}: activation {activation} is not in CTranslate2, expected one of {', '.join(ACTIVATIONS)}")
    for key, expected in (("normalization", "layer"), ("num_key_value_heads", None)):
        if options[key] != expected:
            raise Refused(f"{path}: {key} {options[key]} is not supported, expected {expected}")
    if options["positions"] not in ("sine", "learned", "none"):
        raise Refused(f"{path}: positions {options['positions']} are not in CTranslate2, expected sine, learned or none")
    if options["final_norms"] not in (None, options["normalize_first"]):
        raise Refused(f"{path}: final_norms {options['final_norms']} is not supported, expected those of pre-norm alone")


def convert(folder, output, quantization):
    path = os.path.join(folder, "options.json")
    with open(path, encoding="utf-8") as file:
        bundle = json.load(file)
    options = bundle["model"]
    check(options, path)
    weights = Weights(os.path.join(folder, "weights.safetensors"))
    spec = TransformerSpec.from_config(
        (options["encoder_layers"], options["decoder_layers"]), options["num_heads"],
        pre_norm=options["normalize_first"], activation=getattr(common_spec.Activation, ACTIVATIONS[options["activation"]]))
    table = None
    for side, stack, part in (("source", "encoder", spec.encoder), ("target", "decoder", spec.decoder)):
        table = weights.get("embedding/embeddings" if options["tying"] == "all" else side + "_embedding/embeddings")
        embeddings = part.embeddings[0] if stack == "encoder" else part.embeddings
        embeddings.weight = table
        part.scale_embeddings = bool(options["scale_embeddings"])
        part.position_encodings.encodings = positions(weights, options, side)
        if options["normalize_first"]:
            weights.norm(part.layer_norm, stack + "_norm")
        for i, layer in enumerate(part.layer):
            fill_layer(weights, layer, f"{stack}/{i}", stack == "decoder")
    fill_output(weights, spec, table, options)
    if weights.left:
        raise Refused(f"{weights.path}: tensors without a place: {', '.join(sorted(weights.left))}")
    spec.register_source_vocabulary(read_vocabulary(os.path.join(folder, "source.vocab")))
    spec.register_target_vocabulary(read_vocabulary(os.path.join(folder, "target.vocab")))
    spec.config.bos_token = spec.config.decoder_start_token = "<start>"
    spec.config.eos_token, spec.config.unk_token = "<end>", "<unk>"
    spec.config.add_source_bos = spec.config.add_source_eos = bundle["source_ends"]
    spec.config.layer_norm_epsilon = options["epsilon"]
    spec.validate()
    spec.optimize(quantization=quantization)
    os.makedirs(output)
    spec.save(output)
    for name in ("source.spm", "target.spm"):
        if os.path.exists(os.path.join(folder, name)):
            shutil.copy(os.path.join(folder, name), output)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of the model")
    parser.add_argument("output", help="folder to make")
    parser.add_argument("--quantization", choices=["int8", "int16", "float16", "bfloat16"], help="of the weights")
    arguments = parser.parse_args()
    if os.path.exists(arguments.output):
        raise Refused(f"{arguments.output}: it exists, expected a new folder; choose another")
    convert(arguments.model, arguments.output, arguments.quantization)


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError, ValueError, KeyError) as error:
        print(f"to_ctranslate2.py: {type(error).__name__ + ': ' if isinstance(error, KeyError) else ''}{error}", file=sys.stderr)
        sys.exit(1)
