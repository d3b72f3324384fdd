"""Golden cases of the losses and optimizers. See make.py."""

from reference import Family, agree, encode, keras, np, torch


def losses():
    f = Family("losses", 5)

    def add(kind, x, truth, reduction="sum_over_batch_size", from_logits=False, ignore_class=None,
            mask=None, weights=None, note=""):
        options = {"kind": kind, "reduction": reduction, "from_logits": from_logits}
        arguments = {"reduction": reduction}
        if kind != "mse":
            arguments["from_logits"] = from_logits
        if ignore_class is not None:
            options["ignore_class"] = arguments["ignore_class"] = ignore_class
        loss = {"mse": keras.losses.MeanSquaredError,
                "sparse": keras.losses.SparseCategoricalCrossentropy,
                "categorical": keras.losses.CategoricalCrossentropy}[kind](**arguments)
        constants = {"labels": truth} if kind == "sparse" else {}
        if mask is not None:
            constants["mask"] = mask
        if weights is not None:
            constants["sample_weight"] = weights

        def call(prediction, target=None):
            if mask is not None:  # as a layer with a mask would leave it on its output
                prediction = prediction * 1.0
                keras.src.backend.set_keras_mask(prediction, torch.tensor(mask))
            t = torch.tensor(truth) if target is None else target
            return loss(t, prediction, None if weights is None else torch.tensor(weights))

        inputs = {"prediction": x} | ({} if kind == "sparse" else {"target": truth})
        f.add(f"{kind} {x.shape}, {reduction}, logits {from_logits}{note}", options, inputs, call,
              constants=constants)

    def probabilities(*shape):
        # Not quite normalised, so that the renormalisation and its gradient count.
        p = f.uniform(*shape, low=0.05, high=1.0)
        return (p / p.sum(-1, keepdims=True) * 1.1).round(4)

    some = np.array([[1, 1, 0], [0, 1, 0]]) == 1
    none = np.zeros((2, 3)) == 1
    labels = np.array([[0, 3, 1], [2, 0, 3]])
    ignored = np.array([[0, 3, -1], [2, -1, 3]])
    for reduction in ("sum_over_batch_size", "sum", "none"):
        for logits in (True, False):
            x = f.uniform(2, 3, 4, low=-4, high=4) if logits else probabilities(2, 3, 4)
            y = probabilities(2, 3, 4)
            add("sparse", x, labels, reduction, logits)
            add("sparse", x, labels, reduction, logits, mask=some, note=", mask")
            add("sparse", x, ignored, reduction, logits, -1, note=", ignore_class")
            add("sparse", x, ignored, reduction, logits, -1, mask=some, note=", both")
            add("categorical", x, y, reduction, logits)
            add("categorical", x, y, reduction, logits, mask=some, note=", mask")
        x, y = f.uniform(2, 3, 4), f.uniform(2, 3, 4)
        add("mse", x, y, reduction)
        add("mse", x, y, reduction, mask=some, note=", mask")
    x = f.uniform(5, 4, low=-30, high=30)
    add("sparse", x, np.array([1, 0, 3, 3, 2]), from_logits=True, note=", large")
    add("sparse", x, np.array([1, 0, 2, 2, 2]), from_logits=True, ignore_class=2, note=", ignore 2")
    add("sparse", f.uniform(2, 3, 4), labels, from_logits=True, mask=none, note=", nothing counts")
    # Sample weights multiply and are not in the divisor.
    w = f.uniform(2, 3, low=0, high=2)
    add("sparse", f.uniform(2, 3, 4), labels, from_logits=True, weights=w, note=", weights")
    add("categorical", probabilities(2, 3, 4), probabilities(2, 3, 4), weights=w, note=", weights")
    add("mse", f.uniform(2, 3, 4), f.uniform(2, 3, 4), weights=w, note=", weights")
    # Probabilities 0 and 1 are limited, where the gradient stops.
    edge = np.array([[1.0, 0, 0, 0], [0, 0.5, 0.5, 0], [0.2, 0.3, 0.4, 0.1]])
    add("sparse", edge, np.array([0, 3, 1]), note=", limits")
    add("categorical", edge, np.eye(4)[[0, 3, 1]], note=", limits")
    f.write()


def transcribed(kind, o, weights, gradients, epsilon=1e-7):
    """The update rules in plain NumPy float64; yields the weights after each step."""
    w = [x.copy() for x in weights]
    m, v = [np.zeros_like(x) for x in w], [np.zeros_like(x) for x in w]
    lr, mu = o["learning_rate"], o.get("momentum", 0.0)
    b1, b2 = o.get("beta_1", 0.9), o.get("beta_2", 0.999)
    for t, g in enumerate(gradients, 1):
        for i in range(len(w)):
            w[i] = w[i] - w[i] * lr * o.get("weight_decay", 0.0)
            if kind == "SGD":
                m[i] = mu * m[i] - lr * g[i]
                w[i] = w[i] + (mu * m[i] - lr * g[i] if o.get("nesterov") else m[i])
            else:
                m[i] = b1 * m[i] + (1 - b1) * g[i]
                v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2
                alpha = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
                w[i] = w[i] - alpha * m[i] / (np.sqrt(v[i]) + epsilon)
        yield w


def by_torch(kind, o, weights, gradients):
    """The same by torch.optim, for the options where its formulas coincide (epsilon 0)."""
    w = [torch.tensor(x, requires_grad=True) for x in weights]
    if kind == "SGD":
        optimizer = torch.optim.SGD(w, o["learning_rate"], o.get("momentum", 0.0),
                                    nesterov=o.get("nesterov", False))
    else:
        optimizer = torch.optim.AdamW(w, o["learning_rate"], eps=0,
                                      betas=(o.get("beta_1", 0.9), o.get("beta_2", 0.999)),
                                      weight_decay=o.get("weight_decay", 0.0))
    for g in gradients:
        for x, y in zip(w, g):
            x.grad = torch.tensor(y)
        optimizer.step()
    return w


def optimizers():
    cases = []
    weights = [np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.25, -0.75, 1.5])]
    gradients = [[np.cos(0.7 * np.arange(4.0) ** 2 + t).reshape(2, 2),
                  3 * np.sin(0.3 * np.arange(3.0) + 0.5 * t)] for t in range(1, 101)]
    # The last digits of cos and sin depend on the machine; the tests read these.
    given = [[encode(x) for x in g] for g in gradients]
    for kind, o in [
            ("SGD", {"learning_rate": 0.01}), ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
            ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
            ("SGD", {"learning_rate": 0.1, "weight_decay": 0.1}),
            ("SGD", {"learning_rate": 0.05, "momentum": 0.5, "nesterov": True,
                     "weight_decay": 0.02}),
            ("Adam", {"learning_rate": 0.001}), ("Adam", {"learning_rate": 0.1}),
            ("Adam", {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.9}),
            ("Adam", {"learning_rate": 0.1, "weight_decay": 0.05}),
            ("AdamW", {"learning_rate": 0.001}),
            ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.05})]:
        w = [keras.Variable(x) for x in weights]
        optimizer = getattr(keras.optimizers, kind)(**o)
        explicit = ({"weight_decay": 0.004} if kind == "AdamW" else {}) | o
        steps = {}
        for t, (g, expected) in enumerate(
                zip(gradients, transcribed(kind, explicit, weights, gradients)), 1):
            optimizer.apply([torch.tensor(x) for x in g], w)
            # Keras 3.15 keeps the rates in float64 under floatx float64, as this shows.
            for x, y in zip(w, expected):
                agree(x.value, y, 1e-13, f"{kind} {o} at step {t}")
            if t in (1, 2, 5, 10, 50, 100):
                steps[str(t)] = [encode(x.value) for x in w]
        if kind != "SGD" or "weight_decay" not in o:  # torch's SGD decays through the gradient
            *_, last = transcribed(kind, explicit, weights, gradients, epsilon=0)
            for x, y in zip(by_torch(kind, explicit, weights, gradients), last):
                agree(x, y, 1e-12, f"torch {kind} {o}")
        cases.append({"name": f"{kind} {o}", "kind": kind, "options": o, "steps": steps})
    f = Family("optimizers", 8)
    data = {"name": "data", "weights": [encode(x) for x in weights], "gradients": given}
    f.cases = [data] + cases
    f.write()
