#pragma once
/// \file
/// RunOf<T>: parameters and an optimizer as callbacks see them, for a loop of your own.
///
///     RunOf<float> run(params, adam, {.epochs = 20});
///     EarlyStopping early({.monitor = "loss", .patience = 3});
///     early.on_train_begin(run);
///     for (std::int64_t epoch = 0; epoch < 20 && !run.stopping(); ++epoch) {
///       Logs logs{{"loss", train_an_epoch()}};
///       early.on_epoch_end(run, epoch, logs);
///     }

#include <xtape/optim/optimizer.hpp>
#include <xtape/run/callback.hpp>

namespace xtape {

/// The Run of parameters and an optimizer; for loops of one's own.
template <class T> class RunOf final : public Run {
 public:
  /// Both must outlive it. ValueError for a metric that is null, or whose name is taken.
  RunOf(Params<T>& params, Optimizer<T>& optimizer, RunOptions options = {});

  [[nodiscard]] double learning_rate() const override { return optimizer_->learning_rate(); }
  void set_learning_rate(double rate) override { optimizer_->set_learning_rate(rate); }
  [[nodiscard]] bool scheduled() const override { return optimizer_->scheduled(); }
  [[nodiscard]] std::int64_t iterations() const override { return optimizer_->iterations(); }
  [[nodiscard]] Tensors weights() const override;
  void set_weights(const Tensors& weights) override;
  void save_weights(const std::string& path) const override;
  void write_histograms(EventWriter& events, std::int64_t step) const override;
  std::optional<TrainingProgress> restore(Checkpoints& checkpoints) override;

  // For the loop.
  /// Sets the epoch that callbacks see.
  void set_epoch(std::int64_t epoch) noexcept { epoch_ = epoch; }
  /// Sets the step that callbacks see.
  void set_step(std::int64_t step) noexcept { step_ = step; }
  /// Sets whether the run continues another.
  void set_resumed(bool resumed) noexcept { resumed_ = resumed; }
  /// Sets whether a signal ended the run.
  void set_interrupted(bool interrupted) noexcept { interrupted_ = interrupted; }
  /// Whether save_soon() was called since the last save_now().
  [[nodiscard]] bool wants_save() const noexcept { return !requests_.empty(); }
  /// Saves as save_soon() requested.
  void save_now(TrainingProgress progress);

 private:
  Params<T>* params_;
  Optimizer<T>* optimizer_;
};

}  // namespace xtape
