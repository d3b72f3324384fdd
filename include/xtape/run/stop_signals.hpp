#pragma once
/// \file
/// StopSignals: a training run that is told to stop finishes its step, saves, and ends well.
///
///     const StopSignals signals;
///     while (!signals.requested() && more_to_do()) step();
///     checkpoints.save(params, adam, progress);

namespace xtape {

/// While an object of it lives, the first SIGINT (Ctrl-C) or SIGTERM is only noted. A second one ends
/// the program at once. A signal that was ignored before (nohup, a shell's background job) stays
/// ignored. Objects may be nested: all see the same signal, and the last to go restores the handlers
/// there were before, except where someone else has installed another meanwhile. This is the only place
/// where xtape touches signals.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Whether a signal came since the outermost object was made.
  [[nodiscard]] bool requested() const noexcept { return signal() != 0; }
  /// Its number; 0: none came.
  [[nodiscard]] int signal() const noexcept;
};

}  // namespace xtape
