"""The rows of compare.py in PyTorch: a worker that reads a command per line and answers each with a line of
JSON. Each row is written in two ways that users write: `module` with nn.MultiheadAttention or nn.Transformer,
`sdpa` with Linear and scaled_dot_product_attention. Both start from weights that xtape saved."""

import json
import math
import resource
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


# --- the numbers that bench/meter.hpp makes too

def hashed(shape, salt):
    h = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32(salt * 0x9E3779B9 & 0xFFFFFFFF)
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return (h ^ (h >> 16)).reshape(shape)


def numbers(shape, salt):
    return torch.from_numpy((hashed(shape, salt) / 2147483648.0 - 1.0).astype(np.float32))


def tokens(shape, classes, salt):
    return torch.from_numpy((hashed(shape, salt) % classes).astype(np.int64))


def sinusoids(length, width):
    position = np.arange(length)[:, None]
    angle = position * 10000.0 ** (-(np.arange(width) // 2 * 2) / width)
    return torch.from_numpy(np.where(np.arange(width) % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32))


def padded_lengths(batch, length):
    return [length - length * (b + 1) // (2 * (batch + 1)) for b in range(batch)]


# --- weights as xtape names them

class Weights:
    """Copies xtape's arrays into parameters, and counts the arrays it took."""

    def __init__(self, path):
        self.arrays = dict(np.load(path))
        self.total = sum(a.size for a in self.arrays.values())

    def take(self, parameter, *paths):
        """Returns one parameter from arrays stacked along its first axis; kernels are (inputs, outputs) in xtape."""
        parts = []
        for path in paths:
            a = self.arrays.pop(path)
            if path.endswith("kernel"):
                outputs = a.shape[1:] if not path.endswith("attention_output/kernel") else a.shape[2:]
                a = a.reshape(-1, math.prod(outputs)).T
            elif path.endswith("bias"):
                a = a.reshape(-1)
            parts.append(a)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.concatenate(parts).copy()).reshape(parameter.shape))

    def linear(self, layer, *paths):
        self.take(layer.weight, *(p + "/kernel" for p in paths))
        self.take(layer.bias, *(p + "/bias" for p in paths))

    def norm(self, layer, path):
        self.take(layer.weight, path + "/gamma")
        self.take(layer.bias, path + "/beta")


# --- attention, twice

class Sdpa(nn.Module):
    """Linear and scaled_dot_product_attention. Projections of one input are one product."""

    def __init__(self, width, heads, cross=False, dropout=0.0):
        super().__init__()
        self.heads, self.cross, self.dropout = heads, cross, dropout
        self.first = nn.Linear(width, width if cross else 3 * width)
        self.second = nn.Linear(width, 2 * width) if cross else None
        self.out = nn.Linear(width, width)

    def load(self, weights, path):
        names = [f"{path}/{n}" for n in ("query", "key", "value")]
        weights.linear(self.first, *(names[:1] if self.cross else names))
        if self.cross:
            weights.linear(self.second, *names[1:])
        weights.linear(self.out, path + "/attention_output")

    def forward(self, x, memory, mask=None, causal=False):
        batch, length, width = x.shape
        split = lambda y, parts: y.view(batch, -1, parts, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.cross:
            (q,), (k, v) = split(self.first(x), 1), split(self.second(memory), 2)
        else:
            q, k, v = split(self.first(x), 3)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout, is_causal=causal)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


def load_module(attention, weights, path):
    names = [f"{path}/{n}" for n in ("query", "key", "value")]
    weights.take(attention.in_proj_weight, *(n + "/kernel" for n in names))
    weights.take(attention.in_proj_bias, *(n + "/bias" for n in names))
    weights.linear(attention.out_proj, path + "/attention_output")


def attention_work(variant, kind, extents, weights):
    batch, length, width, heads = extents
    cross, causal = kind == "cross", kind not in ("cross", "full")
    dropout = 0.1 if kind == "dropout" else 0.0
    x, factor = numbers((batch, length, width), 1), numbers((batch, length, width), 2)
    memory = numbers((batch, 2 * length, width), 3) if cross else x
    keep = None
    if kind == "padding":
        keep = torch.arange(length)[None, :] < torch.tensor(padded_lengths(batch, length))[:, None]
    if variant == "sdpa":
        layer = Sdpa(width, heads, cross, dropout)
        layer.load(weights, "attention")
        mask = None
        if keep is not None:  # scaled_dot_product_attention would turn a boolean mask into this sum
            allowed = keep[:, None, None, :] & torch.ones(length, length, dtype=torch.bool).tril()
            mask = torch.zeros(allowed.shape).masked_fill_(~allowed, -math.inf)
        run = lambda: layer(x, memory, mask, causal and keep is None)
    else:
        layer = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        load_module(layer, weights, "attention")
        arguments = {"need_weights": False}
        if causal:
            arguments |= {"attn_mask": nn.Transformer.generate_square_subsequent_mask(length), "is_causal": True}
        if keep is not None:
            arguments["key_padding_mask"] = torch.zeros(keep.shape).masked_fill_(~keep, -math.inf)
        run = lambda: layer(x, memory, memory, **arguments)[0]
    return layer, lambda: (run() * factor).sum()


# --- the encoder-decoder, twice

class SdpaLayer(nn.Module):
    def __init__(self, width, heads, hidden, decoder):
        super().__init__()
        self.attention = Sdpa(width, heads)
        self.cross = Sdpa(width, heads, cross=True) if decoder else None
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if decoder else 2))

    def load(self, weights, path):
        self.attention.load(weights, path + "/attention")
        if self.cross is not None:
            self.cross.load(weights, path + "/cross")
        weights.linear(self.up, path + "/ff/up")
        weights.linear(self.down, path + "/ff/down")
        for i, norm in enumerate(self.norms):
            weights.norm(norm, f"{path}/norm{i + 1}")

    def forward(self, x, memory=None):
        x = self.norms[0](x + self.attention(x, x, causal=memory is not None))
        if memory is not None:
            x = self.norms[1](x + self.cross(x, memory))
        return self.norms[-1](x + self.down(F.relu(self.up(x))))


class SdpaTransformer(nn.Module):
    def __init__(self, layers, width, heads, hidden):
        super().__init__()
        self.encoder = nn.ModuleList(SdpaLayer(width, heads, hidden, False) for _ in range(layers))
        self.decoder = nn.ModuleList(SdpaLayer(width, heads, hidden, True) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def load(self, weights):
        for name in ("encoder", "decoder"):
            for i, layer in enumerate(getattr(self, name)):
                layer.load(weights, f"model/{name}/{i}")
            weights.norm(getattr(self, name + "_norm"), f"model/{name}_norm")

    def forward(self, source, target):
        for layer in self.encoder:
            source = layer(source)
        source = self.encoder_norm(source)
        for layer in self.decoder:
            target = layer(target, source)
        return self.decoder_norm(target)


class ModuleTransformer(nn.Module):
    def __init__(self, layers, width, heads, hidden, length):
        super().__init__()
        self.layers = nn.Transformer(width, heads, layers, layers, hidden, dropout=0.0, batch_first=True)
        self.mask = nn.Transformer.generate_square_subsequent_mask(length)

    def load(self, weights):
        for name in ("encoder", "decoder"):
            stack = getattr(self.layers, name)
            for i, layer in enumerate(stack.layers):
                path = f"model/{name}/{i}"
                load_module(layer.self_attn, weights, path + "/attention")
                if name == "decoder":
                    load_module(layer.multihead_attn, weights, path + "/cross")
                weights.linear(layer.linear1, path + "/ff/up")
                weights.linear(layer.linear2, path + "/ff/down")
                for k in range(2 if name == "encoder" else 3):
                    weights.norm(getattr(layer, f"norm{k + 1}"), f"{path}/norm{k + 1}")
            weights.norm(stack.norm, f"model/{name}_norm")

    def forward(self, source, target):
        return self.layers(source, target, tgt_mask=self.mask, tgt_is_causal=True)


class EncoderDecoder(nn.Module):
    def __init__(self, variant, extents, weights):
        super().__init__()
        layers, width, heads, hidden, _, source, target, vocabulary = extents
        self.scale = math.sqrt(width)
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.source_positions, self.target_positions = sinusoids(source, width), sinusoids(target, width)
        self.stacks = (SdpaTransformer(layers, width, heads, hidden) if variant == "sdpa"
                       else ModuleTransformer(layers, width, heads, hidden, target))
        self.head = nn.Linear(width, vocabulary)
        self.stacks.load(weights)
        weights.take(self.source.weight, "model/source/embeddings")
        weights.take(self.target.weight, "model/target/embeddings")
        weights.linear(self.head, "model/head")

    def forward(self, source, target):
        return self.head(self.stacks(self.source(source) * self.scale + self.source_positions,
                                     self.target(target) * self.scale + self.target_positions))


def encoder_decoder_work(variant, extents, weights):
    batch, source, target, vocabulary = extents[4:]
    model = EncoderDecoder(variant, extents, weights)
    ids = tokens((batch, source), vocabulary, 1), tokens((batch, target), vocabulary, 2)
    following = tokens((batch, target), vocabulary, 3).flatten()
    return model, lambda: F.cross_entropy(model(*ids).flatten(0, 1), following)


# --- a training step

class Work:
    def __init__(self, variant, compiled, kind, extents, path):
        weights = Weights(path)
        if kind == "encoder_decoder":
            model, loss = encoder_decoder_work(variant, extents, weights)
        else:
            model, loss = attention_work(variant, kind, extents, weights)
        model.train()
        self.parameters = sum(p.numel() for p in model.parameters())
        if weights.arrays or self.parameters != weights.total:
            raise ValueError(f"the models differ: left over are {sorted(weights.arrays)}")
        self.loss = torch.compile(loss) if compiled else loss
        self.adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)

    def step(self):
        loss = self.loss()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        return loss

    def measure(self, budget):
        """Returns the milliseconds of the median step, as bench/work.hpp does."""
        def timed():
            start = time.perf_counter()
            self.step()
            return time.perf_counter() - start
        total = timed()
        times = [total] if total > 0.05 else []
        while not times or total < budget:
            times.append(timed())
            total += times[-1]
        return statistics.median(times) * 1e3


def limit_memory(size):
    """Limits the address space to `size` bytes more than the process has now."""
    with open("/proc/self/statm") as statm:
        present = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + size, present + size))


def main():
    torch.set_num_threads(2)
    torch.ones(512, 512) @ torch.ones(512, 512)  # starts the threads
    limit_memory(int(float(sys.argv[1]) * 2**30))
    works = {}
    for line in sys.stdin:
        command, *words = line.split()
        answer = {}
        try:
            if command == "clear":
                works.clear()
            elif command == "row":  # VARIANT FILE KIND EXTENTS...
                variant, path, kind, *extents = words
                works[variant] = Work(variant.removesuffix("+compile"), variant.endswith("+compile"), kind,
                                      [int(n) for n in extents], path)
                answer["parameters"] = works[variant].parameters
            elif command == "losses":  # VARIANT COUNT
                answer["losses"] = [works[words[0]].step().item() for _ in range(int(words[1]))]
            elif command == "run":  # VARIANT THREADS SECONDS
                torch.set_num_threads(int(words[1]))
                answer["ms"] = works[words[0]].measure(float(words[2]))
            else:
                answer["error"] = f"no command: {command}"
        except Exception as e:  # the caller decides
            answer["error"] = f"{type(e).__name__}: {e}".splitlines()[0]
            if "allocate memory" in answer["error"]:
                answer["error"] = f"more than {sys.argv[1]} GiB needed"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
