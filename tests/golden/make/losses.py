"""Golden cases of the losses. See make.py."""

from reference import Family, agree, keras, np, torch


def losses():
    f = Family("losses", 5)

    classes = {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError",
               "mape": "MeanAbsolutePercentageError", "msle": "MeanSquaredLogarithmicError",
               "huber": "Huber", "log_cosh": "LogCosh", "hinge": "Hinge",
               "squared_hinge": "SquaredHinge", "categorical_hinge": "CategoricalHinge",
               "kl": "KLDivergence", "poisson": "Poisson", "cosine": "CosineSimilarity",
               "dice": "Dice", "tversky": "Tversky", "sparse": "SparseCategoricalCrossentropy",
               "categorical": "CategoricalCrossentropy", "binary": "BinaryCrossentropy",
               "categorical_focal": "CategoricalFocalCrossentropy",
               "binary_focal": "BinaryFocalCrossentropy"}

    def add(kind, x, truth, reduction="sum_over_batch_size", from_logits=None, ignore_class=None,
            mask=None, weights=None, note="", **own):
        options = {"kind": kind, "reduction": reduction} | own
        arguments = {"reduction": reduction} | own
        for key, value in (("from_logits", from_logits), ("ignore_class", ignore_class)):
            if value is not None:
                options[key] = arguments[key] = value
        loss = getattr(keras.losses, classes[kind])
        smoothing = own.get("label_smoothing") if kind == "sparse" else None
        if smoothing is not None:  # Keras has it for targets of probabilities only
            loss, arguments = keras.losses.CategoricalCrossentropy, dict(arguments)
        loss = loss(**arguments)
        constants = {"labels": truth} if kind == "sparse" else {}
        if mask is not None:
            constants["mask"] = mask
        if weights is not None:
            constants["sample_weight"] = weights
            if weights.ndim == 1:  # Keras would align it with the last axis
                weights = np.repeat(weights[:, None], 3, 1)

        def call(prediction, target=None):
            if mask is not None:  # where a layer with a mask leaves it: on its output
                prediction = prediction * 1.0
                keras.src.backend.set_keras_mask(prediction, torch.tensor(mask))
            t = torch.tensor(truth) if target is None else target
            if smoothing is not None:
                t = torch.nn.functional.one_hot(t, prediction.shape[-1])
            return loss(t, prediction, None if weights is None else torch.tensor(weights))

        inputs = {"prediction": x} | ({} if kind == "sparse" else {"target": truth})
        logits = "" if from_logits is None else f", logits {from_logits}"
        extra = f", {own}" if own else ""
        return f.add(f"{kind} {x.shape}, {reduction}{logits}{note}{extra}", options, inputs, call,
                     constants=constants)

    def probabilities(*shape):
        # Not normalized, so that the renormalization and its gradient count.
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
    # Sample weights multiply. Only one reduction divides by them.
    w = f.uniform(2, 3, low=0, high=2)
    for reduction in ("sum_over_batch_size", "sum", "none", "mean", "mean_with_sample_weight"):
        for m, note in ((None, ""), (some, ", mask"), (none, ", nothing counts")):
            x, y = f.uniform(2, 3, 4), f.uniform(2, 3, 4)
            add("mae", x, y, reduction, weights=w, mask=m, note=", weights" + note)
        add("mae", x, y, reduction, mask=some, note=", mask")
        add("mae", x, y, reduction, weights=w[:, 0], note=", weights of the batch")
        add("sparse", x, ignored, reduction, True, -1, weights=w, mask=some, note=", all")
    add("sparse", f.uniform(2, 3, 4), labels, from_logits=True, weights=w, note=", weights")
    add("categorical", probabilities(2, 3, 4), probabilities(2, 3, 4), weights=w, note=", weights")
    add("mse", f.uniform(2, 3, 4), f.uniform(2, 3, 4), weights=w, note=", weights")
    # Probabilities 0 and 1 are limited, where the gradient stops.
    edge = np.array([[1.0, 0, 0, 0], [0, 0.5, 0.5, 0], [0.2, 0.3, 0.4, 0.1]])
    add("sparse", edge, np.array([0, 3, 1]), note=", limits")
    add("categorical", edge, np.eye(4)[[0, 3, 1]], note=", limits")
    # Every further loss, away from its kinks.
    def signs(*shape):
        return np.sign(f.uniform(*shape)) + 0.0

    for m, v, note in ((None, None, ""), (some, w, ", mask and weights")):
        def put(kind, x, y, **own):
            add(kind, x, y, mask=m, weights=v, note=note, **own)
        positive = dict(low=0.1, high=2.0)
        put("mape", f.uniform(2, 3, 4), f.uniform(2, 3, 4))
        put("msle", f.uniform(2, 3, 4, **positive), f.uniform(2, 3, 4, **positive))
        put("huber", f.uniform(2, 3, 4, low=-3, high=3), f.uniform(2, 3, 4))
        put("huber", f.uniform(2, 3, 4, low=-3, high=3), f.uniform(2, 3, 4), delta=0.4)
        put("log_cosh", f.uniform(2, 3, 4, low=-50, high=50), f.uniform(2, 3, 4))
        put("hinge", f.uniform(2, 3, 4, low=-2, high=2), signs(2, 3, 4))
        put("hinge", f.uniform(2, 3, 4, low=-2, high=2), np.maximum(signs(2, 3, 4), 0.0))
        put("squared_hinge", f.uniform(2, 3, 4, low=-2, high=2), signs(2, 3, 4))
        put("categorical_hinge", f.uniform(2, 3, 4, low=-2, high=2), np.eye(4)[labels])
        put("kl", probabilities(2, 3, 4), probabilities(2, 3, 4))
        put("poisson", f.uniform(2, 3, 4, **positive), f.uniform(2, 3, 4, **positive))
        put("cosine", f.uniform(2, 3, 4), f.uniform(2, 3, 4))
        put("categorical", f.uniform(2, 3, 4), np.eye(4)[labels], from_logits=True,
            label_smoothing=0.1)
        put("categorical", probabilities(2, 3, 4), probabilities(2, 3, 4), label_smoothing=0.3)
        for logits in (True, False):
            x = f.uniform(2, 3, 4, low=-4, high=4) if logits else probabilities(2, 3, 4)
            for s in (0.0, 0.2):
                put("binary", x, probabilities(2, 3, 4), from_logits=logits, label_smoothing=s)
            put("categorical_focal", x, np.eye(4)[labels], from_logits=logits)
            put("categorical_focal", x, probabilities(2, 3, 4), from_logits=logits, gamma=1.5,
                alpha=0.6, label_smoothing=0.1)
            put("binary_focal", x, probabilities(2, 3, 4), from_logits=logits)
            put("binary_focal", x, probabilities(2, 3, 4), from_logits=logits, gamma=3.0,
                alpha=0.3, apply_class_balancing=True, label_smoothing=0.1)
            put("sparse", x, labels, from_logits=logits, label_smoothing=0.1)
    for axis in (None, [-1], [1, 2]):
        p, y = probabilities(2, 3, 4), probabilities(2, 3, 4)
        for reduction in ("sum_over_batch_size", "sum", "none"):
            add("dice", p, y, reduction, axis=axis)
            add("tversky", p, y, reduction, axis=axis, alpha=0.3, beta=0.9)
    # PyTorch has smoothing for labels.
    x = f.uniform(6, 5, low=-3, high=3)
    y = np.array([0, 4, 2, 2, 1, 3])
    leaves, outputs = add("sparse", x, y, from_logits=True, label_smoothing=0.25)
    agree(torch.nn.functional.cross_entropy(leaves["prediction"], torch.tensor(y),
                                            label_smoothing=0.25), outputs["output"], 1e-14,
          "smoothing of labels")
    f.write()


def ctc():
    """Connectionist temporal classification, of Keras and of PyTorch."""
    f = Family("ctc", 6)
    functional = torch.nn.functional

    def add(shape, labels, blank=0, inputs=None, lengths=None, reduction="sum_over_batch_size"):
        labels = np.array(labels)
        x = f.uniform(*shape, low=-2, high=2)
        frames = np.full(shape[0], shape[1]) if inputs is None else np.array(inputs)
        count = (labels != blank).sum(1) if lengths is None else np.array(lengths)

        def call(logits):
            each = functional.ctc_loss(functional.log_softmax(logits, -1).transpose(0, 1),
                                       torch.tensor(labels), torch.tensor(frames),
                                       torch.tensor(count), blank=blank, reduction="none")
            if inputs is None and lengths is None and blank == 0:
                agree(keras.losses.ctc(torch.tensor(labels), logits), each, 1e-13, "ctc")
            return {"none": each, "sum": each.sum(), "sum_over_batch_size": each.mean()}[reduction]

        constants = {"labels": labels}
        if inputs is not None:
            constants["input_lengths"] = frames
        if lengths is not None:
            constants["label_lengths"] = count
        f.add(f"{shape} {labels.tolist()} blank {blank} {inputs} {lengths} {reduction}",
              {"blank": blank, "reduction": reduction}, {"logits": x}, call, constants=constants)

    add((2, 6, 4), [[1, 2, 3], [3, 3, 0]])
    add((2, 6, 4), [[1, 2, 3], [0, 0, 0]], reduction="none")
    add((3, 7, 5), [[1, 1, 2, 0], [4, 3, 2, 1], [2, 0, 0, 0]], reduction="sum")
    add((1, 3, 3), [[1, 1]])  # just enough frames
    add((1, 1, 3), [[2]])
    add((3, 8, 4), [[0, 1, 2], [2, 2, 0], [1, 0, 1]], blank=3, inputs=[8, 5, 3], lengths=[3, 2, 1],
        reduction="none")
    add((2, 5, 3), [[1, 2, 1, 2], [2, 1, 1, 1]], inputs=[5, 4], lengths=[4, 1])
    f.write()
