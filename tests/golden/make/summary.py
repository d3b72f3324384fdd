"""Tables that Keras prints of models. See make.py."""

import os

from reference import Family, keras

layers = keras.layers


def models():
    yield "sequential", keras.Sequential(
        [keras.Input(batch_shape=(4, 8)), layers.Dense(64, name="dense"),
         layers.Dropout(0.1, name="dropout"),
         layers.Dense(10, name="a_rather_long_name_that_needs_wrapping_somewhere")],
        name="sequential")
    inner = keras.Sequential([layers.Dense(2000, name="up"), layers.Dense(16, name="down")],
                             name="inner")
    block = keras.Sequential([inner, layers.LayerNormalization(name="norm")], name="block")
    net = keras.Sequential([keras.Input(batch_shape=(4, 8)), layers.Dense(64, name="dense"), block,
                            layers.Dense(10, use_bias=False, name="last")], name="net")
    net.layers[0].trainable = False
    yield "net", net


def summary():
    os.environ["COLUMNS"] = "200"  # the terminal, which limits the lines
    f = Family("summary", 18)
    for name, model in models():
        for line_length, nested, trainable in [
                (76, False, False), (76, True, False), (76, False, True), (76, True, True),
                (60, True, True), (88, True, False), (101, True, True)]:
            text = []
            model.summary(line_length=line_length, print_fn=text.append, expand_nested=nested,
                          show_trainable=trainable)
            f.cases.append({"name": name, "line_length": line_length, "expand_nested": nested,
                            "show_trainable": trainable, "text": "".join(text)})
    f.write()
