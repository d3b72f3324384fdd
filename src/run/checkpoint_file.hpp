#pragma once
// A checkpoint's bytes: a safetensors file with "params/..." and "optimizer/...". Its metadata are a
// checksum at a fixed place and a JSON text with everything else.

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

/// Reads a checkpoint. FormatError for any bytes that write_checkpoint_to does not write.
CheckpointView parse_checkpoint(Bytes bytes, const Source& source);

/// Writes a checkpoint. ValueError before any byte for texts and counts that a file cannot hold.
void write_checkpoint_to(const Sink& sink, const std::string& path,
                         const CheckpointView& checkpoint);

}  // namespace xtape::io

namespace xtape {
template <class T> class Params;
template <class T> class Optimizer;
namespace detail {

/// Loads a checkpoint from its bytes; `path` is for messages. Errors as load_checkpoint.
template <class T>
TrainingProgress load_checkpoint_bytes(io::Bytes bytes, const std::string& path, Params<T>& params,
                                       Optimizer<T>& optimizer);

}  // namespace detail
}  // namespace xtape
