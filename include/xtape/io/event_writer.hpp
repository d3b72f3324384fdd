#pragma once
/// \file
/// EventWriter: numbers, texts, histograms and pictures of a run, in files for TensorBoard.
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

/// Options of EventWriter.
struct EventWriterOptions {
  /// For a resumed run: TensorBoard hides the records of earlier files from this step on. Use one more
  /// than the last completed step.
  std::optional<std::int64_t> purge_step = {};
};

/// Writes one event file of a folder. Each call writes its whole record to the system: a killed program
/// loses only the record it is writing, and readers ignore an incomplete one.
///
/// Tags name curves; a slash groups them ("loss/train"). ValueError for a tag that is empty or not
/// UTF-8; IoError, after which the file is as before the call.
class EventWriter {
 public:
  /// Makes a missing folder, and the file events.out.tfevents.TIME.HOST in it (with a number
  /// appended when that exists). IoError.
  explicit EventWriter(const std::string& folder, EventWriterOptions options = {});
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  /// A point of a curve; TensorBoard keeps it as a float.
  void scalar(const std::string& tag, double value, std::int64_t step);
  /// A text, shown as Markdown. ValueError when it is not UTF-8.
  void text(const std::string& tag, std::string_view text, std::int64_t step);
  /// A histogram of the finite elements, in 30 buckets of equal width.
  template <class T>
  void histogram(const std::string& tag, const Array<T>& values, std::int64_t step);
  /// A picture: the bytes of a PNG file. ValueError for another beginning.
  void image(const std::string& tag, std::span<const std::byte> png, std::int64_t step);

  /// Waits until the records are on the disk, safe from a power failure. IoError.
  void flush();

  /// The file.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  void write_event(const std::string& fields);
  void write_value(const std::string& tag, const std::string& fields, std::int64_t step);
  [[noreturn]] void fail(const char* what, int code) const;

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;  // of the complete records
};

}  // namespace xtape
