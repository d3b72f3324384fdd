"""Writes multi_head_attention_tf.json and attention_configs_tf.json: attention of tf-keras, the Keras
of TensorFlow 2. See make.py.

    python3 -m venv venv-tf
    venv-tf/bin/pip install -r tests/golden/make/requirements_tf.txt
    venv-tf/bin/python tests/golden/make/make_tf.py

It needs an environment of its own, because tf-keras needs TensorFlow. Everything is in float64.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402

from cases import Cases, agree, pinned_versions  # noqa: E402

DIFFERS = ("tf-keras averages over all keys where a row may attend to nothing; here its scores are "
           "zeros, and its output is the output's bias")


class TfKeras(Cases):
    def __init__(self, name, seed):
        super().__init__(name, seed, pinned_versions((np, tf, tf_keras), "requirements_tf.txt"))

    def case(self, name, query, value=None, key=None, causal=False, heads=2, key_dim=3,
             nothing=None, **more):
        """Shapes of the inputs; `nothing`: (B, T) of the rows that may attend to nothing."""
        constants = {k: more.pop(k) for k in list(more) if k.endswith("mask")}
        layer = tf_keras.layers.MultiHeadAttention(heads, key_dim, **more)
        shapes = {"query": query, "value": value, "key": key}
        inputs = {k: self.uniform(*s) for k, s in shapes.items() if s is not None}
        leaves = {k: tf.constant(v) for k, v in inputs.items()}
        explicit = constants.get("attention_mask")

        def call(query, value=None, key=None, scores=True):
            own = {"query": query, "value": query if value is None else value, "key": key}
            for k in own:
                if f"{k}_mask" in constants:  # the tensors carry these; tf-keras has no arguments
                    own[k] = tf.identity(own[k])
                    own[k]._keras_mask = tf.constant(constants[f"{k}_mask"])
            out = layer(own["query"], own["value"], own["key"], return_attention_scores=scores,
                        use_causal_mask=causal,
                        attention_mask=None if explicit is None else tf.constant(explicit))
            if not scores:
                return out
            output, scores = out
            if nothing is not None:
                empty = tf.constant(nothing)
                output = tf.where(empty[:, :, None], layer._output_dense.bias, output)
                scores = tf.where(empty[:, None, :, None], tf.zeros_like(scores), scores)
            return {"output": output, "scores": scores}

        call(*leaves.values())  # makes the weights
        variables = {v.name.split("/", 1)[1].split(":")[0]: v for v in layer.weights}
        for v in variables.values():
            v.assign(self.uniform(*v.shape))
        with tf.GradientTape() as tape:
            tape.watch(list(leaves.values()))
            outputs = call(*leaves.values())
            cotangents = {k: self.uniform(*v.shape) for k, v in outputs.items()}
            loss = sum(tf.reduce_sum(v * cotangents[k]) for k, v in outputs.items())
        if nothing is None:
            agree(call(*leaves.values(), scores=False), outputs["output"], 1e-13, name)
        tensors = leaves | variables
        gradients = dict(zip(tensors, tape.gradient(loss, list(tensors.values()))))
        options = {"reference": "tf-keras", "num_heads": heads, "key_dim": key_dim,
                   "causal": causal} | more
        if nothing is not None:
            options["differs"] = DIFFERS
        self.record(name, options, inputs, variables, constants, cotangents, outputs, gradients)


def configs():
    """Writes get_config of new layers."""
    def config(*arguments, **options):
        return tf_keras.layers.MultiHeadAttention(*arguments, name="mha", **options).get_config()

    f = TfKeras("attention_configs_tf", 0)
    f.cases = [{"config": x} for x in (
        config(2, 3), config(4, 8, value_dim=5, dropout=0.25, use_bias=False, output_shape=(3, 2),
                             attention_axes=(2, 3), softmax_robust_masking=True),
        config(2, 3, kernel_initializer="he_normal", kernel_regularizer=tf_keras.regularizers.L2(0.5),
               kernel_constraint=tf_keras.constraints.MaxNorm(3, axis=[0, 1])))]
    f.write()


def main():
    tf_keras.backend.set_floatx("float64")
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    configs()
    f = TfKeras("multi_head_attention_tf", 17)
    cross = {"query": (2, 3, 4), "value": (2, 5, 4)}
    columns = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]]) == 1
    f.case("tf, self", (2, 4, 5))
    f.case("tf, causal", (2, 4, 5), causal=True)
    f.case("tf, cross, causal, longer value", **cross, causal=True)
    f.case("tf, cross, key, value_dim", (2, 3, 5), (2, 4, 6), (2, 4, 7), value_dim=4)
    f.case("tf, no bias, value_dim, output_shape", (2, 3, 5), (2, 4, 6), value_dim=2,
           use_bias=False, output_shape=(3, 2))
    f.case("tf, output_shape 7", **cross, output_shape=7)
    for name, shape in [("(T, S)", (3, 5)), ("(B, T, S)", (2, 3, 5)), ("(B, 1, S)", (2, 1, 5)),
                        ("(B, N, T, S)", (2, 2, 3, 5))]:
        f.case(f"tf, mask {name}", **cross,
               attention_mask=f.mask(*shape) | np.eye(shape[-2], 5, dtype=bool))
    f.case("tf, padding of value, causal", **cross, value_mask=columns | (np.arange(5) == 0),
           causal=True)
    f.case("tf, padding of value and key, mask", **cross, key=(2, 5, 3), value_mask=columns,
           key_mask=columns | (np.arange(5) == 4),
           attention_mask=f.mask(2, 3, 5) | (np.arange(5) == 3))
    rows = np.array([[1, 1, 0], [1, 0, 1]]) == 1
    f.case("tf, padding of query", **cross, query_mask=rows, nothing=~rows)
    f.case("tf, a batch without any key", **cross, nothing=np.array([[0] * 3, [1] * 3]) == 1,
           value_mask=np.array([[1, 0, 1, 1, 0], [0] * 5]) == 1)
    f.case("tf, rank 4, all axes", (2, 3, 2, 4), (2, 2, 3, 5))
    f.case("tf, rank 4, axis 2", (2, 3, 2, 4), (2, 3, 4, 5), attention_axes=(2,))
    five = {"query": (1, 2, 3, 2, 4), "value": (1, 2, 2, 3, 5)}
    f.case("tf, rank 5, axes (2, 3), mask", **five, attention_axes=(2, 3),
           attention_mask=f.mask(1, 2, 3, 2, 2, 3) | (np.arange(3) == 1))
    f.case("tf, rank 5, axes (3, 2), key, no bias", **five, key=(1, 2, 2, 3, 2),
           attention_axes=(3, 2), use_bias=False)
    f.case("tf, robust masking", **cross, attention_mask=columns[:, None, :],
           softmax_robust_masking=True)
    f.write()


if __name__ == "__main__":
    main()
