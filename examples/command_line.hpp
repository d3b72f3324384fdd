#pragma once
// Options of programs: numbers that mean what they say, and messages about the rest.

#include "console.hpp"

#include <CLI/CLI.hpp>
#include <xtape/products/products.hpp>
#include <xtape/version.hpp>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

namespace console {

/// Checks for a whole number in decimal digits, without a zero in front: CLI11 takes 010 for 8, and -1 for 2^64 - 1.
class Whole : public CLI::Validator {
 public:
  explicit Whole(std::uint64_t least,
                 std::uint64_t most = std::numeric_limits<std::uint64_t>::max())
      : CLI::Validator("INT in [" + std::to_string(least) + " - " + std::to_string(most) + "]") {
    func_ = [least, most](const std::string& text) {
      std::uint64_t value = 0;
      const char* const last = text.data() + text.size();
      const auto [end, error] = std::from_chars(text.data(), last, value);
      const bool octal = text.size() > 1 && text[0] == '0';
      if (error != std::errc() || end != last || octal || value < least || value > most) {
        return "'" + text + "' is out of range, expected a whole number from " +
               std::to_string(least) + " to " + std::to_string(most);
      }
      return std::string();
    };
  }
};

/// Checks for a finite number from `least` to `most`; `above` excludes `least`.
class Real : public CLI::Validator {
 public:
  explicit Real(double least, double most = std::numeric_limits<double>::max(), bool above = false)
      : CLI::Validator("FLOAT") {
    std::ostringstream range;
    range << (above ? "above " : "at least ") << least;
    if (most != std::numeric_limits<double>::max()) range << " and at most " << most;
    description(range.str());
    func_ = [=, expected = range.str()](const std::string& text) {
      double value = 0;
      const char* const last = text.data() + text.size();
      const auto [end, error] = std::from_chars(text.data(), last, value);
      if (error != std::errc() || end != last || !std::isfinite(value) || value < least ||
          value > most || (above && value == least)) {
        return "'" + text + "' is out of range, expected a number " + expected;
      }
      return std::string();
    };
  }
};

/// Checks for a text that is not empty.
inline CLI::Validator not_empty() {
  return CLI::Validator(
      [](const std::string& text) {
        return text.empty() ? std::string("it is empty, expected at least one character") : "";
      },
      "");
}

/// Adds what every program has.
inline void prepare(CLI::App& app) {
  app.require_subcommand(1);
  app.allow_config_extras(CLI::config_extras_mode::error);  // for misspelt options
  app.fallthrough();
  app.set_version_flag("--version", app.get_name() + " " + xtape::kVersion);
}

/// Adds the option --products, which sets the numbers that products multiply.
inline void add_products(CLI::App& app) {
  app.add_option_function<std::string>(
         "--products", [](const std::string& name) { xtape::set_products(std::string_view(name)); },
         "operands of products: float32, or rounded to bfloat16; default: float32")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
}

/// Reads the command line. Returns the exit status if the program ends with that: after --help, or a mistake.
inline std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    int status = app.exit(e, out, err);
    if (!out.str().empty()) need_output();
    print(out.str());
    std::string said = err.str();
    // The library names neither file nor remedy.
    if (e.get_name() == "ConfigError" || e.get_name() == "FileError") {
      const CLI::Option* const recipe = app.get_config_ptr();
      const std::string file = recipe == nullptr || recipe->empty() ? "" : recipe->results().back();
      said =
          file + ": not a recipe: " + e.what() + ", expected lines as 'width = 64' below [train]";
    }
    // A missing option or command may be a misspelt one.
    const bool missing = e.get_name() == "RequiredError";
    const std::vector<std::string> words = app.remaining(true);
    if (missing && !words.empty() && !app.get_subcommands().empty()) {
      said = "no such option: '" + words.front() + "'; " + said;
    } else if (missing && !words.empty()) {
      said = "no such command: it is '" + words.front() + "', expected one of:";
      for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        said += " " + command->get_name();
      }
      said += "; '" + app.get_name() + " --help' tells what they do";
    }
    while (!said.empty() && said.back() == '\n') said.pop_back();
    if (!said.empty()) complain(app.get_name(), said);
    return status;
  }
}

}  // namespace console
