"""Keras's Model.fit, evaluate and predict on arrays. See make.py."""

from reference import Family, encode, keras, np


def fit_arrays():
    f = Family("fit_arrays", 44)

    def classifier():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"),
                                  keras.layers.Dense(3, activation="softmax")])
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy",
                      metrics=["accuracy"])
        return model

    def regression():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"),
                                  keras.layers.Dense(2)])
        model.compile(keras.optimizers.SGD(0.1), "mse",
                      metrics=[keras.metrics.MeanAbsoluteError(name="mean_absolute_error")])
        return model

    n = 23
    labels, targets = f.random.integers(0, 3, n), f.uniform(n, 2)
    weights = f.uniform(n, low=0, high=2)
    for name, make, y, options in (
            ("labels", classifier, labels, {}),
            ("labels, split", classifier, labels, {"validation_split": 0.3}),
            ("labels, class weights", classifier, labels,
             {"validation_split": 0.2, "class_weight": {"0": 2.0, "2": 0.25}}),
            ("targets", regression, targets, {"batch_size": 5}),
            ("targets, weights, split", regression, targets,
             {"batch_size": 4, "sample_weight": True, "validation_split": 0.25}),
            ("one-hot, class weights", regression, np.eye(2)[labels % 2],
             {"class_weight": {"1": 3.0}})):
        model = make()
        for v in model.weights:
            v.assign(f.uniform(*v.shape))
        before = [v.numpy().copy() for v in model.weights]
        x = f.uniform(n, 3)
        arguments = dict(options)
        if "sample_weight" in arguments:
            arguments["sample_weight"] = weights
        if "class_weight" in arguments:
            arguments["class_weight"] = {int(k): v for k, v in options["class_weight"].items()}
        history = model.fit(x, y, epochs=3, shuffle=False, verbose=0, **arguments)
        evaluation = model.evaluate(x, y, verbose=0, return_dict=True, batch_size=7)
        f.cases.append({"name": name, "options": options, "x": encode(x), "y": encode(y),
                        "weights": [encode(v) for v in before], "sample_weight": encode(weights),
                        "history": {k: [float(v) for v in values]
                                    for k, values in history.history.items()},
                        "evaluation": {k: float(v) for k, v in evaluation.items()},
                        "prediction": encode(model.predict(x, verbose=0, batch_size=10).astype(
                            np.float64))})
    f.write()
