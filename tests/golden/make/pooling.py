"""Golden cases of global pooling and of batch normalization. See make.py."""

from reference import Family, encode, keras, np, torch


def pooling():
    f = Family("pooling", 42)
    layers = keras.layers
    for shape, dims in (((3, 5, 4), 1), ((2, 3, 4, 5), 2), ((2, 2, 3, 2, 4), 3)):
        for kind in ("average", "max"):
            for keep in (False, True):
                name = f"Global{kind.capitalize()}Pooling{dims}D"
                layer = getattr(layers, name)(keepdims=keep)
                f.add(f"{name} of {shape}, keep_dims {keep}", {"kind": kind, "keep_dims": keep},
                      {"x": f.uniform(*shape)}, layer)
    # Only the average of one axis takes a mask in Keras. Rows without any position are NaN there.
    mask = f.mask(4, 6)
    mask[0] = True
    mask[1, 1:] = False
    mask[:, 0] = True
    layer = layers.GlobalAveragePooling1D()
    f.add("GlobalAveragePooling1D, masked", {"kind": "average", "keep_dims": False},
          {"x": f.uniform(4, 6, 3)}, lambda x: layer(x, mask=torch.tensor(mask)),
          constants={"mask": mask})
    f.write()


def batch_normalization():
    f = Family("batch_normalization", 43)
    for name, shape, options, training, masked in (
            ("training", (6, 4), {}, True, False),
            ("inference", (6, 4), {}, False, False),
            ("sequences", (3, 5, 4), {"momentum": 0.9, "epsilon": 1e-5}, True, False),
            ("masked", (3, 5, 4), {"momentum": 0.8}, True, True),
            ("masked, inference", (3, 5, 4), {}, False, True),
            ("axis 1", (3, 4, 2, 3), {"axis": 1, "momentum": 0.5}, True, False),
            ("axis 1, inference", (3, 4, 2, 3), {"axis": 1}, False, False),
            ("no gamma", (5, 3), {"scale": False}, True, False),
            ("no beta", (5, 3), {"center": False}, True, False),
            ("neither", (5, 3), {"center": False, "scale": False}, True, False),
            ("frozen", (5, 3), {"trainable": False}, True, False)):
        layer = keras.layers.BatchNormalization(**options)
        layer.build(shape)
        for v in layer.weights:
            low = 0.5 if v.name == "moving_variance" else -1.0
            v.assign(f.uniform(*v.shape, low=low, high=1.5))
        before = {v.name: v.numpy().copy() for v in layer.weights}
        x = f.uniform(*shape, low=-2, high=3)
        leaf = torch.tensor(x, requires_grad=True)
        mask = f.mask(*shape[:-1], keep=0.7) if masked else None
        outputs = layer(leaf, training=training,
                        mask=None if mask is None else torch.tensor(mask))
        cotangent = f.uniform(*outputs.shape)
        (outputs * torch.tensor(cotangent)).sum().backward()
        gradients = {"x": encode(leaf.grad)}
        for v in (layer.gamma, layer.beta):
            if v is not None and v.value.grad is not None:
                gradients[v.name] = encode(v.value.grad)
        f.cases.append({"name": name, "options": options, "training": training,
                        "x": encode(x), "weights": {k: encode(v) for k, v in before.items()},
                        "cotangent": encode(cotangent), "output": encode(outputs),
                        "gradients": gradients,
                        "moving_mean": encode(layer.moving_mean.value.detach()),
                        "moving_variance": encode(layer.moving_variance.value.detach())}
                       | ({} if mask is None else {"mask": encode(mask)}))
    f.write()
