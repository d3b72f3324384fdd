#pragma once
/// \file
/// StopSignals: lets a training run finish its step and save when it is told to stop.
///
///     const StopSignals signals;
///     while (!signals.requested() && more_to_do()) step();
///     checkpoints.save(params, adam, progress);

namespace xtape {

/// While an object lives, the first SIGINT (Ctrl-C) or SIGTERM is only noted. A second one ends the
/// program at once. Ignored signals (nohup, a shell's background job) stay ignored. Objects may be
/// nested: all see the same signal. The last destructor restores the previous handlers, unless the
/// program installed another meanwhile. xtape touches signals nowhere else.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Whether a signal arrived since the outermost object was made.
  [[nodiscard]] bool requested() const noexcept { return signal() != 0; }
  /// The number of the signal, or 0.
  [[nodiscard]] int signal() const noexcept;
};

}  // namespace xtape
