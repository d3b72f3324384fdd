// Optimizers, schedules, losses and metrics, each in a line or two.
#include <cstdio>
#include <xtape/xtape.hpp>

namespace xp = xtape;
namespace schedules = xp::schedules;

namespace {

// Trains a small network on four points with any optimizer; returns the last loss.
float fit(xp::Optimizer<float>& optimizer) {
  xp::Array<float> x(xp::Shape{4, 1});
  xp::Array<float> y(xp::Shape{4, 1});
  for (std::size_t i = 0; i < 4; ++i) {
    x(i, 0) = static_cast<float>(i) / 4.0F;
    y(i, 0) = 1.0F - 2.0F * x(i, 0);
  }
  xp::Params<float> params({.seed = 3});
  const xp::Dense<float> hidden(params.scope() / "hidden", {.units = 8, .activation = "tanh"});
  const xp::Dense<float> output(params.scope() / "output", {.units = 1});
  xp::Mean losses("loss");
  for (int step = 0; step < 200; ++step) {
    xp::Tape<float> tape;
    const auto loss = xp::mean_squared_error(output(hidden(tape.input(x))), y);
    optimizer.step(params, tape.backward(loss));
    losses.reset();
    losses.update(loss.item());
  }
  optimizer.finalize(params);  // sets the averages, if any
  return static_cast<float>(losses.result());
}

bool optimizers() {
  xp::SGD<float> sgd({.learning_rate = 0.1, .momentum = 0.9, .nesterov = true});
  xp::Adam<float> adam({.learning_rate = 0.1, .amsgrad = true}, {.global_clipnorm = 1.0});
  xp::AdamW<float> adamw({.learning_rate = 0.1, .weight_decay = 1e-4},
                         {.exclude_from_weight_decay = {"bias$"}});
  xp::Adamax<float> adamax({.learning_rate = 0.1});
  xp::Nadam<float> nadam({.learning_rate = 0.1});
  xp::Lamb<float> lamb({.learning_rate = 0.05}, {.clipvalue = 10.0});
  xp::Lion<float> lion({.learning_rate = schedules::ExponentialDecay{
                            .initial_learning_rate = 0.1, .decay_steps = 20, .decay_rate = 0.5}});
  xp::Adagrad<float> adagrad({.learning_rate = 0.5});
  xp::Adadelta<float> adadelta({.learning_rate = 50.0}, {.clipnorm = 5.0});
  xp::RMSprop<float> rmsprop({.learning_rate = 0.01, .centered = true});
  xp::Adafactor<float> adafactor({.learning_rate = 0.5}, {.gradient_accumulation_steps = 2});
  xp::SGD<float> averaged({.learning_rate = 0.2}, {.use_ema = true, .ema_momentum = 0.9});
  bool good = true;
  for (xp::Optimizer<float>* optimizer : std::initializer_list<xp::Optimizer<float>*>{
           &sgd, &adam, &adamw, &adamax, &nadam, &lamb, &lion, &adagrad, &adadelta, &rmsprop,
           &adafactor, &averaged}) {
    const float loss = fit(*optimizer);
    std::printf("%-10s loss %.5f\n", optimizer->name(), loss);
    good = good && loss < 0.05F;
  }
  return good;
}

// Saves the state of an optimizer as a file of tensors, and loads it.
bool state() {
  xp::Adam<float> adam;
  fit(adam);
  xp::Tensors tensors;
  for (const auto& [name, array] : adam.state().arrays) tensors[name] = xp::to_tensor(array);
  for (const auto& [name, tensor] : tensors) {
    std::printf("%-24s %s\n", name.c_str(), xp::to_string(tensor.shape).c_str());
  }
  xp::Params<float> params;  // its layers come later
  xp::Adam<float> again;
  again.load_state(adam.state(), params);
  return again.iterations() == 200 && tensors.size() == 8;
}

void rates() {
  const std::pair<const char*, xp::Schedule> all[] = {
      {"Constant", schedules::Constant{.learning_rate = 0.1}},
      {"ExponentialDecay",
       schedules::ExponentialDecay{
           .initial_learning_rate = 0.1, .decay_steps = 10, .decay_rate = 0.5}},
      {"InverseTimeDecay",
       schedules::InverseTimeDecay{
           .initial_learning_rate = 0.1, .decay_steps = 10, .decay_rate = 1.0}},
      {"PolynomialDecay",
       schedules::PolynomialDecay{.initial_learning_rate = 0.1, .decay_steps = 20, .power = 2.0}},
      {"PiecewiseConstant",
       schedules::PiecewiseConstantDecay{.boundaries = {5, 10}, .values = {0.1, 0.05, 0.01}}},
      {"CosineDecay", schedules::CosineDecay{.initial_learning_rate = 0.0,
                                             .decay_steps = 15,
                                             .warmup_target = 0.1,
                                             .warmup_steps = 5}},
      {"CosineRestarts",
       schedules::CosineDecayRestarts{.initial_learning_rate = 0.1, .first_decay_steps = 5}},
      {"Noam", schedules::Noam{.d_model = 64, .warmup_steps = 10}},
      {"LinearWarmup", schedules::LinearWarmup{.steps = 10, .then = 0.1}},
      {"your own", [](std::int64_t step) { return step < 10 ? 0.1 : 0.01; }}};
  for (const auto& [name, schedule] : all) {
    std::printf("%-18s", name);
    for (const std::int64_t step : {0, 5, 10, 15, 20}) std::printf(" %.5f", schedule(step));
    std::printf("\n");
  }
}

bool losses_and_metrics() {
  // Two sentences of two words; the last word of the second is padding.
  xp::Array<double> logits(xp::Shape{2, 2, 3}, 0.0);
  logits(0, 0, 1) = logits(0, 1, 2) = logits(1, 0, 0) = 4.0;
  xp::Array<std::int64_t> labels(xp::Shape{2, 2}, 1);
  labels(0, 1) = 2;
  labels(1, 1) = -1;
  const xp::Var<double> p(logits);
  const auto loss = xp::sparse_categorical_crossentropy(
      p, labels, {.from_logits = true, .ignore_class = -1, .label_smoothing = 0.1});

  xp::Array<bool> counts(xp::Shape{2, 2}, true);
  counts(1, 1) = false;
  xp::Accuracy accuracy;
  accuracy.update(p, labels, {.mask = counts});
  xp::TopKAccuracy best_two(2);
  best_two.update(p, labels, {.mask = counts});
  xp::BinaryAccuracy binary;
  binary.update(xp::sigmoid(p), xp::Var<double>(logits / 4.0));
  xp::Perplexity perplexity({.from_logits = true, .mask_token_id = -1});
  perplexity.update(p, labels);
  xp::EditDistance errors("phone_error_rate");
  errors.update(std::vector<std::string>{"k", "a", "t"}, {{"k", "ae", "t"}});
  xp::R2Score r2;
  r2.update(p, xp::Var<double>(logits / 4.0));
  xp::MeanAbsoluteError mae;
  mae.update(p, xp::Var<double>(logits / 4.0));
  xp::BLEU bleu({.max_order = 2});
  bleu.update(std::vector<std::string>{"the", "cat", "sat"}, {{"The", "cat", "sat", "down"}});
  std::printf("loss %.4f", loss.item());
  for (const xp::Metric* metric : std::initializer_list<const xp::Metric*>{
           &accuracy, &best_two, &binary, &perplexity, &errors, &mae, &r2, &bleu}) {
    std::printf(", %s %.4f", metric->name().c_str(), metric->result());
  }
  std::printf("\n");
  // Losses as objects, as fit on arrays takes them.
  const xp::losses::SparseCategoricalCrossentropy sparse{
      .from_logits = true, .ignore_class = -1, .label_smoothing = 0.1};
  const xp::losses::CategoricalCrossentropy dense{.from_logits = true};
  const xp::losses::BinaryCrossentropy yes_no{.from_logits = true};
  const xp::Array<double> half = xp::full<double>({2, 2, 3}, 0.5);
  std::printf("of targets: %.4f and %.4f\n", dense(p, half).item(), yes_no(p, half).item());
  return accuracy.result() > 0.6 && bleu.result() > 70 && sparse(p, labels).item() == loss.item();
}

}  // namespace

int main() {
  rates();
  const bool good = optimizers() && state() && losses_and_metrics();
  return good ? 0 : 1;
}
