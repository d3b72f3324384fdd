#pragma once
/// \file
/// EventWriter: numbers, texts, histograms and pictures of a run, as files that TensorBoard shows.
///
///     EventWriter events("logs/run1");
///     events.scalar("loss", loss, step);
///
/// and `tensorboard --logdir logs`.

#include <xtape/array/array.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace xtape {

struct EventWriterOptions {
  /// For a run that goes on: what earlier files of the folder say of this step and later ones is no
  /// longer shown. One more than the last step that was done.
  std::optional<std::int64_t> purge_step = {};
};

/// Writes one event file of a folder. Each call writes its whole record to the system: a program that
/// is killed loses nothing but the record it is writing, and readers ignore what is torn.
///
/// Tags name curves; a slash groups them ("loss/train"). ValueError for a tag that is empty or not
/// UTF-8; IoError, after which the file is as before the call.
class EventWriter {
 public:
  /// Makes the folder if it is not there, and the file events.out.tfevents.<unix time>.<host> in it
  /// (with a number behind where that exists). IoError.
  explicit EventWriter(const std::string& folder, EventWriterOptions options = {});
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  /// A point of a curve; TensorBoard keeps it as a float.
  void scalar(const std::string& tag, double value, std::int64_t step);
  /// A text, shown as Markdown. ValueError when it is not UTF-8.
  void text(const std::string& tag, std::string_view text, std::int64_t step);
  /// How the finite elements are distributed, in 30 buckets of equal width; others are left out.
  template <class T>
  void histogram(const std::string& tag, const Array<T>& values, std::int64_t step);
  /// A picture: the bytes of a PNG file. ValueError when they do not begin as one.
  void image(const std::string& tag, std::span<const std::byte> png, std::int64_t step);

  /// Waits until all is on the disk, so that a power failure loses nothing either. IoError.
  void flush();

  /// The file.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  void write_event(const std::string& fields);
  void write_value(const std::string& tag, const std::string& fields, std::int64_t step);
  [[noreturn]] void fail(const char* what, int code) const;

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;  // of the records that are whole
};

}  // namespace xtape
