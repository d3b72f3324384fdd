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
