#include <xtape/run/callbacks.hpp>

namespace xtape {

namespace {

template <class F, class... Args>
void call(const F& function, Args&&... args) {
  if (function) function(std::forward<Args>(args)...);
}

}  // namespace

void LambdaCallback::on_train_begin(Run& run) { call(options_.on_train_begin, run); }

void LambdaCallback::on_train_end(Run& run, const Logs& logs) {
  call(options_.on_train_end, run, logs);
}

void LambdaCallback::on_epoch_begin(Run& run, std::int64_t epoch) {
  call(options_.on_epoch_begin, run, epoch);
}

void LambdaCallback::on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) {
  call(options_.on_epoch_end, run, epoch, logs);
}

void LambdaCallback::on_train_batch_begin(Run& run, std::int64_t batch) {
  call(options_.on_train_batch_begin, run, batch);
}

void LambdaCallback::on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) {
  call(options_.on_train_batch_end, run, batch, logs);
}

void LambdaCallback::on_test_begin(Run& run) { call(options_.on_test_begin, run); }

void LambdaCallback::on_test_end(Run& run, const Logs& logs) {
  call(options_.on_test_end, run, logs);
}

void LambdaCallback::on_test_batch_begin(Run& run, std::int64_t batch) {
  call(options_.on_test_batch_begin, run, batch);
}

void LambdaCallback::on_test_batch_end(Run& run, std::int64_t batch, const Logs& logs) {
  call(options_.on_test_batch_end, run, batch, logs);
}

}  // namespace xtape
