"""Golden cases of multi-head attention by Keras. See make.py.

A case's options are those of the layer and of the call, under Keras's names; its constants are the
masks. "differs" says where Keras would do something else: it is then asked in another way for what
the documentation means.
"""

from reference import Family, agree, keras, np, torch


class Attention(Family):
    def __init__(self):
        super().__init__("multi_head_attention", 7)

    def case(self, name, query, value=None, key=None, causal=False, heads=2, key_dim=3,
             key_heads=None, keras_options=None, differs=None, keras_masks=None, **more):
        """Shapes of the inputs; without a value's, query and value are one array.

        keras_masks and keras_options: what Keras is given instead of the recorded options.
        """
        constants = {k: more.pop(k) for k in list(more) if k.endswith("mask")}
        asked = more if keras_options is None else keras_options
        if key_heads is None:
            layer = keras.layers.MultiHeadAttention(heads, key_dim, flash_attention=False, **asked)
        else:
            layer = keras.layers.GroupQueryAttention(key_dim, heads, key_heads,
                                                     flash_attention=False, **asked)
        masks = constants if keras_masks is None else keras_masks
        causal_here = causal and keras_masks is None
        shapes = {"query": query, "value": value, "key": key}
        tensors = {k: torch.tensor(v) for k, v in masks.items()}
        # MultiHeadAttention replaces this argument by the tensor's own mask.
        own = None if key_heads else tensors.pop("query_mask", None)

        def call(query, value=None, key=None, scores=True):
            value = query if value is None else value
            if own is not None:
                query = query * 1.0
                keras.src.backend.set_keras_mask(query, own)
            out = layer(query, value, key, return_attention_scores=scores,
                        use_causal_mask=causal_here, **tensors)
            return dict(zip(("output", "scores"), out)) if scores else out

        options = {"num_heads": heads, "key_dim": key_dim, "causal": causal} | more
        if key_heads is not None:
            options["num_key_value_heads"] = key_heads
        if differs is not None:
            options["differs"] = differs
        leaves, outputs = self.add(
            name, options, {k: self.uniform(*s) for k, s in shapes.items() if s is not None}, call,
            layer, constants)
        # Keras's path without scores differs in rows that may attend to nothing. Other rows agree.
        if outputs["scores"].sum(-1).min() > 0.5:
            agree(call(*leaves.values(), scores=False), outputs["output"], 1e-13, name)


def with_diagonal(mask):
    """Returns a mask in which every row attends to something."""
    return mask | np.eye(*mask.shape[-2:], dtype=bool)


def first_cases(f):
    f.case("self", (2, 4, 5))
    f.case("self, causal", (2, 4, 5), causal=True)
    f.case("self, one head, no bias", (1, 3, 4), heads=1, key_dim=2, use_bias=False)
    f.case("cross", (2, 3, 5), (2, 4, 6))
    f.case("cross, causal", (2, 3, 5), (2, 5, 6), causal=True)
    f.case("cross, causal, longer query", (2, 5, 4), (2, 3, 4), causal=True)
    f.case("cross, key, value_dim", (2, 3, 5), (2, 4, 6), (2, 4, 7), value_dim=4)
    f.case("mask (T, S)", (2, 3, 5), (2, 4, 5), attention_mask=with_diagonal(f.mask(3, 4)))
    empty = with_diagonal(f.mask(2, 3, 4))
    empty[1, 2] = False
    empty[0, 0] = False
    f.case("mask (B, T, S), rows attending to nothing", (2, 3, 5), (2, 4, 6), (2, 4, 3),
           value_dim=2, attention_mask=empty)
    f.case("mask (B, N, T, S) and causal", (2, 4, 5), attention_mask=f.mask(2, 2, 4, 4),
           causal=True)
    f.case("mask (B, 1, S)", (2, 3, 4), (2, 5, 4), attention_mask=f.mask(2, 1, 5))
    lengths = np.arange(5) < np.array([[5], [2]])
    f.case("padding of value", (2, 3, 4), (2, 5, 4), value_mask=lengths)
    f.case("padding of query, value and key", (2, 3, 4), (2, 5, 4), (2, 5, 4), value_mask=lengths,
           key_mask=f.mask(2, 5) | (np.arange(5) == 0),
           query_mask=np.array([[1, 1, 0], [1, 1, 1]]) == 1)
    f.case("padding and causal", (2, 5, 4), value_mask=lengths, causal=True)
    f.case("output_shape 7", (2, 3, 4), (2, 2, 5), output_shape=7)
    f.case("output_shape (3, 2)", (2, 3, 4), (2, 2, 5), output_shape=(3, 2), value_dim=4)
    f.case("rank 4, all axes", (2, 3, 2, 4))
    f.case("rank 4, axes (2,)", (2, 3, 2, 4), (2, 3, 4, 5), attention_axes=(2,))
    five = {"query": (2, 2, 3, 2, 4), "value": (2, 2, 2, 3, 5)}
    f.case("rank 5, axes (2, 3)", **five, attention_axes=(2, 3))
    f.case("rank 5, axes (2, 3), value_dim, output_shape", **five, attention_axes=(2, 3),
           value_dim=2, output_shape=(3,), heads=3)
    f.case("rank 5, axes (2, 3), mask (T1, T2, S1, S2)", **five, attention_axes=(2, 3),
           attention_mask=f.mask(3, 2, 2, 3))
    free = f.mask(2, 2, 3, 2, 2, 3)  # (B, free axis, T1, T2, S1, S2): not the heads
    free[0, 1, 2, 0] = False
    f.case("rank 5, axes (2, 3), mask with the free axis, empty rows", **five,
           attention_axes=(2, 3), attention_mask=free, heads=3)
    f.case("rank 5, axes (3, 2)", **five, attention_axes=(3, 2))
    f.case("rank 5, axes (1,)", (2, 3, 2, 2, 4), (2, 4, 2, 2, 4), attention_axes=(1,))
    f.case("rank 5, all axes", (1, 2, 2, 3, 4))
    f.case("wider", (2, 9, 16), (2, 11, 16), heads=4, key_dim=8)


def masks(f):
    """Records every form of mask on inputs of rank 3, alone and together."""
    cross = {"query": (2, 3, 4), "value": (2, 5, 4)}
    for name, shape in [("(1, S)", (1, 5)), ("(T, 1)", (3, 1)), ("(1, T, S)", (1, 3, 5)),
                        ("(B, T, 1)", (2, 3, 1)), ("(B, T, S)", (2, 3, 5)),
                        ("(B, 1, 1, S)", (2, 1, 1, 5)), ("(1, N, T, S)", (1, 2, 3, 5)),
                        ("(B, N, T, S)", (2, 2, 3, 5)), ("(B, N, T, 1)", (2, 2, 3, 1))]:
        f.case(f"mask {name}", **cross, attention_mask=f.mask(*shape))
    rows = np.array([[1, 0, 1], [1, 1, 1]]) == 1
    columns = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]]) == 1
    f.case("padding of query", **cross, query_mask=rows)
    f.case("padding of key", **cross, key=(2, 5, 3), key_mask=columns)
    f.case("padding of query, causal", **cross, query_mask=rows, causal=True)
    f.case("padding of all, explicit, causal", **cross, query_mask=rows, value_mask=columns,
           key_mask=f.mask(2, 5, keep=0.8), attention_mask=f.mask(3, 5, keep=0.8), causal=True)
    full = f.mask(2, 2, 3, 5, keep=0.8)
    f.case("mask (B, N, T, S) and padding of query and value", **cross, attention_mask=full,
           query_mask=rows, value_mask=columns,
           keras_masks={"attention_mask":
                        full & rows[:, None, :, None] & columns[:, None, None, :]},
           differs="Keras aligns (B, T, 1) with the last axes of (B, N, T, S), which fits no batch "
                   "but one of N; here it is the batch, as the documentation says")
    none = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]) == 1
    f.case("a batch without any key", **cross, value_mask=none)


def options(f):
    """Records gate, window, and edge values of options."""
    f.case("gate", (2, 4, 5), use_gate=True)
    f.case("gate, cross, value_dim, causal", (2, 3, 5), (2, 4, 6), value_dim=4, use_gate=True,
           causal=True)
    f.case("gate, no bias, output_shape, padding", (2, 3, 5), (2, 4, 6), use_gate=True,
           use_bias=False, output_shape=(2, 3),
           value_mask=np.array([[1, 1, 1, 0], [1, 0, 0, 0]]) == 1)
    f.case("gate, rank 4, axes (2,)", (2, 2, 3, 4), use_gate=True, attention_axes=(2,))
    f.case("window 1", (2, 4, 5), sliding_window=1)
    f.case("window 2", (2, 5, 4), sliding_window=2)
    f.case("window 3, causal", (1, 6, 4), sliding_window=3, causal=True)
    f.case("window 2, longer query: rows attending to nothing", (2, 6, 4), (2, 3, 5),
           sliding_window=2)
    f.case("window 2, longer value, mask, gate", (2, 3, 4), (2, 5, 4), sliding_window=2,
           use_gate=True, attention_mask=f.mask(2, 3, 5, keep=0.8))
    f.case("window longer than all", (1, 3, 4), sliding_window=100)
    f.case("cross, key, value_dim, no bias", (2, 3, 5), (2, 4, 6), (2, 4, 7), value_dim=2,
           use_bias=False)
    f.case("output_shape (2, 1, 3), no bias", (2, 3, 4), output_shape=(2, 1, 3), use_bias=False)
    f.case("one key", (2, 3, 4), (2, 1, 4))
    f.case("one query, one head, key_dim 1", (1, 1, 3), (1, 4, 3), heads=1, key_dim=1)
    f.case("value_dim 1, five heads", (2, 3, 4), heads=5, key_dim=2, value_dim=1)


def axes(f):
    """Records inputs of rank 4 and 5: every form of attention_axes, and their masks."""
    four = {"query": (2, 3, 2, 4), "value": (2, 2, 3, 5)}
    f.case("rank 4, all axes, T != S", **four)
    f.case("rank 4, all axes, mask (T1, T2, S1, S2)", **four, attention_mask=f.mask(3, 2, 2, 3))
    f.case("rank 4, all axes, mask (B, T1, T2, 1, S2)", **four,
           attention_mask=f.mask(2, 3, 2, 1, 3))
    f.case("rank 4, all axes, mask (B, N, T1, T2, S1, S2)", **four,
           attention_mask=f.mask(2, 2, 3, 2, 2, 3))
    f.case("rank 4, axes (2, 1)", **four, attention_axes=(2, 1), key=(2, 2, 3, 3))
    f.case("rank 4, axis 1", (2, 3, 2, 4), (2, 4, 2, 4), attention_axes=1)
    f.case("rank 4, axis -2", (2, 3, 2, 4), (2, 3, 4, 4), attention_axes=-2, value_dim=2)
    f.case("rank 4, axis -3, causal", (2, 3, 2, 4), attention_axes=(-3,), causal=True,
           keras_masks={"attention_mask": np.tril(np.ones((3, 3))) == 1})
    lower = np.tril(np.ones((3, 4))) == 1
    f.case("rank 4, axis 2, causal", (2, 2, 3, 4), (2, 2, 4, 4), attention_axes=(2,), causal=True,
           keras_masks={"attention_mask": lower},
           differs="Keras takes the causal mask's lengths from axis 1; here it is of the axis "
                   "attended over")
    band = np.abs(np.arange(3)[:, None] - np.arange(4)) < 2
    f.case("rank 4, axis 2, window 2, causal", (2, 2, 3, 4), (2, 2, 4, 4), attention_axes=(2,),
           causal=True, sliding_window=2, keras_options={"attention_axes": (2,)},
           keras_masks={"attention_mask": lower & band},
           differs="Keras takes the window's lengths from axis 1; here it is of the axis attended "
                   "over")
    f.case("rank 4, output_shape (3, 2), no bias", **four, output_shape=(3, 2), use_bias=False)
    five = {"query": (1, 2, 3, 2, 4), "value": (1, 2, 2, 3, 5)}
    f.case("rank 5, axes (-3, -2)", **five, attention_axes=(-3, -2))
    f.case("rank 5, axes (-2, 2), key, no bias", **five, key=(1, 2, 2, 3, 3),
           attention_axes=(-2, 2), use_bias=False)
    f.case("rank 5, axis 2", (1, 2, 3, 2, 4), (1, 2, 2, 2, 4), attention_axes=(2,))
    f.case("rank 5, axes (1, 3)", (1, 2, 2, 3, 4), (1, 3, 2, 2, 4), attention_axes=(1, 3))
    f.case("rank 5, axes (3, 1), gate", (1, 2, 2, 3, 4), (1, 3, 2, 2, 4), attention_axes=(3, 1),
           use_gate=True)
    f.case("rank 5, axes (3, 1, 2)", (1, 2, 2, 2, 4), attention_axes=(3, 1, 2))
    f.case("rank 5, axes (2, 3), mask (B, T1, T2, S1, S2)", **five, attention_axes=(2, 3),
           attention_mask=f.mask(1, 3, 2, 2, 3))
    f.case("rank 5, axes (2, 3), mask (B, F, N, T1, T2, S1, S2)", **five, attention_axes=(2, 3),
           heads=3, attention_mask=f.mask(1, 2, 3, 3, 2, 2, 3))
    f.case("rank 5, axis 1, mask (B, F1, F2, N, T, S)", (1, 2, 3, 2, 4), (1, 3, 3, 2, 4),
           attention_axes=(1,), attention_mask=f.mask(1, 3, 2, 2, 2, 3))


def grouped(f):
    """Keras's GroupQueryAttention."""
    f.case("4 heads, 2 key heads", (2, 4, 5), heads=4, key_heads=2)
    f.case("4 heads, 1 key head, causal", (2, 4, 5), heads=4, key_heads=1, causal=True)
    f.case("6 heads, 3 key heads, cross, key, no bias", (2, 3, 5), (2, 4, 6), (2, 4, 4), heads=6,
           key_dim=2, key_heads=3, use_bias=False)
    f.case("4 heads, 2 key heads, padding of query and value, causal", (2, 4, 5), heads=4,
           key_heads=2, causal=True, query_mask=np.array([[1, 1, 1, 0], [1, 1, 1, 1]]) == 1,
           value_mask=np.array([[1, 1, 1, 0], [1, 0, 1, 1]]) == 1)
    f.case("4 heads, 2 key heads, mask (B, N, T, S)", (2, 3, 5), (2, 4, 5), heads=4, key_heads=2,
           attention_mask=f.mask(2, 4, 3, 4))
    f.case("4 heads, 2 key heads, window 2, gate", (2, 4, 5), heads=4, key_heads=2, use_gate=True,
           sliding_window=2)


def attention_configs():
    """Writes get_config of layers made with these arguments, to a file without cases."""
    def config(*arguments, **options):
        return keras.layers.MultiHeadAttention(*arguments, name="mha", dtype="float64",
                                               **options).get_config()

    i, r, c = keras.initializers, keras.regularizers, keras.constraints
    configs = [config(2, 3),
               config(4, 8, value_dim=5, dropout=0.1, use_bias=False, output_shape=(3, 2),
                      attention_axes=(2, -3), sliding_window=3, use_gate=True, seed=7,
                      trainable=False),
               config(1, 1, output_shape=7, attention_axes=1, dropout=0)]
    for initializer in (i.Zeros(), i.Ones(), i.Constant(0.5), i.Identity(), i.RandomNormal(0.1, 2),
                        i.RandomUniform(-1, 2.5), i.TruncatedNormal(0.25, 0.125), i.VarianceScaling(),
                        i.VarianceScaling(3.0, "fan_avg", "untruncated_normal"),
                        i.VarianceScaling(0.5, "fan_out", "uniform"), i.GlorotUniform(),
                        i.GlorotNormal(), i.HeUniform(), i.HeNormal(), i.LecunUniform(),
                        i.LecunNormal(), i.Orthogonal(2.0)):
        configs.append(config(2, 3, kernel_initializer=initializer, bias_initializer=initializer))
    for regularizer in (r.L1(), r.L2(0.5), r.L1L2(0.25, 2), r.L1L2(),
                        r.OrthogonalRegularizer(0.5, "columns"), "l1", "l2"):
        configs.append(config(2, 3, kernel_regularizer=regularizer, bias_regularizer=regularizer,
                              activity_regularizer=regularizer))
    for constraint in (c.MaxNorm(), c.MaxNorm(3, axis=[0, 1]), c.UnitNorm(axis=1), c.NonNeg(),
                       c.MinMaxNorm(0.5, 1.5, 0.75, axis=[1])):
        configs.append(config(2, 3, kernel_constraint=constraint, bias_constraint=constraint))
    f = Family("attention_configs", 0)
    f.cases = [{"config": x} for x in configs]
    f.write()


def multi_head_attention():
    f = Attention()
    for part in (first_cases, masks, options, axes, grouped):
        part(f)
    f.write()
