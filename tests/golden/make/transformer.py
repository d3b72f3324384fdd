"""Golden cases of positions, RMS normalization and the blocks of a Transformer. See make.py."""

from reference import Family, agree, encode, keras, np, torch

import torch.nn.functional as F


def rms_normalization():
    f = Family("rms_normalization", 13)
    for shape, axes, epsilon in [((3, 5), (-1,), 1e-6), ((2, 3, 4), (-1,), 1e-3),
                                 ((2, 3, 4), (2,), 1e-12), ((2, 3, 4), (1, 2), 1e-5),
                                 ((2, 40), (-1,), 1e-6), ((4, 1), (-1,), 0.1),
                                 ((2, 3, 4), (0,), 1e-5), ((2, 2, 3, 5), (-1,), 1e-6)]:
        at = sorted(a % len(shape) for a in axes)
        last = list(range(len(shape) - len(at), len(shape)))
        # PyTorch normalizes over the last axes, Keras over one axis, whose weight broadcasts as the last
        # one. So PyTorch is the reference; Keras agrees in the cases both can express.
        layer = torch.nn.RMSNorm([shape[a] for a in at], eps=epsilon)
        scale = f.uniform(*[shape[a] for a in at], low=-2, high=2)
        x = f.uniform(*shape, low=-2, high=3)

        def call(x, scale):
            y = torch.func.functional_call(layer, {"weight": scale}, x.movedim(at, last))
            return y.movedim(last, at)

        outputs = record(f, f"{shape} over {axes}, epsilon {epsilon}",
                         {"axes": axes, "epsilon": epsilon}, {"x": x}, {"scale": scale},
                         lambda i, w: call(i["x"], w["scale"]))
        if at == [len(shape) - 1]:
            by_keras = keras.layers.RMSNormalization(axis=-1, epsilon=epsilon)
            by_keras.build(shape)
            by_keras.scale.assign(scale)
            agree(by_keras(torch.tensor(x)), outputs["output"], 1e-14, "RMSNormalization")
    f.write()


def positions():
    """Sines and cosines by the formula of PyTorch's tutorial on language models."""
    f = Family("positions", 14)
    for length, width, wavelength in [(1, 2, 1e4), (7, 6, 1e4), (50, 16, 1e4), (5, 4, 100.0),
                                      (300, 8, 1e4), (4, 128, 1e4)]:
        position = torch.arange(length).unsqueeze(1)
        rate = torch.exp(torch.arange(0, width, 2) * (-np.log(wavelength) / width))
        table = torch.zeros(length, width)
        table[:, 0::2] = torch.sin(position * rate)
        table[:, 1::2] = torch.cos(position * rate)
        f.cases.append({"name": f"{length} x {width}, wavelength {wavelength}",
                        "max_wavelength": wavelength, "outputs": {"output": encode(table)}})
    f.write()


def record(f, name, options, inputs, weights, call, constants=None):
    """Records a case whose weights are in xtape's layout. call(inputs, weights) converts them to the
    reference's layout differentiably, so that gradients come back in xtape's."""
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in inputs.items()}
    variables = {k: torch.tensor(v, requires_grad=True) for k, v in weights.items()}
    outputs = call(leaves, variables)
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    cotangents = {k: f.uniform(*v.shape) for k, v in outputs.items()}
    sum((v * torch.tensor(cotangents[k])).sum() for k, v in outputs.items()).backward()
    gradients = {k: v.grad for k, v in (leaves | variables).items()}
    groups = {"inputs": inputs, "weights": weights, "constants": constants or {},
              "cotangents": cotangents, "outputs": outputs, "gradients": gradients}
    f.cases.append({"name": name} | options | {
        group: {k: encode(v) for k, v in arrays.items()} for group, arrays in groups.items()})
    return outputs


def attention_weights(f, name, width, heads, bias):
    shapes = {f"{name}/{p}/kernel": (width, heads, width // heads)
              for p in ("query", "key", "value")}
    shapes[f"{name}/attention_output/kernel"] = (heads, width // heads, width)
    if bias:
        shapes |= {f"{name}/{p}/bias": (heads, width // heads) for p in ("query", "key", "value")}
        shapes[f"{name}/attention_output/bias"] = (width,)
    return {k: f.uniform(*s) for k, s in shapes.items()}


def attention_to_torch(w, name, to, width, bias):
    """in_proj_weight is (3 outputs, inputs), stacked as query, key, value."""
    parts = ("query", "key", "value")
    state = {f"{to}.in_proj_weight": torch.cat(
                 [w[f"{name}/{p}/kernel"].reshape(width, width).T for p in parts]),
             f"{to}.out_proj.weight": w[f"{name}/attention_output/kernel"].reshape(width, width).T}
    if bias:
        state |= {f"{to}.in_proj_bias": torch.cat([w[f"{name}/{p}/bias"].ravel() for p in parts]),
                  f"{to}.out_proj.bias": w[f"{name}/attention_output/bias"]}
    return state


def norms_of(decoder):
    return ["self_attention_norm"] + ["cross_attention_norm"] * decoder + ["feed_forward_norm"]


def block_to_torch(w, decoder, width, bias):
    """The weights of a TransformerEncoderLayer or TransformerDecoderLayer."""
    norms = norms_of(decoder)
    out = attention_to_torch(w, "self_attention", "self_attn", width, bias)
    if decoder:
        out |= attention_to_torch(w, "cross_attention", "multihead_attn", width, bias)
    out |= {"linear1.weight": w["feed_forward/intermediate/kernel"].T,
            "linear2.weight": w["feed_forward/output/kernel"].T}
    out |= {f"norm{i + 1}.weight": w[f"{n}/gamma"] for i, n in enumerate(norms)}
    if bias:
        out |= {"linear1.bias": w["feed_forward/intermediate/bias"],
                "linear2.bias": w["feed_forward/output/bias"]}
        out |= {f"norm{i + 1}.bias": w[f"{n}/beta"] for i, n in enumerate(norms)}
    return out


def blocks(name, seed, decoder):
    f = Family(name, seed)
    lengths = np.arange(5) < np.array([[5], [2], [4]])
    source_lengths = np.arange(4) < np.array([[1], [4], [3]])
    norms = norms_of(decoder)
    attentions = ["self_attention"] + ["cross_attention"] * decoder

    def add(first, activation, causal, padding, heads=2, width=4, hidden=6, bias=True):
        b, t, s = (3, 5, 4) if padding else (2, 3, 4)
        kind = torch.nn.TransformerDecoderLayer if decoder else torch.nn.TransformerEncoderLayer
        layer = kind(width, heads, hidden, dropout=0.0, activation=activation, batch_first=True,
                     norm_first=first, bias=bias)
        weights = {}
        for a in attentions:
            weights |= attention_weights(f, a, width, heads, bias)
        shapes = {"feed_forward/intermediate/kernel": (width, hidden),
                  "feed_forward/output/kernel": (hidden, width)}
        shapes |= {f"{n}/gamma": (width,) for n in norms}
        if bias:
            shapes |= {"feed_forward/intermediate/bias": (hidden,),
                       "feed_forward/output/bias": (width,)}
            shapes |= {f"{n}/beta": (width,) for n in norms}
        weights |= {k: f.uniform(*shape) for k, shape in shapes.items()}

        def state(w):
            out = block_to_torch(w, decoder, width, bias)
            assert out.keys() == dict(layer.named_parameters()).keys()
            return out

        def call(i, w):
            # PyTorch's masks are true where a position is not attended to.
            ignored = ~torch.tensor(lengths) if padding else None
            mask = torch.ones(t, t, dtype=torch.bool).triu(1) if causal else None
            if not decoder:
                return torch.func.functional_call(layer, state(w), (i["x"],), {
                    "src_mask": mask, "src_key_padding_mask": ignored})
            return torch.func.functional_call(layer, state(w), (i["x"], i["memory"]), {
                "tgt_mask": mask, "tgt_key_padding_mask": ignored,
                "memory_key_padding_mask": ~torch.tensor(source_lengths) if padding else None})

        inputs = {"x": f.uniform(b, t, width)}
        constants = {"padding_mask": lengths} if padding else {}
        if decoder:
            inputs["memory"] = f.uniform(b, s, width)
            if padding:
                constants["encoder_padding_mask"] = source_lengths
        what = (f"{'pre' if first else 'post'}-norm, {activation}, causal {causal}, "
                f"padding {padding}, heads {heads}, bias {bias}")
        record(f, what, {"normalize_first": first, "activation": activation, "causal": causal,
                         "num_heads": heads, "hidden_dim": width, "intermediate_dim": hidden,
                         "use_bias": bias}, inputs, weights, call, constants)

    for first in (False, True):
        for activation in ("relu", "gelu"):
            for causal in (False, True):
                for padding in (False, True):
                    add(first, activation, causal, padding)
        add(first, "gelu", True, True, heads=1, width=3, hidden=5, bias=False)
        add(first, "relu", True, True, heads=4, width=16, hidden=20)
    f.write()


def transformer_encoder():
    blocks("transformer_encoder", 15, False)


def transformer_decoder():
    blocks("transformer_decoder", 16, True)
