#pragma once
/// \file
/// StopSignals: lets a training run finish its step and save when it is told to stop.
///
///     const StopSignals signals;
///     while (!signals.requested() && more_to_do()) step();
///     checkpoints.save(params, adam, progress);

#include <vector>

namespace xtape {

/// Options of StopSignals.
struct StopSignalsOptions {
  std::vector<int> also = {};  ///< further signals: {SIGUSR1}, which mpirun and Slurm pass on
};

/// While an object lives, the first SIGINT (Ctrl-C) or SIGTERM is only noted. A second one ends the
/// program at once. Ignored signals (nohup, a shell's background job) stay ignored. Objects may be
/// nested: all see the same signal. The last destructor restores the previous handlers, unless the
/// program installed another meanwhile. xtape touches signals nowhere else.
class StopSignals {
 public:
  /// ValueError for a signal that cannot be caught.
  explicit StopSignals(const StopSignalsOptions& options = {});
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Whether a signal arrived since the outermost object was made.
  [[nodiscard]] bool requested() const noexcept { return signal() != 0; }
  /// The number of the signal, or 0.
  [[nodiscard]] int signal() const noexcept;
};

}  // namespace xtape
