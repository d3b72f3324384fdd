#include <xtape/run/callbacks.hpp>

#include "base/check.hpp"
#include "io/file.hpp"
#include "run/state.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace xtape {

constexpr const char* kCsvLogger = "CSVLogger";

static std::string quoted(const std::string& text, char separator) {
  if (text.find_first_of(std::string("\"\r\n") + separator) == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

// Each line goes to the system at once.
struct CSVLogger::File {
  File(std::string name, bool keep)
      : path(std::move(name)),
        descriptor(io::above_standard(::open(
            io::checked_path(path).c_str(),  // not blocking: opening a pipe would wait for a reader
            O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND | O_NONBLOCK | (keep ? 0 : O_TRUNC), 0666))) {
    if (descriptor.get() < 0) fail("cannot be opened", errno);
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0) fail("cannot be read", errno);
    if (S_ISFIFO(status.st_mode)) fail("a pipe", 0);
  }
  [[noreturn]] void fail(const char* what, int code) const {
    io::fail_io(path, what, code, "a file to write to; check the folder and its room");
  }
  [[nodiscard]] std::int64_t size() const {
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0) fail("cannot be read", errno);
    return status.st_size;
  }
  void cut(std::int64_t length) const {
    if (::ftruncate(descriptor.get(), length) != 0) fail("cannot be cut", errno);
  }
  void write(const std::string& text) const {
    io::write_all(descriptor.get(), io::bytes_of(text),
                  [this](int code) { fail("cannot be written", code); });
  }

  std::string path;
  io::Descriptor descriptor;
};

CSVLogger::CSVLogger(Options options) : options_(std::move(options)) {
  if (options_.path.empty()) {
    detail::fail<ValueError>(kCsvLogger, "no file: path is '', expected a name as 'training.csv'");
  }
  const char c = options_.separator;
  if (c == '"' || c == '\n' || c == '\r' || c == '\0') {
    detail::fail<ValueError>(kCsvLogger, "separator out of range: separator is letter ",
                             static_cast<int>(c), ", expected neither a quote nor a line end");
  }
}

CSVLogger::~CSVLogger() = default;

void CSVLogger::on_train_begin(Run& run) {
  file_.reset();
  if (!run.lead()) return;
  file_ = std::make_unique<File>(options_.path, options_.append || run.resumed());
  keys_.reset();
  header_ = file_->size() == 0;
}

void CSVLogger::on_epoch_end(Run&, std::int64_t epoch, Logs& logs) {
  if (!file_) return;
  std::string line;
  if (!keys_) {
    std::vector<std::string> keys;
    for (const auto& [name, value] : logs) keys.push_back(name);
    std::sort(keys.begin(), keys.end());
    const bool validated = std::any_of(keys.begin(), keys.end(),
                                       [](const auto& key) { return key.starts_with("val_"); });
    const std::size_t n = keys.size();
    for (std::size_t i = 0; i < n && !validated; ++i) keys.push_back("val_" + keys[i]);
    keys_ = std::move(keys);
    if (header_) {
      line = "epoch";
      for (const auto& key : *keys_) line += options_.separator + quoted(key, options_.separator);
      line += '\n';
    }
  }
  // Numbers stand in the digits of Python's floats, which read back bit by bit.
  line += std::to_string(epoch);
  for (const std::string& key : *keys_) {
    const double* value = logs.find(key);
    line +=
        options_.separator + (value == nullptr ? "NA" : to_string(full<double>(Shape(), *value)));
  }
  file_->write(line + '\n');
}

void CSVLogger::on_train_end(Run&, const Logs&) { file_.reset(); }

void CSVLogger::save(TrainingProgress& progress) const {
  if (!file_) return;
  detail::put_count(progress, "bytes", file_->size());
  if (!keys_) return;
  std::string keys;
  for (const std::string& key : *keys_) keys += key + '\n';
  progress.texts["keys"] = keys;
}

void CSVLogger::load(const TrainingProgress& progress) {
  if (!file_) return;
  const std::int64_t bytes = detail::count_in(progress, kCsvLogger, "bytes");
  keys_.reset();
  if (const std::string* text = detail::text_in(progress, "keys")) {
    keys_ = detail::lines_in(*text);
  }
  // A file that was removed meanwhile begins again with its header.
  if (file_->size() < bytes) {
    header_ = file_->size() == 0;
    if (header_) keys_.reset();
    return;
  }
  file_->cut(bytes);
  header_ = bytes == 0;
}

}  // namespace xtape
