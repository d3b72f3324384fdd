"""Golden cases of the regularizers, constraints, penalties and initializers. See make.py."""

from reference import Family, encode, keras, np, torch


def regularizers():
    """Records values and gradients. The output of a case is the penalty of its input w."""
    f = Family("regularizers", 9)
    example = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    r = keras.regularizers
    for name, w in [("example", example), ("(4, 3)", f.uniform(4, 3)), ("(3, 5)", f.uniform(3, 5))]:
        for kind, options in [
                ("L1", {"l1": 0.1}), ("L2", {"l2": 0.1}), ("L1L2", {"l1": 0.1, "l2": 0.2}),
                ("OrthogonalRegularizer", {"factor": 0.1, "mode": "rows"}),
                ("OrthogonalRegularizer", {"factor": 0.1, "mode": "columns"})]:
            f.add(f"{kind} {options} of {name}", {"kind": kind, "options": options}, {"w": w},
                  getattr(r, kind)(**options))
        for by_name in ("l1", "l2", "orthogonal_regularizer", "L1", "L2", "OrthogonalRegularizer"):
            f.add(f"'{by_name}' of {name}", {"by_name": by_name}, {"w": w}, r.get(by_name))
        for by_name in ("l1l2", "L1L2"):  # nothing to differentiate
            assert r.get(by_name)(torch.tensor(w)) == 0
    for shape in [(5,), (2, 3, 4)]:
        f.add(f"L1L2 of {shape}", {"kind": "L1L2", "options": {"l1": 0.3, "l2": 0.7}},
              {"w": f.uniform(*shape)}, r.L1L2(0.3, 0.7))
    f.write()


def constraints():
    f = Family("constraints", 10)
    example = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    c = keras.constraints

    def add(name, options, constraint, w):
        f.cases.append({"name": f"{name} of {w.shape}"} | options | {
            "w": encode(w), "result": encode(constraint(torch.tensor(w)))})

    for w in (example, f.uniform(4, 3, low=-2, high=2), np.zeros((2, 2))):
        for kind, options in [
                ("MaxNorm", {"max_value": 2.0}), ("MaxNorm", {"max_value": 0.5, "axis": [1]}),
                ("MaxNorm", {"max_value": 1.0, "axis": [0, 1]}), ("UnitNorm", {}),
                ("UnitNorm", {"axis": [1]}), ("NonNeg", {}),
                ("MinMaxNorm", {"min_value": 0.5, "max_value": 2.0, "rate": 0.5}),
                ("MinMaxNorm", {"min_value": 1.5, "max_value": 2.5, "axis": [-1]})]:
            add(f"{kind} {options}", {"kind": kind, "options": options},
                getattr(c, kind)(**options), w)
        for by_name in ("max_norm", "unit_norm", "non_neg", "min_max_norm", "MaxNorm", "UnitNorm",
                        "NonNeg", "MinMaxNorm"):
            add(f"'{by_name}'", {"by_name": by_name}, c.get(by_name), w)
    w = f.uniform(3, 2, 4, low=-2, high=2)  # a kernel of attention
    add("MaxNorm", {"kind": "MaxNorm", "options": {"max_value": 1.0}}, c.MaxNorm(1.0), w)
    f.write()


def penalties():
    """A Dense with penalties: output, list of losses, and gradients of their sum with the output's.

    "frozen" layers are not trainable: then only the penalty of the output remains.
    """
    f = Family("penalties", 11)
    for shape, units, frozen in [((4, 3), 2, False), ((2, 3, 4), 3, False), ((3, 4), 2, True)]:
        layer = keras.layers.Dense(
            units, activation="tanh", kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02),
            bias_regularizer=keras.regularizers.L2(0.03),
            activity_regularizer=keras.regularizers.L2(0.04))
        layer.build(shape)
        layer.trainable = not frozen

        def call(x):
            y = layer(x)
            # losses: the output's, then the kernel's and the bias's.
            return {"output": y, "losses": torch.stack(list(layer.losses))}

        x = f.uniform(*shape)
        if not frozen:
            f.add(f"{shape} to {units}", {"units": units, "frozen": False}, {"x": x}, call, layer)
            continue
        for v in layer.weights:
            v.assign(f.uniform(*v.shape))
        leaf = torch.tensor(x, requires_grad=True)
        outputs = call(leaf)
        assert outputs["losses"].shape == (1,)
        cotangents = {k: f.uniform(*v.shape) for k, v in outputs.items()}
        sum((v * torch.tensor(cotangents[k])).sum() for k, v in outputs.items()).backward()
        groups = {"inputs": {"x": x}, "weights": {v.path.split("/", 1)[1]: v for v in layer.weights},
                  "constants": {}, "cotangents": cotangents, "outputs": outputs,
                  "gradients": {"x": leaf.grad}}
        f.cases.append({"name": f"{shape} to {units}, frozen", "units": units, "frozen": True} | {
            group: {k: encode(v.value if isinstance(v, keras.Variable) else v)
                    for k, v in arrays.items()} for group, arrays in groups.items()})
    f.write()


def activity():
    """Penalties of outputs: output and loss, and gradients of their sum."""
    f = Family("activity", 17)

    def add(name, options, layer, inputs, call, constants=None):
        def both(*x):
            y = call(*x)
            (loss,) = layer.losses
            return {"output": y, "loss": loss}
        f.add(name, options, inputs, both, layer, constants)

    for shape in [(5,), (2, 3), (4, 1, 2)]:
        layer = keras.layers.Embedding(
            6, 3, activity_regularizer=keras.regularizers.L1L2(0.01, 0.02))
        ids = f.random.integers(0, 6, shape)
        add(f"Embedding of {shape}", {"layer": "Embedding"}, layer, {},
            lambda: layer(torch.tensor(ids)), {"ids": ids})
    for shape in [(4, 3), (2, 3, 5)]:
        for kind in (keras.layers.LayerNormalization, keras.layers.RMSNormalization):
            layer = kind(epsilon=1e-3, activity_regularizer=keras.regularizers.L1L2(0.01, 0.02))
            add(f"{kind.__name__} of {shape}", {"layer": kind.__name__}, layer,
                {"x": f.uniform(*shape)}, layer)
    f.write()


def initializers():
    """Records statistics of large draws. Single numbers may differ from Keras's."""
    f = Family("initializers", 12)
    # "constant" is left out: Keras 3.15 fails for the bare name.
    names = ["zeros", "ones", "zero", "one", "Zeros", "Ones",
             "random_uniform", "uniform", "RandomUniform", "random_normal", "normal",
             "RandomNormal", "truncated_normal", "TruncatedNormal", "variance_scaling",
             "VarianceScaling", "glorot_uniform", "GlorotUniform", "glorot_normal", "GlorotNormal",
             "he_uniform", "HeUniform", "he_normal", "HeNormal", "lecun_uniform", "LecunUniform",
             "lecun_normal", "LecunNormal", "orthogonal", "Orthogonal", "OrthogonalInitializer",
             "identity", "Identity", "IdentityInitializer"]
    for shape in [(300, 400), (64, 8, 100)]:
        for name in names:
            if "dentity" in name and len(shape) != 2:
                continue
            keras.utils.set_random_seed(1)
            # A bare call counts fans by the rule before Keras 3.15, for convolutions.
            values = np.asarray(keras.initializers.get(name)(shape).detach(), dtype=np.float64)
            f.cases.append({"name": f"'{name}' of {shape}", "by_name": name, "shape": shape,
                            "mean": float(values.mean()), "stddev": float(values.std()),
                            "largest": float(np.abs(values).max())})
    f.write()
