"""The rows of compare.py in JAX: jax.nn.dot_product_attention in a jitted step whose state is donated, Adam with it.
A worker, as step_worker.py says: jax_steps.py GIGABYTES THREADS. The number of threads is fixed when JAX starts."""

import math
import os
import sys

os.environ |= {"JAX_PLATFORMS": "cpu", "NPROC": sys.argv[2]}  # read when JAX is imported

import jax
import jax.numpy as jnp

from step_worker import (BETA_1, BETA_2, DROPOUT, EPSILON, NORM_EPSILON, RATE, numbers, padded_lengths, serve,
                         sinusoids, tokens)


# --- layers: functions of a dictionary of weights

def load_linear(weights, *paths):
    return {"kernel": weights.take(*(p + "/kernel" for p in paths)),
            "bias": weights.take(*(p + "/bias" for p in paths))}


def linear(w, x):
    return x @ w["kernel"] + w["bias"]


def load_norm(weights, path):
    return {"gamma": weights.take(path + "/gamma"), "beta": weights.take(path + "/beta")}


def norm(w, x):
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + NORM_EPSILON) * w["gamma"] + w["beta"]


def load_attention(weights, path, cross=False):
    """Projections of one input are one product."""
    names = [f"{path}/{n}" for n in ("query", "key", "value")]
    parts = {"first": names[:1], "second": names[1:]} if cross else {"first": names}
    loaded = {part: load_linear(weights, *paths) for part, paths in parts.items()}
    return loaded | {"out": load_linear(weights, path + "/attention_output")}


def attention(w, heads, x, memory=None, key=None, **masks):
    batch, length, width = x.shape
    split = lambda y, parts: jnp.moveaxis(y.reshape(batch, -1, parts, heads, width // heads), 2, 0)
    if memory is None:
        q, k, v = split(linear(w["first"], x), 3)
    else:
        (q,), (k, v) = split(linear(w["first"], x), 1), split(linear(w["second"], memory), 2)
    y = jax.nn.dot_product_attention(q, k, v, **masks) if key is None else with_dropout(q, k, v, key)
    return linear(w["out"], y.reshape(batch, length, width))


def with_dropout(q, k, v, key):
    """Returns causal attention that drops weights, which dot_product_attention cannot."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    allowed = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    shares = jax.nn.softmax(jnp.where(allowed, scores, -jnp.inf))
    kept = jax.random.bernoulli(key, 1 - DROPOUT, shares.shape)
    return jnp.einsum("bhqk,bkhd->bqhd", jnp.where(kept, shares / (1 - DROPOUT), 0), v)


# --- rows: each returns weights, data, and the loss as a function of both and of a key

def attention_row(kind, extents, weights):
    batch, length, width, heads = extents
    data = {"x": numbers((batch, length, width), 1), "factor": numbers((batch, length, width), 2)}
    if kind == "cross":
        data["memory"] = numbers((batch, 2 * length, width), 3)
    if kind == "padding":
        data["lengths"] = padded_lengths(batch, length)
    causal = kind not in ("cross", "full")

    def loss(w, data, key):
        y = attention(w, heads, data["x"], data.get("memory"), key if kind == "dropout" else None,
                      is_causal=causal, key_value_seq_lengths=data.get("lengths"))
        return (y * data["factor"]).sum()
    return load_attention(weights, "attention", kind == "cross"), data, loss


def load_layer(weights, path, decoder):
    layer = {"attention": load_attention(weights, path + "/attention"),
             "up": load_linear(weights, path + "/ff/up"), "down": load_linear(weights, path + "/ff/down"),
             "norms": [load_norm(weights, f"{path}/norm{i + 1}") for i in range(3 if decoder else 2)]}
    return layer | ({"cross": load_attention(weights, path + "/cross", cross=True)} if decoder else {})


def run_layer(w, heads, x, memory=None):
    x = norm(w["norms"][0], x + attention(w["attention"], heads, x, is_causal=memory is not None))
    if memory is not None:
        x = norm(w["norms"][1], x + attention(w["cross"], heads, x, memory))
    return norm(w["norms"][-1], x + linear(w["down"], jax.nn.relu(linear(w["up"], x))))


def encoder_decoder_row(extents, weights):
    layers, width, heads, _, batch, source, target, vocabulary = extents
    loaded = {"head": load_linear(weights, "model/head")}
    for side in ("encoder", "decoder"):
        loaded[side] = [load_layer(weights, f"model/{side}/{i}", side == "decoder") for i in range(layers)]
        loaded[side + "_norm"] = load_norm(weights, f"model/{side}_norm")
    for table in ("source", "target"):
        loaded[table] = weights.take(f"model/{table}/embeddings")
    data = {"source": tokens((batch, source), vocabulary, 1), "target": tokens((batch, target), vocabulary, 2),
            "next": tokens((batch, target), vocabulary, 3),
            "source_positions": sinusoids(source, width), "target_positions": sinusoids(target, width)}

    def embedded(w, data, table):
        return w[table][data[table]] * math.sqrt(width) + data[table + "_positions"]

    def loss(w, data, key):
        memory = embedded(w, data, "source")
        for layer in w["encoder"]:
            memory = run_layer(layer, heads, memory)
        memory = norm(w["encoder_norm"], memory)
        y = embedded(w, data, "target")
        for layer in w["decoder"]:
            y = run_layer(layer, heads, y, memory)
        logits = linear(w["head"], norm(w["decoder_norm"], y))
        chosen = jnp.take_along_axis(logits, data["next"][..., None], -1)[..., 0]
        return (jax.nn.logsumexp(logits, -1) - chosen).mean()
    return loaded, data, loss


# --- a training step

def adam(loss):
    """Returns a step of Adam as Keras and xtape define it: epsilon is added before the bias correction."""
    def step(state, data):
        w, m, v, steps = state
        value, gradients = jax.value_and_grad(loss)(w, data, jax.random.fold_in(jax.random.key(7), steps))
        steps += 1
        corrections = [-jnp.expm1(steps * math.log(beta)) for beta in (BETA_1, BETA_2)]
        rate = RATE * jnp.sqrt(corrections[1]) / corrections[0]
        m = jax.tree.map(lambda m, g: m + (1 - BETA_1) * (g - m), m, gradients)
        v = jax.tree.map(lambda v, g: v + (1 - BETA_2) * (g * g - v), v, gradients)
        w = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON), w, m, v)
        return (w, m, v, steps), value
    return jax.jit(step, donate_argnums=0)


class Work:
    def __init__(self, _, kind, extents, weights):
        loaded, data, loss = (encoder_decoder_row(extents, weights) if kind == "encoder_decoder"
                              else attention_row(kind, extents, weights))
        self.parameters = sum(a.size for a in jax.tree.leaves(loaded))
        self.data = jax.tree.map(jnp.asarray, data)
        zeros = lambda: jax.tree.map(jnp.zeros_like, loaded)
        self.state = jax.tree.map(jnp.array, loaded), zeros(), zeros(), jnp.int32(0)
        self.update = adam(loss)

    def step(self):
        self.state, loss = self.update(self.state, self.data)
        return loss.block_until_ready()


if __name__ == "__main__":
    jax.block_until_ready(jnp.ones((512, 512)) @ jnp.ones((512, 512)))  # starts the threads
    serve(Work, sys.argv[1])
