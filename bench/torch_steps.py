"""The rows of compare.py in PyTorch: a worker, as step_worker.py says. Each row is written in the two ways of users:
`module` with nn.MultiheadAttention or nn.Transformer, `sdpa` with Linear and scaled_dot_product_attention."""

import math
import sys

import torch
from torch import nn
from torch.nn import functional as F

from step_worker import BETA_2, DROPOUT, EPSILON, RATE, numbers, padded_lengths, serve, sinusoids, tokens


# --- weights as xtape names them

def copy(parameter, array):
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(array).reshape(parameter.shape))


def load_linear(layer, weights, *paths):
    copy(layer.weight, weights.take(*(p + "/kernel" for p in paths)).T)
    copy(layer.bias, weights.take(*(p + "/bias" for p in paths)))


def load_norm(layer, weights, path):
    copy(layer.weight, weights.take(path + "/gamma"))
    copy(layer.bias, weights.take(path + "/beta"))


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
        load_linear(self.first, weights, *(names[:1] if self.cross else names))
        if self.cross:
            load_linear(self.second, weights, *names[1:])
        load_linear(self.out, weights, path + "/attention_output")

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
    copy(attention.in_proj_weight, weights.take(*(n + "/kernel" for n in names)).T)
    copy(attention.in_proj_bias, weights.take(*(n + "/bias" for n in names)))
    load_linear(attention.out_proj, weights, path + "/attention_output")


def attention_work(variant, kind, extents, weights):
    batch, length, width, heads = extents
    cross, causal = kind == "cross", kind not in ("cross", "full")
    dropout = DROPOUT if kind == "dropout" else 0.0
    constant = lambda length, salt: torch.from_numpy(numbers((batch, length, width), salt))
    x, factor = constant(length, 1), constant(length, 2)
    memory = constant(2 * length, 3) if cross else x
    keep = None
    if kind == "padding":
        keep = torch.arange(length)[None, :] < torch.from_numpy(padded_lengths(batch, length))[:, None]
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
        load_linear(self.up, weights, path + "/ff/up")
        load_linear(self.down, weights, path + "/ff/down")
        for i, norm in enumerate(self.norms):
            load_norm(norm, weights, f"{path}/norm{i + 1}")

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
            load_norm(getattr(self, name + "_norm"), weights, f"model/{name}_norm")

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
                load_linear(layer.linear1, weights, path + "/ff/up")
                load_linear(layer.linear2, weights, path + "/ff/down")
                for k in range(2 if name == "encoder" else 3):
                    load_norm(getattr(layer, f"norm{k + 1}"), weights, f"{path}/norm{k + 1}")
            load_norm(stack.norm, weights, f"model/{name}_norm")

    def forward(self, source, target):
        return self.layers(source, target, tgt_mask=self.mask, tgt_is_causal=True)


class EncoderDecoder(nn.Module):
    def __init__(self, variant, extents, weights):
        super().__init__()
        layers, width, heads, hidden, _, source, target, vocabulary = extents
        self.scale = math.sqrt(width)
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.source_positions, self.target_positions = (torch.from_numpy(sinusoids(n, width)) for n in (source, target))
        self.stacks = (SdpaTransformer(layers, width, heads, hidden) if variant == "sdpa"
                       else ModuleTransformer(layers, width, heads, hidden, target))
        self.head = nn.Linear(width, vocabulary)
        self.stacks.load(weights)
        copy(self.source.weight, weights.take("model/source/embeddings"))
        copy(self.target.weight, weights.take("model/target/embeddings"))
        load_linear(self.head, weights, "model/head")

    def forward(self, source, target):
        return self.head(self.stacks(self.source(source) * self.scale + self.source_positions,
                                     self.target(target) * self.scale + self.target_positions))


def encoder_decoder_work(variant, extents, weights):
    batch, source, target, vocabulary = extents[4:]
    model = EncoderDecoder(variant, extents, weights)
    ids = lambda length, salt: torch.from_numpy(tokens((batch, length), vocabulary, salt))
    given, following = (ids(source, 1), ids(target, 2)), ids(target, 3).flatten()
    return model, lambda: F.cross_entropy(model(*given).flatten(0, 1), following)


# --- a training step

class Work:
    def __init__(self, variant, kind, extents, weights):
        formulation, *self.options = variant.split("+")
        if kind == "encoder_decoder":
            model, loss = encoder_decoder_work(formulation, extents, weights)
        else:
            model, loss = attention_work(formulation, kind, extents, weights)
        model.train()
        self.parameters = sum(p.numel() for p in model.parameters())
        self.loss = torch.compile(loss) if "compile" in self.options else loss
        self.adam = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        self.steps = 0

    def step(self):
        torch.set_float32_matmul_precision("medium" if "medium" in self.options else "highest")
        with torch.autocast("cpu", torch.bfloat16, enabled="autocast" in self.options):
            loss = self.loss()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.steps += 1
        # Keras and xtape add epsilon before the bias correction, PyTorch adds it after.
        self.adam.param_groups[0]["eps"] = EPSILON / math.sqrt(1 - BETA_2**self.steps)
        self.adam.step()
        return loss.detach()


if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.ones(512, 512) @ torch.ones(512, 512)  # starts the threads
    serve(Work, sys.argv[1], torch.set_num_threads)
