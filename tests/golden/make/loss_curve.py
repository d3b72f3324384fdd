"""The first 200 losses of the model of examples/dates.cpp, trained by PyTorch. See make.py.

One encoder and one decoder layer with normalization before each part, sines and cosines as positions,
and one more normalization behind each stack. No dropout. The optimizer is torch.optim.Adam, whose
epsilon stands beside the corrected root, while Keras's stands beside the plain one: divided by the
root of its correction, anew at each step, it makes PyTorch's formula Keras's.
"""

from reference import Family, agree, encode, np, torch
from transformer import attention_weights, block_to_torch

import torch.nn.functional as F

STEPS, BATCHES, BATCH = 200, 10, 8
WIDTH, HEADS, HIDDEN = 16, 2, 32
ADAM = {"learning_rate": 3e-3, "beta_1": 0.9, "beta_2": 0.98, "epsilon": 1e-9}
LETTERS = " ,-./abcdefghijklmnopqrstuvwxyz0123456789"
MONTHS = ("january february march april may june july august september october november "
          "december").split()


def identifiers(text):
    return [LETTERS.index(c) + 3 for c in text]


def batches(f):
    """Returns sources padded with 0, decoder inputs (1 in front), and targets (2 at the end)."""
    out = []
    for _ in range(BATCHES):
        sources, targets = [], []
        for _ in range(BATCH):
            y, m, d = int(f.random.integers(1950, 2050)), int(f.random.integers(1, 13)), \
                int(f.random.integers(1, 29))
            name = MONTHS[m - 1]
            sources.append([f"{d} {name} {y}", f"{name} {d}, {y}", f"{m}/{d}/{y % 100:02}",
                            f"{d:02}.{m:02}.{y}", f"{name[:3]} {d:02} {y % 100:02}",
                            f"{y}{m:02}{d:02}"][int(f.random.integers(6))])
            targets.append(identifiers(f"{y}-{m:02}-{d:02}"))
        longest = max(map(len, sources))
        out.append({
            "source": np.array([identifiers(s) + [0] * (longest - len(s)) for s in sources]),
            "input": np.array([[1] + t for t in targets]),
            "output": np.array([t + [2] for t in targets])})
    return out


def initial_weights(f):
    """Draws weights as the layers do: tables normal, kernels Glorot uniform, biases 0, norms 1."""
    size = 3 + len(LETTERS)
    w = {f"{n}/embeddings": f.random.standard_normal((size, WIDTH)).round(4)
         for n in ("source", "target")}
    shapes = {"head/kernel": (WIDTH, size), "head/bias": (size,)}
    for stack, attentions in (("encoder", ["self_attention"]),
                              ("decoder", ["self_attention", "cross_attention"])):
        for a in attentions:
            shapes |= {f"{stack}/0/{k}": v.shape for k, v in
                       attention_weights(f, a, WIDTH, HEADS, True).items()}
        shapes |= {f"{stack}/0/feed_forward/intermediate/kernel": (WIDTH, HIDDEN),
                   f"{stack}/0/feed_forward/intermediate/bias": (HIDDEN,),
                   f"{stack}/0/feed_forward/output/kernel": (HIDDEN, WIDTH),
                   f"{stack}/0/feed_forward/output/bias": (WIDTH,)}
        shapes |= {f"{stack}/0/{n}_norm/{k}": (WIDTH,) for n in attentions + ["feed_forward"]
                   for k in ("gamma", "beta")}
    shapes |= {f"{n}/{k}": (WIDTH,) for n in ("memory_norm", "final_norm") for k in ("gamma", "beta")}
    for path, shape in shapes.items():
        if path.endswith("kernel"):
            # For attention's kernels both PyTorch and xtape count the width, on both sides.
            limit = (6 / (2 * WIDTH if "attention" in path else sum(shape))) ** 0.5
            w[path] = f.uniform(*shape, low=-limit, high=limit)
        else:
            w[path] = np.full(shape, 1.0 if path.endswith("gamma") else 0.0)
    return w


class Dates(torch.nn.Module):
    def __init__(self, w):
        super().__init__()
        w = {k: torch.tensor(v) for k, v in w.items()}
        below = lambda stem: {k[len(stem):]: v for k, v in w.items() if k.startswith(stem)}
        self.source = torch.nn.Embedding.from_pretrained(w["source/embeddings"], freeze=False)
        self.target = torch.nn.Embedding.from_pretrained(w["target/embeddings"], freeze=False)
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        self.encoder = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, **options)
        self.encoder.load_state_dict(block_to_torch(below("encoder/0/"), False, WIDTH, True))
        self.decoder = torch.nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, **options)
        self.decoder.load_state_dict(block_to_torch(below("decoder/0/"), True, WIDTH, True))
        self.memory_norm = torch.nn.LayerNorm(WIDTH, eps=1e-3)  # Keras's default
        self.final_norm = torch.nn.LayerNorm(WIDTH, eps=1e-3)
        for name in ("memory_norm", "final_norm"):
            getattr(self, name).load_state_dict(
                {"weight": w[f"{name}/gamma"], "bias": w[f"{name}/beta"]})
        self.head = torch.nn.Linear(WIDTH, w["head/bias"].numel())
        self.head.load_state_dict({"weight": w["head/kernel"].T, "bias": w["head/bias"]})

    @staticmethod
    def placed(x):
        position = torch.arange(x.shape[1]).unsqueeze(1)
        rate = torch.exp(torch.arange(0, WIDTH, 2) * (-np.log(1e4) / WIDTH))
        table = torch.zeros(x.shape[1], WIDTH)
        table[:, 0::2] = torch.sin(position * rate)
        table[:, 1::2] = torch.cos(position * rate)
        return x + table

    def forward(self, source, target):
        ignored = source == 0  # PyTorch's masks are true where a position is not attended to
        memory = self.encoder(self.placed(self.source(source)), src_key_padding_mask=ignored)
        later = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        y = self.decoder(self.placed(self.target(target)), self.memory_norm(memory),
                         tgt_mask=later, memory_key_padding_mask=ignored)
        return self.head(self.final_norm(y))


def train(w, data):
    model = Dates(w)
    b2 = ADAM["beta_2"]
    optimizer = torch.optim.Adam(model.parameters(), ADAM["learning_rate"], (ADAM["beta_1"], b2))
    losses = []
    for t in range(1, STEPS + 1):
        b = {k: torch.tensor(v) for k, v in data[(t - 1) % len(data)].items()}
        logits = model(b["source"], b["input"])
        loss = F.cross_entropy(logits.flatten(0, 1), b["output"].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["eps"] = ADAM["epsilon"] / (1 - b2**t) ** 0.5
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def loss_curve():
    f = Family("loss_curve", 17)
    data, weights = batches(f), initial_weights(f)
    losses = train(weights, data)
    # Rounding must not grow to the tolerance of the test. A change of that size at the start does not.
    shaken = {k: v * (1 + 2e-16 * f.random.integers(-1, 2, v.shape)) for k, v in weights.items()}
    again = train(shaken, data)
    worst = (np.abs(again - losses) / losses).max()
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}; shaken by a rounding: {worst:.1e}")
    assert 0 < worst < 1e-10
    f.cases.append({"name": "dates", "adam": ADAM, "width": WIDTH, "heads": HEADS, "hidden": HIDDEN,
                    "weights": {k: encode(v) for k, v in weights.items()},
                    "batches": [{k: encode(v) for k, v in b.items()} for b in data],
                    "losses": encode(losses)})
    f.write()
