// The optimizer that the options describe.

#include "settings.hpp"

#include <algorithm>

namespace seq2seq {

std::unique_ptr<xp::Optimizer<float>> make_optimizer(const TrainSettings& s, std::int64_t steps) {
  namespace schedules = xp::schedules;
  xp::Schedule rate = s.learning_rate;
  if (s.schedule == "noam") {
    rate = schedules::Noam{.d_model = s.width,
                           .warmup_steps = std::max<std::int64_t>(1, s.warmup),
                           .factor = s.learning_rate};
  } else if (s.schedule == "cosine") {
    rate = schedules::LinearWarmup{
        .steps = s.warmup,
        .then = schedules::CosineDecay{.initial_learning_rate = s.learning_rate,
                                       .decay_steps = std::max<std::int64_t>(1, steps - s.warmup),
                                       .alpha = s.final_rate}};
  } else if (s.warmup > 0) {
    rate = schedules::LinearWarmup{.steps = s.warmup, .then = s.learning_rate};
  }
  xp::OptimizerOptions common;
  if (s.ema > 0) {
    common.use_ema = true;
    common.ema_momentum = s.ema;
  }
  if (s.optimizer == "adamw") {
    common.exclude_from_weight_decay = {"bias$", "norm", "beta$", "gamma$"};
    return std::make_unique<xp::AdamW<float>>(
        xp::AdamW<float>::Options{.learning_rate = rate,
                                  .beta_1 = s.beta_1,
                                  .beta_2 = s.beta_2,
                                  .epsilon = s.epsilon,
                                  .weight_decay = s.weight_decay},
        common);
  }
  return std::make_unique<xp::Adam<float>>(
      xp::Adam<float>::Options{
          .learning_rate = rate, .beta_1 = s.beta_1, .beta_2 = s.beta_2, .epsilon = s.epsilon},
      common);
}

}  // namespace seq2seq
