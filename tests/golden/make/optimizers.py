"""Golden cases of the optimizers and schedules. See make.py."""


from reference import Family, agree, encode, keras, np, torch

LAST = 100
KEPT = (1, 2, 5, 10, 50, LAST)


def transcribed(kind, o, weights, gradients, epsilon=1e-7):
    """SGD and Adam in plain NumPy float64; yields the weights after each step."""
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


def torch_optimizer(kind, o, w):
    """Returns torch.optim's optimizer, and the epsilon with which its formula is Keras's, or None."""
    lr, decay = o.get("learning_rate", 0.001), o.get("weight_decay", 0.0)
    betas = (o.get("beta_1", 0.9), o.get("beta_2", 0.999))
    rho, momentum = o.get("rho", 0.9), o.get("momentum", 0.0)
    tiny = 1e-300  # its epsilon has another place in the formula
    if kind in ("Adam", "AdamW"):
        return tiny, torch.optim.AdamW(w, lr, eps=tiny, betas=betas, amsgrad=o.get("amsgrad", False),
                                       weight_decay=0.004 if kind == "AdamW" and not decay else decay)
    if decay:
        return None, None  # torch decays through the gradient
    if kind == "SGD":
        return 1e-7, torch.optim.SGD(w, lr, momentum, nesterov=o.get("nesterov", False))
    if kind == "Adamax":
        return tiny, torch.optim.Adamax(w, lr, betas, eps=tiny)
    if kind == "Nadam":
        return 1e-7, torch.optim.NAdam(w, lr, betas, eps=1e-7, momentum_decay=1.0)
    if kind == "Adagrad":
        return tiny, torch.optim.Adagrad(w, lr, eps=tiny, initial_accumulator_value=o.get(
            "initial_accumulator_value", 0.1))
    if kind == "Adadelta":
        return 1e-7, torch.optim.Adadelta(w, lr, rho=o.get("rho", 0.95), eps=1e-7)
    if kind == "RMSprop":
        return tiny, torch.optim.RMSprop(w, lr, alpha=rho, eps=tiny, momentum=momentum,
                                         centered=o.get("centered", False))
    if kind == "Adafactor":
        return 1e-30, torch.optim.Adafactor(w, lr, eps=(1e-30, 1e-3), weight_decay=0.0)
    return None, None


def by_torch(kind, o, weights, gradients):
    """Compares Keras with torch.optim, with the epsilon that makes their formulas equal."""
    w = [torch.tensor(x, requires_grad=True) for x in weights]
    epsilon, optimizer = torch_optimizer(kind, o, w)
    if optimizer is None:
        return
    arguments = o if kind in ("SGD", "Adafactor") else o | {"epsilon": epsilon}
    ours, variables = make(kind, arguments, {}, weights)
    for g in gradients:
        for x, y in zip(w, g):
            x.grad = torch.tensor(y)
        optimizer.step()
        ours.apply([torch.tensor(x) for x in g], variables)
    for x, y in zip(w, variables):
        agree(x, y.value, 1e-9 if o.get("centered") else 1e-11, f"torch {kind} {o}")


SCHEDULES = keras.optimizers.schedules
RATES = {"warm cosine": lambda: SCHEDULES.CosineDecay(0.01, 60, 0.1, warmup_target=0.2,
                                                      warmup_steps=10)}


def make(kind, o, common, weights):
    names = ("first", "second", "third")
    w = [keras.Variable(x, name=name) for x, name in zip(weights, names)]
    common = dict(common)
    excluded = common.pop("exclude_from_weight_decay", None)
    if common.pop("constraint", None):
        w[0].constraint = keras.constraints.MaxNorm(1.5, axis=0)
    if "gradient_scale" in common:  # Gradients::scale() in the test
        common["loss_scale_factor"] = 1 / common.pop("gradient_scale")
    o = dict(o)
    if o.get("learning_rate") in RATES:
        o["learning_rate"] = RATES[o["learning_rate"]]()
    optimizer = getattr(keras.optimizers, kind)(**o, **common)
    if excluded:
        optimizer.exclude_from_weight_decay(var_names=excluded)
    return optimizer, w


def data():
    weights = [np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.25, -0.75, 1.5]),
               np.linspace(-1, 1, 12).round(2).reshape(2, 3, 2)]
    gradients = [[np.cos(0.7 * np.arange(4.0) ** 2 + t).reshape(2, 2),
                  3 * np.sin(0.3 * np.arange(3.0) + 0.5 * t),
                  np.sin(1.3 * np.arange(12.0) ** 2 + 0.7 * t).reshape(2, 3, 2)]
                 for t in range(1, LAST + 1)]
    return weights, gradients


def optimizers():
    weights, gradients = data()
    cases = []
    own = [
        ("SGD", {"learning_rate": 0.01}), ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
        ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
        ("SGD", {"learning_rate": 0.1, "weight_decay": 0.1}),
        ("SGD", {"learning_rate": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.02}),
        ("Adam", {"learning_rate": 0.001}), ("Adam", {"learning_rate": 0.1}),
        ("Adam", {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.9}),
        ("Adam", {"learning_rate": 0.1, "weight_decay": 0.05}),
        ("Adam", {"learning_rate": 0.1, "amsgrad": True, "beta_2": 0.9}),
        ("AdamW", {"learning_rate": 0.001}),
        ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.05}),
        ("Adamax", {}), ("Adamax", {"learning_rate": 0.1, "weight_decay": 0.05}),
        ("Nadam", {}), ("Nadam", {"learning_rate": 0.1, "beta_1": 0.8}),
        ("Lamb", {}), ("Lamb", {"learning_rate": 0.1, "weight_decay": 0.05}),
        ("Lion", {}), ("Lion", {"learning_rate": 0.1, "beta_1": 0.95, "weight_decay": 0.05}),
        ("Adagrad", {}), ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.5}),
        ("Adadelta", {}), ("Adadelta", {"learning_rate": 1.0, "rho": 0.9}),
        ("RMSprop", {}), ("RMSprop", {"learning_rate": 0.1, "momentum": 0.9}),
        ("RMSprop", {"learning_rate": 0.02, "momentum": 0.5, "centered": True, "rho": 0.8}),
        ("RMSprop", {"learning_rate": 0.1, "weight_decay": 0.05}),
        ("Adafactor", {}), ("Adafactor", {"learning_rate": 0.1}),
        ("Adafactor", {"learning_rate": 0.1, "beta_2_decay": -0.5, "epsilon_2": 0.1,
                       "clip_threshold": 0.5, "weight_decay": 0.05}),
        ("Adam", {"learning_rate": "warm cosine"})]
    common = [
        ("SGD", {"learning_rate": 0.1}, {"clipnorm": 0.5}),
        ("SGD", {"learning_rate": 0.1}, {"clipvalue": 0.3}),
        ("SGD", {"learning_rate": 0.1}, {"global_clipnorm": 1.5}),
        ("Adam", {"learning_rate": 0.1}, {"global_clipnorm": 0.5, "gradient_scale": 0.125}),
        ("SGD", {"learning_rate": 0.1}, {"gradient_scale": 0.25, "clipnorm": 0.5}),
        ("SGD", {"learning_rate": 0.1}, {"use_ema": True}),
        ("SGD", {"learning_rate": 0.1},
         {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 2}),
        ("SGD", {"learning_rate": 0.1}, {"gradient_accumulation_steps": 2}),
        ("Adam", {"learning_rate": 0.1}, {"gradient_accumulation_steps": 5, "clipnorm": 0.2}),
        ("Adam", {"learning_rate": "warm cosine"}, {"gradient_accumulation_steps": 2}),
        ("SGD", {"learning_rate": 0.1, "momentum": 0.9},
         {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.9}),
        ("SGD", {"learning_rate": 0.1},
         {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.8,
          "ema_overwrite_frequency": 3}),
        ("SGD", {"learning_rate": 0.1}, {"use_ema": True, "ema_momentum": 0.9, "constraint": True,
                                         "ema_overwrite_frequency": 3}),
        ("Adam", {"learning_rate": 0.1}, {"gradient_accumulation_steps": 2, "constraint": True}),
        ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.1},
         {"exclude_from_weight_decay": ["sec", "^third$"]})]
    for kind, o, c in [(*case, {}) for case in own] + common:
        optimizer, w = make(kind, o, c, weights)
        name = f"{kind} {o | c}"
        # Keras 3.15 keeps the rates in float64 under floatx float64, as this shows.
        plain = kind in ("SGD", "Adam", "AdamW") and not c and "amsgrad" not in o
        plain = plain and o["learning_rate"] not in RATES
        explicit = ({"weight_decay": 0.004} if kind == "AdamW" else {}) | o
        expected = transcribed(kind, explicit, weights, gradients) if plain else None
        steps = {}
        for t, g in enumerate(gradients, 1):
            optimizer.apply([torch.tensor(x) for x in g], w)
            if plain:
                for x, y in zip(w, next(expected)):
                    agree(x.value, y, 1e-13, f"{name} at step {t}")
            if t in KEPT:
                steps[str(t)] = [encode(x.value) for x in w]
        optimizer.finalize_variable_values(w)
        if not c and o.get("learning_rate") not in RATES:
            by_torch(kind, o, weights, gradients)
        cases.append({"name": name, "kind": kind, "options": o, "common": c, "steps": steps,
                      "final": [encode(x.value) for x in w]})
    f = Family("optimizers", 8)
    # The last digits of cos and sin depend on the machine; the tests read these.
    f.cases = [{"name": "data", "weights": [encode(x) for x in weights],
                "gradients": [[encode(x) for x in g] for g in gradients]}] + cases
    f.write()


def schedules():
    f = Family("schedules", 9)
    steps = [0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 15, 20, 27, 28, 29, 30, 31, 59, 60, 99, 150,
             1000]
    for kind, o in [
            ("ExponentialDecay", {"decay_steps": 10, "decay_rate": 0.5}),
            ("ExponentialDecay", {"decay_steps": 4, "decay_rate": 0.9, "staircase": True}),
            ("ExponentialDecay", {"decay_steps": 7, "decay_rate": 1.01}),
            ("InverseTimeDecay", {"decay_steps": 2, "decay_rate": 0.5}),
            ("InverseTimeDecay", {"decay_steps": 3, "decay_rate": 0.3, "staircase": True}),
            ("PolynomialDecay", {"decay_steps": 10}),
            ("PolynomialDecay", {"decay_steps": 10, "end_learning_rate": 0.01, "power": 2.0}),
            ("PolynomialDecay", {"decay_steps": 10, "end_learning_rate": 0.01, "power": 2.0,
                                 "cycle": True}),
            ("PolynomialDecay", {"decay_steps": 30, "end_learning_rate": 0.0, "power": 0.5}),
            ("PiecewiseConstantDecay", {"boundaries": [3, 10, 30], "values": [1.0, 0.5, 0.1, 0.05]}),
            ("PiecewiseConstantDecay", {"boundaries": [12], "values": [0.3, 0.2]}),
            ("CosineDecay", {"decay_steps": 10}), ("CosineDecay", {"decay_steps": 30, "alpha": 0.1}),
            ("CosineDecay", {"decay_steps": 10, "alpha": 0.1, "warmup_target": 1.0,
                             "warmup_steps": 4}),
            ("CosineDecay", {"decay_steps": 40, "warmup_target": 0.7, "warmup_steps": 13}),
            ("CosineDecayRestarts", {"first_decay_steps": 4}),
            ("CosineDecayRestarts", {"first_decay_steps": 4, "m_mul": 0.5, "alpha": 0.1}),
            ("CosineDecayRestarts", {"first_decay_steps": 7, "t_mul": 1.0, "m_mul": 0.9}),
            ("CosineDecayRestarts", {"first_decay_steps": 10, "t_mul": 1.5, "m_mul": 0.8})]:
        if kind != "PiecewiseConstantDecay":
            o = {"initial_learning_rate": 0.1} | o
        schedule = getattr(SCHEDULES, kind)(**o)
        values = [float(schedule(torch.tensor(s))) for s in steps]
        f.cases.append({"name": f"{kind} {o}", "kind": kind, "options": o, "steps": steps,
                        "values": values})
    # PyTorch's schedule, which Keras lacks: ten steps up from a tenth, then half a cosine of 30.
    w = [torch.zeros(1, requires_grad=True)]
    optimizer = torch.optim.SGD(w, 0.5)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 10)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30, 0.05)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, decay], [10])
    values = []
    for _ in range(41):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    f.cases.append({"name": "LinearWarmup", "kind": "LinearWarmup", "options": {},
                    "steps": list(range(41)), "values": values})
    # The formula of Vaswani et al., whose steps are counted from 1.
    f.cases.append({
        "name": "Noam", "kind": "Noam", "options": {"d_model": 256, "warmup_steps": 30},
        "steps": steps,
        "values": [256**-0.5 * min((s + 1) ** -0.5, (s + 1) * 30**-1.5) for s in steps]})
    f.write()
