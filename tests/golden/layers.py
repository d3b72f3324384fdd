"""Golden cases of the layers. See make.py."""

from reference import Family, agree, keras, np, torch

import torch.nn.functional as F


def dense():
    f = Family("dense", 1)
    for shape, units, bias, activation in [
            ((3, 4), 5, True, "linear"), ((3, 4), 5, False, "linear"), ((2, 3, 4), 2, True, "tanh"),
            ((2, 3, 2, 5), 3, True, "gelu"), ((1, 1), 1, True, "sigmoid"),
            ((4, 6), 8, False, "softmax"), ((2, 2, 2, 2, 3), 2, True, "relu"),
            ((7, 33), 17, True, "selu")]:
        layer = keras.layers.Dense(units, activation=activation, use_bias=bias)
        f.add(f"{shape} to {units}, {activation}, bias {bias}",
              {"units": [units], "axes": 1, "use_bias": bias, "activation": activation},
              {"x": f.uniform(*shape)}, layer, layer)
    for equation, shape, units, axes, bias, activation in [
            ("abc,cde->abde", (2, 3, 4), (2, 5), 1, "de", "linear"),
            ("abcd,cde->abe", (2, 3, 2, 4), (5,), 2, "e", "linear"),
            ("abcd,cdef->abef", (2, 3, 2, 4), (3, 2), 2, "ef", "silu"),
            ("abcd,bcdef->aef", (4, 2, 3, 2), (2, 3), 3, None, "linear"),
            ("ab,bcde->acde", (3, 4), (2, 1, 3), 1, "cde", "softplus")]:
        kept = shape[1:len(shape) - axes]
        layer = keras.layers.EinsumDense(equation, kept + units, activation, bias_axes=bias)
        f.add(f"{equation}, {activation}, bias {bias}",
              {"units": units, "axes": axes, "use_bias": bias is not None,
               "activation": activation}, {"x": f.uniform(*shape)}, layer, layer)
    f.write()


def softmax():
    f = Family("softmax", 2)

    def add(shape, axes, mask=None, what="no mask", scale=3.0):
        layer = keras.layers.Softmax(axis=axes if len(axes) > 1 else axes[0])
        m = None if mask is None else torch.tensor(mask)
        f.add(f"{shape} over {axes}, {what}", {"axes": axes},
              {"x": f.uniform(*shape, low=-scale, high=scale)}, lambda x: layer(x, mask=m),
              constants={} if mask is None else {"mask": mask})

    add((3, 5), (-1,))
    add((3, 5), (0,))
    add((2, 3, 4), (1,))
    add((2, 3, 4), (1, 2))
    add((2, 3, 4), (-1, 0))
    add((2, 2, 3, 2), (-3, -2, -1))
    add((2, 300), (-1,), scale=40.0)
    add((3, 5), (-1,), f.mask(3, 5), "mask")
    full = f.mask(3, 4, 5)
    full[1, 2] = False  # rows without any element taking part: zeros
    full[0, 0] = False
    add((3, 4, 5), (-1,), full, "mask with empty rows")
    add((3, 4, 5), (-1,), f.mask(5), "mask of fewer axes")
    add((3, 4, 5), (1,), f.mask(3, 1, 5), "broadcast mask")
    joint = f.mask(3, 4, 5)
    joint[1] = False
    add((3, 4, 5), (1, 2), joint, "mask, one batch empty")
    f.write()


def layer_normalization():
    f = Family("layer_normalization", 3)
    for shape, axes, epsilon, center, scale in [
            ((3, 5), (-1,), 1e-3, True, True), ((3, 5), (-1,), 1e-5, True, True),
            ((2, 3, 4), (-1,), 1e-3, False, True), ((2, 3, 4), (-1,), 1e-3, True, False),
            ((2, 3, 4), (2,), 1e-12, False, False), ((2, 3, 4), (1, 2), 1e-3, True, True),
            ((2, 3, 4), (1,), 1e-5, True, True), ((4, 3, 2), (0,), 1e-3, True, True),
            ((2, 3, 4, 2), (-1, 1), 1e-5, True, True), ((2, 40), (-1,), 1e-5, True, True)]:
        at = sorted(a % len(shape) for a in axes)
        last = list(range(len(shape) - len(at), len(shape)))
        # Keras 3.15 on PyTorch fails for neighbouring axes that are not the last ones, and orders
        # negative axes before positive ones: those move to the end, and all are given as positive.
        moved = at != last and at == list(range(at[0], at[-1] + 1))
        layer = keras.layers.LayerNormalization(axis=last if moved else at, epsilon=epsilon,
                                                center=center, scale=scale)

        def call(x):
            return layer(x.movedim(at, last)).movedim(last, at) if moved else layer(x)

        leaves, outputs = f.add(
            f"{shape} over {axes}, epsilon {epsilon}, center {center}, scale {scale}",
            {"axes": axes, "epsilon": epsilon, "center": center, "scale": scale},
            {"x": f.uniform(*shape, low=-2, high=3)}, call, layer)
        # Keras computes these in float64 (it promises "at least float32"); PyTorch confirms.
        weights = [None if v is None else v.value for v in (layer.gamma, layer.beta)]
        by_torch = F.layer_norm(leaves["x"].movedim(at, last), [shape[a] for a in at], *weights,
                                epsilon)
        agree(by_torch.movedim(last, at), outputs["output"], 1e-14, "layer_norm")
    f.write()


def embedding():
    f = Family("embedding", 4)
    for rows, width, ids in [(5, 3, [0, 4, 2]), (4, 2, [[1, 1, 3], [1, 0, 3]]),
                             (7, 5, [[[6], [6]]])]:
        layer = keras.layers.Embedding(rows, width)
        ids = np.array(ids)
        _, outputs = f.add(f"{ids.shape} of {rows} x {width}", {"rows": rows, "width": width}, {},
                           lambda: layer(torch.tensor(ids)), layer, {"ids": ids})
        by_torch = F.embedding(torch.tensor(ids), layer.embeddings.value)
        agree(by_torch, outputs["output"], 0, "embedding")
    f.write()


def multi_head_attention():
    f = Family("multi_head_attention", 7)

    def add(name, query, value=None, key=None, causal=False, heads=2, key_dim=3, **more):
        """Shapes of the inputs; without a value's, query and value are one array."""
        constants = {k: more.pop(k) for k in list(more) if k.endswith("mask")}
        layer = keras.layers.MultiHeadAttention(heads, key_dim, flash_attention=False, **more)
        shapes = {"query": query, "value": value, "key": key}
        masks = {k: torch.tensor(v) for k, v in constants.items() if k != "query_mask"}

        def call(query, value=None, key=None, scores=True):
            value = query if value is None else value
            if "query_mask" in constants:  # Keras replaces the argument by the tensor's own mask
                query = query * 1.0
                keras.src.backend.set_keras_mask(query, torch.tensor(constants["query_mask"]))
            out = layer(query, value, key, return_attention_scores=scores, use_causal_mask=causal,
                        **masks)
            return dict(zip(("output", "scores"), out)) if scores else out

        options = {"num_heads": heads, "key_dim": key_dim, "causal": causal} | more
        leaves, outputs = f.add(name, options,
                                {k: f.uniform(*s) for k, s in shapes.items() if s is not None},
                                call, layer, constants)
        # The path without scores differs in rows that may attend to nothing; elsewhere it agrees.
        if outputs["scores"].sum(-1).min() > 0.5:
            agree(call(*leaves.values(), scores=False), outputs["output"], 1e-13, name)

    add("self", (2, 4, 5))
    add("self, causal", (2, 4, 5), causal=True)
    add("self, one head, no bias", (1, 3, 4), heads=1, key_dim=2, use_bias=False)
    add("cross", (2, 3, 5), (2, 4, 6))
    add("cross, causal", (2, 3, 5), (2, 5, 6), causal=True)
    add("cross, causal, longer query", (2, 5, 4), (2, 3, 4), causal=True)
    add("cross, key, value_dim", (2, 3, 5), (2, 4, 6), (2, 4, 7), value_dim=4)
    add("mask (T, S)", (2, 3, 5), (2, 4, 5), attention_mask=f.mask(3, 4) | np.eye(3, 4, dtype=bool))
    empty = f.mask(2, 3, 4) | np.eye(3, 4, dtype=bool)
    empty[1, 2] = False
    empty[0, 0] = False
    add("mask (B, T, S), rows attending to nothing", (2, 3, 5), (2, 4, 6), (2, 4, 3), value_dim=2,
        attention_mask=empty)
    add("mask (B, N, T, S) and causal", (2, 4, 5), attention_mask=f.mask(2, 2, 4, 4), causal=True)
    add("mask (B, 1, S)", (2, 3, 4), (2, 5, 4), attention_mask=f.mask(2, 1, 5))
    lengths = np.arange(5) < np.array([[5], [2]])
    add("padding of value", (2, 3, 4), (2, 5, 4), value_mask=lengths)
    add("padding of query, value and key", (2, 3, 4), (2, 5, 4), (2, 5, 4), value_mask=lengths,
        key_mask=f.mask(2, 5) | (np.arange(5) == 0),
        query_mask=np.array([[1, 1, 0], [1, 1, 1]]) == 1)
    add("padding and causal", (2, 5, 4), value_mask=lengths, causal=True)
    add("output_shape 7", (2, 3, 4), (2, 2, 5), output_shape=7)
    add("output_shape (3, 2)", (2, 3, 4), (2, 2, 5), output_shape=(3, 2), value_dim=4)
    add("rank 4, all axes", (2, 3, 2, 4))
    add("rank 4, axes (2,)", (2, 3, 2, 4), (2, 3, 4, 5), attention_axes=(2,))
    five = {"query": (2, 2, 3, 2, 4), "value": (2, 2, 2, 3, 5)}
    add("rank 5, axes (2, 3)", **five, attention_axes=(2, 3))
    add("rank 5, axes (2, 3), value_dim, output_shape", **five, attention_axes=(2, 3), value_dim=2,
        output_shape=(3,), heads=3)
    add("rank 5, axes (2, 3), mask (T1, T2, S1, S2)", **five, attention_axes=(2, 3),
        attention_mask=f.mask(3, 2, 2, 3))
    free = f.mask(2, 2, 3, 2, 2, 3)  # (B, free axis, T1, T2, S1, S2): not the heads
    free[0, 1, 2, 0] = False
    add("rank 5, axes (2, 3), mask with the free axis, empty rows", **five, attention_axes=(2, 3),
        attention_mask=free, heads=3)
    add("rank 5, axes (3, 2)", **five, attention_axes=(3, 2))
    add("rank 5, axes (1,)", (2, 3, 2, 2, 4), (2, 4, 2, 2, 4), attention_axes=(1,))
    add("rank 5, all axes", (1, 2, 2, 3, 4))
    add("wider", (2, 9, 16), (2, 11, 16), heads=4, key_dim=8)
    f.write()
