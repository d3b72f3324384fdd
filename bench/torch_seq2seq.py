"""An epoch of the recipe multi30k in PyTorch, on what `seq2seq train --record FOLDER` wrote: the same initial
weights and the same batches. Called by tasks.py --quick --torch; prints the mean training loss and the dev loss.

    python3 bench/torch_seq2seq.py FOLDER --seed 1

Only the numbers that dropout draws differ from ours."""

import argparse
import json
import math
import pathlib

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

HEADS, DROPOUT, RATE, CLIP = 8, 0.1, 5e-4, 1.0  # of examples/recipes/multi30k.ini


def attention(w, at, to):
    """Returns the state of a torch attention: kernels (width, heads, per head) as rows of in_proj_weight."""
    width = w[f"{at}/query/kernel"].shape[0]
    parts = ("query", "key", "value")
    return {f"{to}.in_proj_weight": torch.cat([w[f"{at}/{p}/kernel"].reshape(width, width).T for p in parts]),
            f"{to}.in_proj_bias": torch.cat([w[f"{at}/{p}/bias"].ravel() for p in parts]),
            f"{to}.out_proj.weight": w[f"{at}/attention_output/kernel"].reshape(width, width).T,
            f"{to}.out_proj.bias": w[f"{at}/attention_output/bias"]}


def block(w, decoder):
    norms = ["self_attention", *["cross_attention"] * decoder, "feed_forward"]
    state = attention(w, "self_attention", "self_attn")
    if decoder:
        state |= attention(w, "cross_attention", "multihead_attn")
    for i, part in enumerate(("intermediate", "output"), 1):
        state |= {f"linear{i}.weight": w[f"feed_forward/{part}/kernel"].T,
                  f"linear{i}.bias": w[f"feed_forward/{part}/bias"]}
    for i, norm in enumerate(norms, 1):
        state |= {f"norm{i}.weight": w[f"{norm}_norm/gamma"], f"norm{i}.bias": w[f"{norm}_norm/beta"]}
    return state


class Translator(nn.Module):
    """Post-norm, learned positions, three separate matrices."""

    def __init__(self, w):
        super().__init__()
        self.width = w["source_embedding/embeddings"].shape[1]
        for name in ("source", "target"):
            for ours, here in ((f"{name}_embedding", name), (f"{name}_positions", f"{name}_positions")):
                table = nn.Embedding.from_pretrained(w[f"{ours}/embeddings"].clone(), freeze=False)
                setattr(self, here, table)
        self.output = nn.Linear(self.width, w["output/bias"].numel())
        self.output.load_state_dict({"weight": w["output/kernel"].T, "bias": w["output/bias"]})
        self.drop = nn.Dropout(DROPOUT)
        for name, kind in (("encoder", nn.TransformerEncoderLayer), ("decoder", nn.TransformerDecoderLayer)):
            layers = nn.ModuleList()
            while f"{name}/{len(layers)}/self_attention/query/kernel" in w:
                stem = f"{name}/{len(layers)}/"
                hidden = w[f"{stem}feed_forward/intermediate/bias"].numel()
                layer = kind(self.width, HEADS, hidden, dropout=DROPOUT, batch_first=True)
                layer.load_state_dict(block({k.removeprefix(stem): v for k, v in w.items() if k.startswith(stem)},
                                            name == "decoder"))
                layers.append(layer)
            setattr(self, name, layers)

    def embedded(self, ids, table, positions):
        return self.drop(table(ids) * math.sqrt(self.width) + positions.weight[:ids.shape[1]])

    def forward(self, source, target):
        ignored = source == 0
        x = self.embedded(source, self.source, self.source_positions)
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=ignored)
        later = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        y = self.embedded(target, self.target, self.target_positions)
        for layer in self.decoder:
            y = layer(y, x, tgt_mask=later, memory_key_padding_mask=ignored)
        return self.output(y)


def batches(path):
    with open(path) as lines:
        for line in lines:
            yield {k: torch.tensor(v) for k, v in json.loads(line).items()}


def loss_of(model, b):
    """Returns the mean loss over target tokens, and their number."""
    logits = model(b["source"], b["target_in"])
    loss = F.cross_entropy(logits.flatten(0, 1), b["target_out"].flatten(), ignore_index=0)
    return loss, int((b["target_out"] != 0).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1, help="of dropout")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    model = Translator(load_file(options.folder / "initial.safetensors"))
    optimizer = torch.optim.Adam(model.parameters(), RATE, eps=1e-8)
    means = []
    for name in ("train", "dev"):
        training = name == "train"
        model.train(training)
        total = tokens = 0
        with torch.set_grad_enabled(training):
            for b in batches(options.folder / f"{name}.jsonl"):
                loss, count = loss_of(model, b)
                if training:
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                    optimizer.step()
                total, tokens = total + loss.item() * count, tokens + count
        means.append(total / tokens)
    print(json.dumps({"loss": means[0], "val_loss": means[1]}))


if __name__ == "__main__":
    main()
