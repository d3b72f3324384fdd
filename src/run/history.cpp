#include <xtape/run/history.hpp>
#include <xtape/run/progress_bar.hpp>

#include "run/state.hpp"

#include <algorithm>
#include <charconv>
#include <ostream>

namespace xtape {

using detail::fail;

namespace {

constexpr const char* kEpochs = "history/epochs";
constexpr const char* kNames = "history/names";
constexpr const char* kColumn = "history/columns/";

/// The numbers with blanks between, in digits that read back bit by bit.
template <class V> std::string to_text(const std::vector<V>& values) {
  std::string out;
  for (const V value : values) {
    char digits[32];
    const auto result = std::to_chars(digits, digits + sizeof digits, value);
    if (!out.empty()) out += ' ';
    out.append(digits, result.ptr);
  }
  return out;
}

template <class V> std::vector<V> from_text(const std::string& key, const std::string& text) {
  std::vector<V> values;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    V value{};
    const auto result = std::from_chars(p, end, value);
    if (result.ec != std::errc() || (result.ptr != end && *result.ptr != ' ')) {
      fail<ValueError>("History", "no list of numbers: '", key, "' is '", text.substr(0, 80),
                       "', expected what save() wrote");
    }
    values.push_back(value);
    p = result.ptr == end ? end : result.ptr + 1;
  }
  return values;
}

}  // namespace

Logs::Logs(std::initializer_list<Entry> entries) {
  for (const Entry& entry : entries) set(entry.first, entry.second);
}

const double* Logs::find(std::string_view name) const noexcept {
  for (const Entry& entry : entries_) {
    if (entry.first == name) return &entry.second;
  }
  return nullptr;
}

double Logs::at(std::string_view name) const {
  if (const double* value = find(name)) return *value;
  fail<ValueError>("Logs", "no such number: name is '", name, "', expected one of: ", names());
}

void Logs::set(std::string_view name, double value) {
  for (Entry& entry : entries_) {
    if (entry.first == name) {
      entry.second = value;
      return;
    }
  }
  entries_.emplace_back(name, value);
}

std::string Logs::names() const {
  std::string out;
  for (const Entry& entry : entries_) out += (out.empty() ? "" : ",") + entry.first;
  return out;
}

bool History::contains(std::string_view name) const noexcept {
  return std::any_of(columns_.begin(), columns_.end(),
                     [&](const Column& c) { return c.first == name; });
}

const std::vector<double>& History::operator[](std::string_view name) const {
  std::string names;
  for (const Column& column : columns_) {
    if (column.first == name) return column.second;
    names += (names.empty() ? "" : ",") + column.first;
  }
  fail<ValueError>("History", "no such list: name is '", name, "', expected one of: ", names);
}

void History::add(std::int64_t epoch, const Logs& logs) {
  epochs_.push_back(epoch);
  for (const auto& [name, value] : logs) {
    const auto& key = name;
    auto it = std::find_if(columns_.begin(), columns_.end(),
                           [&](const Column& c) { return c.first == key; });
    if (it == columns_.end()) it = columns_.insert(it, Column(key, {}));
    it->second.push_back(value);
  }
}

void History::clear() { *this = History(); }

void History::save(TrainingProgress& progress) const {
  progress.texts[kEpochs] = to_text(epochs_);
  std::string names;
  for (const Column& column : columns_) {
    names += column.first + '\n';
    progress.texts[kColumn + column.first] = to_text(column.second);
  }
  progress.texts[kNames] = names;
}

void History::load(const TrainingProgress& progress) {
  History loaded;
  if (const std::string* text = detail::text_in(progress, kEpochs)) {
    loaded.epochs_ = from_text<std::int64_t>(kEpochs, *text);
  }
  if (const std::string* names = detail::text_in(progress, kNames)) {
    for (const std::string& name : detail::lines_in(*names)) {
      const std::string* text = detail::text_in(progress, kColumn + name);
      if (text == nullptr) {
        fail<ValueError>("History", "list missing: '", kColumn, name,
                         "' is not there, expected what save() wrote");
      }
      loaded.columns_.emplace_back(name, from_text<double>(kColumn + name, *text));
    }
  }
  *this = std::move(loaded);
}

std::ostream& operator<<(std::ostream& out, const Logs& logs) {
  const char* between = "";
  for (const auto& [name, value] : logs) {
    out << between << name << ": " << format_number(value);
    between = " - ";
  }
  return out;
}

}  // namespace xtape
