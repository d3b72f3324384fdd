#pragma once
// The options of a program as a resumed training compares them.

#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

/// Returns the values of all options by name, but for those in `free`. Equal numbers have equal texts.
inline std::map<std::string, std::string> configuration_of(const CLI::App& app,
                                                           const std::set<std::string>& free) {
  std::map<std::string, std::string> all;
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (name == "--help" || free.count(name) != 0) continue;
    std::string value = option->get_default_str();
    if (!option->results().empty()) value = CLI::detail::join(option->results(), ",");
    if (option->get_expected_min() == 0) {  // a flag
      value = !value.empty() && CLI::detail::to_flag_value(value) > 0 ? "set" : "unset";
    }
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error == std::errc() && end == value.data() + value.size() &&
        value.find_first_of(".eE") != std::string::npos) {
      char digits[32];
      value.assign(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    }
    all[name] = value;
  }
  return all;
}

/// Returns the sentence of --help about options that may change.
inline std::string free_options_text(const std::set<std::string>& free,
                                     const std::string& further) {
  std::string names;
  for (const std::string& name : free) names += (names.empty() ? "" : ", ") + name;
  return "With --resume, all options and the contents of the files must be as before. These may "
         "change: " +
         names + further + ".";
}

/// Checks that a recipe is a regular file of at most 1 MiB: a pipe could be waited for without an end.
inline CLI::Validator recipe() {
  return CLI::Validator(
      [](const std::string& path) -> std::string {
        constexpr std::uintmax_t kMost = 1U << 20U;
        std::error_code error;
        if (!std::filesystem::exists(path, error)) {
          return path + ": no such file, expected a recipe; check the path";
        }
        if (!std::filesystem::is_regular_file(path, error)) {
          return path + ": not a regular file, expected a recipe; name the file itself";
        }
        const std::uintmax_t size = std::filesystem::file_size(path, error);
        if (size <= kMost) return "";
        return path + ": too large: it has " + std::to_string(size) +
               " bytes, expected a recipe of at most " + std::to_string(kMost);
      },
      "");
}
