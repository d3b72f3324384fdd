#pragma once
// A checkpoint's bytes: a safetensors file with "params/..." and "optimizer/...", whose metadata are
// a checksum, at a fixed place, and a JSON text with all that is no tensor.

#include "io/views.hpp"

#include <xtape/run/training_progress.hpp>

namespace xtape::io {

struct CheckpointView {
  DType dtype = DType::f32;  // of all its tensors
  Views weights;             // by path
  Views optimizer;
  std::map<std::string, double> numbers;  // the optimizer's
  TrainingProgress progress;
};

/// FormatError for anything that write_checkpoint_to does not write, bit by bit.
CheckpointView parse_checkpoint(Bytes bytes, const Source& source);

/// ValueError for what a file cannot hold; nothing has gone to the sink then.
void write_checkpoint_to(const Sink& sink, const std::string& path,
                         const CheckpointView& checkpoint);

}  // namespace xtape::io
