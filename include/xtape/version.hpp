#pragma once
/// \file
/// The version of these headers. CMakeLists.txt reads it here. A change of the first number breaks programs.

/// The first number of the version.
#define XTAPE_VERSION_MAJOR 0
/// The second number of the version.
#define XTAPE_VERSION_MINOR 2
/// The third number of the version.
#define XTAPE_VERSION_PATCH 0

namespace xtape {

/// "major.minor.patch"
inline constexpr char kVersion[] = "0.2.0";

}  // namespace xtape
