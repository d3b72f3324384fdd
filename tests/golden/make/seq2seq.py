"""Golden cases of Seq2Seq and LanguageModel, from PyTorch's layers. See make.py."""

from reference import Family, np, torch
from transformer import attention_to_torch, attention_weights, record

import torch.nn.functional as F


class Stack:
    """Blocks of PyTorch with weights in xtape's layout, and the conversion to PyTorch's."""

    def __init__(self, f, o, layers, decoder, at):
        self.o, self.at = o, at
        self.width = o["hidden_dim"]
        self.attentions = {"self_attention": "self_attn"}
        if decoder:
            self.attentions["cross_attention"] = "multihead_attn"
        self.norms = [f"{a}_norm" for a in self.attentions] + ["feed_forward_norm"]
        kind = torch.nn.TransformerDecoderLayer if decoder else torch.nn.TransformerEncoderLayer
        self.layers = [kind(self.width, o["num_heads"], o["intermediate_dim"], dropout=0.0,
                            activation=o["activation"], batch_first=True, bias=o["use_bias"],
                            norm_first=o["normalize_first"]) for _ in range(layers)]
        self.weights = {}
        hidden, bias = o["intermediate_dim"], o["use_bias"]
        for i in range(layers):
            for a in self.attentions:
                self.weights |= attention_weights(f, f"{at}/{i}/{a}", self.width, o["num_heads"],
                                                  bias)
            shapes = {"feed_forward/intermediate/kernel": (self.width, hidden),
                      "feed_forward/output/kernel": (hidden, self.width)}
            shapes |= {f"{n}/gamma": (self.width,) for n in self.norms}
            if bias:
                shapes |= {"feed_forward/intermediate/bias": (hidden,),
                           "feed_forward/output/bias": (self.width,)}
                shapes |= {f"{n}/beta": (self.width,) for n in self.norms}
            self.weights |= {f"{at}/{i}/{k}": f.uniform(*s) for k, s in shapes.items()}

    def __call__(self, w, x, *memory, **masks):
        for i, layer in enumerate(self.layers):
            at, bias = f"{self.at}/{i}", self.o["use_bias"]
            state = {}
            for ours, theirs in self.attentions.items():
                state |= attention_to_torch(w, f"{at}/{ours}", theirs, self.width, bias)
            state |= {"linear1.weight": w[f"{at}/feed_forward/intermediate/kernel"].T,
                      "linear2.weight": w[f"{at}/feed_forward/output/kernel"].T}
            state |= {f"norm{k + 1}.weight": w[f"{at}/{n}/gamma"] for k, n in enumerate(self.norms)}
            if bias:
                state |= {"linear1.bias": w[f"{at}/feed_forward/intermediate/bias"],
                          "linear2.bias": w[f"{at}/feed_forward/output/bias"]}
                state |= {f"norm{k + 1}.bias": w[f"{at}/{n}/beta"]
                          for k, n in enumerate(self.norms)}
            assert state.keys() == dict(layer.named_parameters()).keys()
            x = torch.func.functional_call(layer, state, (x, *memory), masks)
        return x


def sines(length, width):
    """The formula of PyTorch's tutorial on language models."""
    position = torch.arange(length).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2) * (-np.log(1e4) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    return table


def embedded(w, o, ids, table, positions):
    x = F.embedding(ids, w[f"{table}/embeddings"])
    if o["scale_embeddings"]:
        x = x * np.sqrt(o["hidden_dim"])
    if o["positions"] == "sine":
        return x + sines(ids.shape[1], o["hidden_dim"])
    return x + w[f"{positions}/embeddings"][:ids.shape[1]]


def final(f, o, *names):
    width = o["hidden_dim"]
    if not o["normalize_first"]:
        return {}
    shapes = {f"{n}/gamma": (width,) for n in names}
    if o["use_bias"]:
        shapes |= {f"{n}/beta": (width,) for n in names}
    return {k: f.uniform(*s) for k, s in shapes.items()}


def normalized(w, o, x, name):
    if not o["normalize_first"]:
        return x
    return F.layer_norm(x, x.shape[-1:], w[f"{name}/gamma"], w.get(f"{name}/beta"))


def projected(w, x, table):
    if "output/kernel" not in w:
        return x @ w[f"{table}/embeddings"].T
    y = x @ w["output/kernel"]
    return y + w["output/bias"] if "output/bias" in w else y


def causal(length):
    return torch.ones(length, length, dtype=torch.bool).triu(1)  # true: not attended to


def loss_of(logits, targets, smoothing):
    return F.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten(), ignore_index=0,
                           label_smoothing=smoothing)


def seq2seq():
    f = Family("seq2seq", 17)
    source = np.array([[4, 1, 5, 2], [3, 6, 0, 0], [2, 2, 4, 0]])
    target_in = np.array([[2, 4, 1], [2, 5, 3], [2, 0, 0]])
    target_out = np.array([[4, 1, 3], [5, 3, 0], [3, 0, 0]])
    mask = source != 0

    def add(first, activation, positions, tying, layers, scale=True, bias=True, smoothing=0.1):
        o = {"source_vocabulary": 7, "target_vocabulary": 7 if tying == "all" else 6,
             "hidden_dim": 4, "num_heads": 2, "intermediate_dim": 5, "encoder_layers": layers,
             "decoder_layers": layers, "normalize_first": first, "activation": activation,
             "positions": positions, "max_length": 4, "tying": tying, "scale_embeddings": scale,
             "use_bias": bias}
        tables = (("embedding",) * 2 if tying == "all" else
                  ("source_embedding", "target_embedding"))
        w = {f"{tables[0]}/embeddings": f.uniform(7, 4)}
        if tying != "all":
            w[f"{tables[1]}/embeddings"] = f.uniform(6, 4)
        if positions == "learned":
            w |= {f"{n}_positions/embeddings": f.uniform(4, 4) for n in ("source", "target")}
        if tying == "none":
            w["output/kernel"] = f.uniform(4, 6)
            if bias:
                w["output/bias"] = f.uniform(6)
        encoder = Stack(f, o, layers, False, "encoder")
        decoder = Stack(f, o, layers, True, "decoder")
        w |= encoder.weights | decoder.weights | final(f, o, "encoder_norm", "decoder_norm")

        def call(_, w):
            ignored = ~torch.tensor(mask)
            x = embedded(w, o, torch.tensor(source), tables[0], "source_positions")
            memory = normalized(w, o, encoder(w, x, src_key_padding_mask=ignored), "encoder_norm")
            x = embedded(w, o, torch.tensor(target_in), tables[1], "target_positions")
            x = decoder(w, x, memory, tgt_mask=causal(3), memory_key_padding_mask=ignored)
            logits = projected(w, normalized(w, o, x, "decoder_norm"), tables[1])
            return {"logits": logits, "loss": loss_of(logits, target_out, smoothing)}

        what = (f"{'pre' if first else 'post'}-norm, {activation}, {positions} positions, "
                f"tying {tying}, {layers} layers, scale {scale}, bias {bias}")
        record(f, what, {"options": o, "label_smoothing": smoothing}, {}, w, call,
               {"source": source, "mask": mask, "target_in": target_in, "target_out": target_out})

    add(False, "relu", "learned", "none", 2)
    add(False, "gelu", "sine", "all", 1)
    add(True, "relu", "sine", "none", 2)
    add(True, "gelu", "learned", "output", 1, scale=False, bias=False, smoothing=0.0)
    f.write()


def language_model():
    f = Family("language_model", 18)
    ids = np.array([[1, 4, 2, 6], [5, 3, 1, 0]])
    targets = np.array([[4, 2, 6, 3], [3, 1, 0, 0]])

    def add(first, activation, positions, tying, layers, scale, bias, smoothing):
        o = {"vocabulary": 7, "hidden_dim": 4, "num_heads": 2, "intermediate_dim": 5,
             "layers": layers, "normalize_first": first, "activation": activation,
             "positions": positions, "max_length": 5, "tying": tying, "scale_embeddings": scale,
             "use_bias": bias, "pad_id": 0}
        w = {"embedding/embeddings": f.uniform(7, 4)}
        if positions == "learned":
            w["positions/embeddings"] = f.uniform(5, 4)
        if tying == "none":
            w["output/kernel"] = f.uniform(4, 7)
            if bias:
                w["output/bias"] = f.uniform(7)
        blocks = Stack(f, o, layers, False, "decoder")
        w |= blocks.weights | final(f, o, "norm")

        def call(_, w):
            x = embedded(w, o, torch.tensor(ids), "embedding", "positions")
            x = normalized(w, o, blocks(w, x, src_mask=causal(4)), "norm")
            logits = projected(w, x, "embedding")
            return {"logits": logits, "loss": loss_of(logits, targets, smoothing)}

        what = (f"{'pre' if first else 'post'}-norm, {activation}, {positions} positions, "
                f"tying {tying}, {layers} layers, scale {scale}, bias {bias}")
        record(f, what, {"options": o, "label_smoothing": smoothing}, {}, w, call,
               {"ids": ids, "next": targets})

    add(True, "gelu", "learned", "output", 2, False, False, 0.0)
    add(False, "relu", "sine", "none", 1, True, True, 0.2)
    f.write()
