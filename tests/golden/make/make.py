"""Writes the golden files, one folder up: values and gradients of Keras and PyTorch.

    python3 -m venv venv
    venv/bin/pip install -r tests/golden/make/requirements.txt
    venv/bin/python tests/golden/make/make.py

Everything is computed in float64 on the CPU with fixed seeds, so a second run writes the same bytes
on the same kind of machine (another one may differ in the last digits). The versions are pinned in
requirements.txt and checked here. The tests read the files; they need no Python.
make_tf.py writes the cases of tf-keras.

A file is {"versions": {...}, "cases": [...]}. A case has a name, the options of what was called,
"inputs" and "weights" (differentiated), "constants" (labels and masks, not differentiated),
"cotangents" (the fixed random factors c of the loss sum(output * c), one per output), "outputs",
and "gradients" of that loss, of every input and weight. An array is {"shape": [...], "data":
[...]}, row-major, in digits that restore the double exactly. NaN and infinity are refused.
"""

from reference import setup

from activations import activations
from attention import attention_configs, multi_head_attention
from attention_torch import multi_head_attention_torch
from catalogue import activity, constraints, initializers, penalties, regularizers
from class_metrics import class_metrics
from fit import fit
from fit_arrays import fit_arrays
from layers import dense, embedding, layer_normalization, softmax
from loss_curve import loss_curve
from losses import ctc, losses
from metrics import bleu, metrics
from optimizers import optimizers, schedules
from pooling import batch_normalization, pooling
from seq2seq import language_model, seq2seq
from summary import summary
from transformer import positions, rms_normalization, transformer_decoder, transformer_encoder

if __name__ == "__main__":
    setup()
    for make in (dense, softmax, layer_normalization, embedding, multi_head_attention,
                 multi_head_attention_torch, attention_configs, activations, losses, ctc, optimizers,
                 schedules, metrics, bleu, regularizers, constraints, penalties,
                 initializers, activity, rms_normalization, positions, transformer_encoder,
                 transformer_decoder, loss_curve, summary, fit, seq2seq, language_model,
                 class_metrics, pooling, batch_normalization, fit_arrays):
        make()
