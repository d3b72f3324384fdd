#pragma once
/// \file
/// TrainingProgress: the position of a training run, in a checkpoint.

#include <xtape/base/arithmetic.hpp>

#include <cstdint>
#include <map>
#include <string>

namespace xtape {

/// The state that a run needs to continue, beside weights and optimizer. The order of the data is a
/// function of its seed and the epoch, so two integers are the position.
struct TrainingProgress {
  std::int64_t epoch = 0;          ///< epochs completed
  std::int64_t batch = 0;          ///< batches done in the epoch after those
  std::int64_t step = 0;           ///< batches done in all
  std::uint64_t tape_seed = 0;     ///< of the random operations
  std::uint64_t random_index = 0;  ///< of the next random operation, Tape::random_index
  /// The version of the arithmetic, xtape::arithmetic(); 0 in checkpoints that were written before there was one.
  std::int64_t arithmetic = xtape::arithmetic();
  std::map<std::string, double> numbers = {};  ///< of callbacks and metrics: "early_stopping/wait"
  std::map<std::string, std::string> texts = {};  ///< further notes, UTF-8
};

}  // namespace xtape
