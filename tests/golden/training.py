"""Golden cases of the losses. See make.py."""

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
