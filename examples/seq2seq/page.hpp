#pragma once
// The files in the folder page, which the build embeds.

#include <array>

namespace seq2seq::page {

struct File {
  const char *path, *type, *text;
};

extern const std::array<File, 3> kFiles;

}  // namespace seq2seq::page
