"""Golden cases of multi-head attention by PyTorch, for options that Keras lacks. See make.py.

Weights are kept in Keras's layout, and packed for PyTorch inside what is differentiated, so that
the gradients come out in Keras's layout too. "reference" says what computed a case.
"""

from reference import Family, np, torch

import torch.nn.functional as F


def shapes_of_weights(query, key, value, heads, key_heads, key_dim, value_dim, out, bias):
    shapes = {}
    for name, width, n, size in [("query", query, heads, key_dim), ("key", key, key_heads, key_dim),
                                 ("value", value, key_heads, value_dim)]:
        shapes[f"{name}/kernel"] = (width, n, size)
        if bias:
            shapes[f"{name}/bias"] = (n, size)
    shapes["attention_output/kernel"] = (heads, value_dim, out)
    if bias:
        shapes["attention_output/bias"] = (out,)
    return shapes


def packed(w, bias, separate):
    """Returns the state of a torch.nn.MultiheadAttention with these weights."""
    def matrix(name):
        kernel = w[f"{name}/kernel"]
        return kernel.reshape(kernel.shape[0], -1).T

    names = ("query", "key", "value")
    output = w["attention_output/kernel"]
    state = {"out_proj.weight": output.reshape(-1, output.shape[-1]).T}
    if separate:
        state |= {f"{n[0]}_proj_weight": matrix(n) for n in names}
    else:
        state["in_proj_weight"] = torch.cat([matrix(n) for n in names])
    if bias:
        state["in_proj_bias"] = torch.cat([w[f"{n}/bias"].reshape(-1) for n in names])
        state["out_proj.bias"] = w["attention_output/bias"]
    return state


def inserted(bias, rank):
    """Inserts missing axes before the last two, as Keras does with masks."""
    return bias.reshape(bias.shape[:-2] + (1,) * (rank - bias.ndim) + bias.shape[-2:])


class Torch(Family):
    def __init__(self):
        super().__init__("multi_head_attention_torch", 13)

    def arrays(self, query, value, key, bias_shape):
        shapes = {"query": query, "value": value, "key": key, "attention_bias": bias_shape}
        return {k: self.uniform(*s) for k, s in shapes.items() if s is not None}

    def options(self, heads, key_dim, causal, more):
        return {"num_heads": heads, "key_dim": key_dim, "causal": causal} | more

    def module(self, name, query, value=None, key=None, heads=2, bias=True, bias_shape=None,
               causal=False, slopes=None, differs=None, **masks):
        """torch.nn.MultiheadAttention; masks are as Keras's: true = attend."""
        width = query[-1]
        assert width % heads == 0
        batch, t, s = query[0], query[1], (value or query)[1]
        k_width, v_width = (key or value or query)[-1], (value or query)[-1]
        weights = {k: self.uniform(*shape) for k, shape in shapes_of_weights(
            width, k_width, v_width, heads, heads, width // heads, width // heads, width,
            bias).items()}
        layer = torch.nn.MultiheadAttention(width, heads, bias=bias, batch_first=True,
                                            kdim=k_width, vdim=v_width)
        separate = not layer._qkv_same_embed_dim
        keep = masks.get("attention_mask", np.ones((1, 1, 1, 1)) == 1)
        keep = inserted(torch.tensor(keep), 4).expand(batch, heads, t, s)
        if causal:
            keep = keep & torch.ones(t, s, dtype=torch.bool).tril()
        padding = masks.get("value_mask")
        some = keep if padding is None else keep & torch.tensor(padding)[:, None, None, :]
        nothing = ~some.any(-1)  # (B, N, T)
        assert differs is not None or not nothing.any()
        # A row that may attend to nothing would be NaN. It attends to all here, and is then replaced.
        keep = keep | nothing[..., None]
        if nothing.any():
            assert padding is None and (nothing == nothing[:, :1]).all()

        constants = dict(masks)
        linear = 0
        if slopes is not None:
            constants["alibi_slopes"] = np.array(slopes)
            distance = torch.abs(torch.arange(t)[:, None] - torch.arange(s)[None, :])
            linear = -torch.tensor(slopes)[:, None, None] * distance

        def call(*arguments):
            *arrays, w = arguments
            arrays = dict(zip(inputs, arrays))
            q = arrays["query"]
            v = arrays.get("value", q)
            added = arrays.get("attention_bias")
            if added is None and slopes is None:
                mask = ~keep.reshape(-1, t, s)
                outside = None if padding is None else ~torch.tensor(padding)
            else:
                mask = linear if added is None else inserted(added, 4) + linear
                mask = torch.where(keep, mask, -torch.inf).reshape(-1, t, s)
                outside = None
                if padding is not None:
                    outside = torch.zeros(padding.shape).masked_fill(
                        ~torch.tensor(padding), -torch.inf)
            output, scores = torch.func.functional_call(
                layer, packed(w, bias, separate),
                (q, arrays.get("key", v), v),
                {"attn_mask": mask, "key_padding_mask": outside, "average_attn_weights": False})
            empty = nothing[:, 0, :, None]
            instead = w["attention_output/bias"] if bias else torch.zeros(width)
            return {"output": torch.where(empty, instead, output),
                    "scores": torch.where(nothing[..., None], 0.0, scores)}

        more = {} if bias else {"use_bias": False}
        if differs is not None:
            more["differs"] = differs
        inputs = self.arrays(query, value, key, bias_shape)
        self.add(name, {"reference": "torch.nn.MultiheadAttention"} |
                 self.options(heads, width // heads, causal, more), inputs, call,
                 constants=constants, weights=weights)

    def product(self, name, query, value=None, key=None, heads=4, key_heads=2, key_dim=3,
                value_dim=None, axis=1, causal=False, bias=True, bias_shape=None, rotary=None,
                attention_mask=None):
        """Projections around torch.nn.functional.scaled_dot_product_attention, with enable_gqa.

        It returns no scores. Inputs of rank 3, or of rank 4 with one axis attended over.
        """
        value_dim = value_dim or key_dim
        other = value or query
        weights = {k: self.uniform(*shape) for k, shape in shapes_of_weights(
            query[-1], (key or other)[-1], other[-1], heads, key_heads, key_dim, value_dim,
            query[-1], bias).items()}
        inputs = self.arrays(query, value, key, bias_shape)

        def project(w, what, x):
            y = torch.einsum("...d,dnk->...nk", x, w[f"{what}/kernel"])
            return y + w[f"{what}/bias"] if bias else y

        def call(*arguments):
            *arrays, w = arguments
            arrays = dict(zip(inputs, arrays))
            x = arrays["query"]
            v = arrays.get("value", x)
            q, k, v = (project(w, what, y).movedim(axis, -2) for what, y in (
                ("query", x), ("key", arrays.get("key", v)), ("value", v)))
            if rotary is not None:
                q, k = turned(q, **rotary), turned(k, **rotary)
            mask = None
            if attention_mask is not None:
                mask = inserted(torch.tensor(attention_mask), q.ndim)
            if "attention_bias" in arrays:
                mask = inserted(arrays["attention_bias"], q.ndim)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal,
                                                   enable_gqa=heads != key_heads)
            y = torch.einsum("...nv,nvo->...o", mixed.movedim(-2, axis),
                             w["attention_output/kernel"])
            return y + w["attention_output/bias"] if bias else y

        more = {} if bias else {"use_bias": False}
        if value_dim != key_dim:
            more["value_dim"] = value_dim
        if key_heads != heads:
            more["num_key_value_heads"] = key_heads
        if len(query) == 4:
            more["attention_axes"] = [axis]
        if rotary is not None:
            more["rotary"] = rotary
        constants = {} if attention_mask is None else {"attention_mask": attention_mask}
        self.add(name, {"reference": "torch.nn.functional.scaled_dot_product_attention"} |
                 self.options(heads, key_dim, causal, more), inputs, call, constants=constants,
                 weights=weights)


def turned(x, start=0, interleaved=False, max_wavelength=10000.0):
    """Rotates (..., T, n) by rotary positions (Su et al. 2021): a pair is a complex number."""
    t, n = x.shape[-2:]
    pairs = x.reshape(*x.shape[:-1], n // 2, 2) if interleaved else (
        x.reshape(*x.shape[:-1], 2, n // 2).transpose(-1, -2))
    angle = torch.outer(torch.arange(start, start + t, dtype=torch.float64),
                        max_wavelength ** (-2.0 * torch.arange(n // 2) / n))
    y = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) *
                           torch.polar(torch.ones_like(angle), angle))
    y = y if interleaved else y.transpose(-1, -2)
    return y.reshape(x.shape)


def multi_head_attention_torch():
    f = Torch()
    f.module("torch, self", (2, 4, 6))
    f.module("torch, no bias, causal", (2, 4, 6), heads=3, bias=False, causal=True)
    f.module("torch, cross, kdim, vdim", (2, 3, 4), (2, 5, 6), (2, 5, 3))
    f.module("torch, key_padding_mask", (2, 3, 4), (2, 4, 4),
             value_mask=np.array([[1, 1, 1, 0], [0, 1, 0, 1]]) == 1)
    f.module("torch, additive attn_mask (T, S)", (2, 3, 4), (2, 4, 4), bias_shape=(3, 4))
    f.module("torch, additive attn_mask (B, N, T, S)", (2, 3, 4), (2, 4, 4),
             bias_shape=(2, 2, 3, 4))
    f.module("torch, additive attn_mask (1, N, 1, S), causal, padding", (2, 4, 4),
             bias_shape=(1, 2, 1, 4), causal=True,
             value_mask=np.array([[1, 1, 0, 1], [1, 1, 1, 1]]) == 1)
    f.module("torch, additive attn_mask (B, T, S), no bias", (2, 3, 6), (2, 4, 5), heads=3,
             bias_shape=(2, 3, 4), bias=False)
    f.module("torch, ALiBi, causal", (2, 5, 4), slopes=[0.5, 0.0625], causal=True)
    f.module("torch, ALiBi and additive, longer value", (1, 3, 4), (1, 5, 4), slopes=[0.25, 1.5],
             bias_shape=(3, 5))
    keep = f.mask(2, 1, 3, 4) | np.eye(3, 4, dtype=bool)
    keep[1, 0, 2] = False
    f.module("torch, rows attending to nothing", (2, 3, 4), (2, 4, 4), attention_mask=keep,
             differs="PyTorch gives NaN where a row may attend to nothing; here its scores are "
                     "zeros, and its output is the output's bias")
    f.product("sdpa, 4 heads, 2 key heads", (2, 3, 5), (2, 4, 6))
    f.product("sdpa, 6 heads, 3 key heads, value_dim, causal", (2, 4, 5), heads=6, key_heads=3,
              key_dim=2, value_dim=4, causal=True)
    f.product("sdpa, 4 heads, 1 key head, key, additive bias (N, T, S) per head", (2, 3, 5),
              (2, 4, 6), (2, 4, 4), key_heads=1, bias_shape=(1, 4, 3, 4))
    f.product("sdpa, 4 heads, 2 key heads, rank 4, axis 2, mask (B, F, N, T, S)", (2, 3, 2, 4),
              (2, 3, 4, 4), axis=2,
              attention_mask=f.mask(2, 3, 4, 2, 4) | np.eye(2, 4, dtype=bool))
    f.product("sdpa, rotary", (2, 4, 5), heads=2, key_heads=2, key_dim=4, rotary={"start": 0})
    f.product("sdpa, rotary interleaved, from 3, 4 heads, 2 key heads, causal", (2, 4, 5),
              key_dim=4, causal=True, rotary={"start": 3, "interleaved": True})
    f.product("sdpa, rotary, cross, another wavelength, no bias", (2, 3, 5), (2, 5, 4), heads=2,
              key_heads=2, key_dim=6, bias=False, rotary={"max_wavelength": 100.0})
    f.write()
