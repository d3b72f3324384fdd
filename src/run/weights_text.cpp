#include "run/weights_text.hpp"

#include "io/views.hpp"

#include <array>

namespace xtape::detail {

constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_text(const Tensors& tensors) {
  io::Views views;
  for (const auto& [name, tensor] : tensors) views.emplace(name, io::view_of(tensor));
  std::string out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  const auto put = [&](io::Bytes bytes) {
    for (const std::byte b : bytes) {
      bits = (bits << 8U) | std::to_integer<std::uint32_t>(b);
      for (held += 8; held >= 6; held -= 6) out += kLetters[(bits >> (held - 6)) & 63U];
    }
  };
  io::write_safetensors_to(put, "weights", views, {});
  if (held > 0) out += kLetters[(bits << (6 - held)) & 63U];
  return out;
}

Tensors from_text(const std::string& text, const std::string& name) {
  std::array<std::uint8_t, 256> values{};
  values.fill(64);
  for (std::size_t i = 0; i < kLetters.size(); ++i) {
    values[static_cast<unsigned char>(kLetters[i])] = static_cast<std::uint8_t>(i);
  }
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint8_t value = values[static_cast<unsigned char>(text[i])];
    if (value == 64) io::Source(name).fail(i, "no base 64, expected the text of weights");
    bits = (bits << 6U) | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes.push_back(static_cast<std::byte>((bits >> held) & 255U));
    }
  }
  return parse_safetensors(bytes, name).tensors;
}

}  // namespace xtape::detail
