#pragma once
// The task of dates.cpp: dates as people write them, in twelve formats, and as ISO 8601 has them.

#include <xtape/xtape.hpp>

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace dates {

/// A source text, its ISO form, and which field ('y', 'm', 'd' or ' ') each source character shows.
struct Example {
  std::string source;
  std::string target;
  std::string fields;
};

struct Date {
  int year, month, day;
};

inline constexpr std::array<const char*, 12> kMonths = {
    "january", "february", "march",     "april",   "may",      "june",
    "july",    "august",   "september", "october", "november", "december"};
inline constexpr std::array<const char*, 7> kWeekdays = {
    "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};
inline constexpr int kFormats = 12;

inline bool leap(int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }
inline int days_in(int year, int month) {
  constexpr std::array<int, 12> days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && leap(year) ? 29 : days[static_cast<std::size_t>(month - 1)];
}
/// 0 = Sunday (Sakamoto's method).
inline int weekday(Date d) {
  constexpr std::array<int, 12> shift = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
  const int y = d.month < 3 ? d.year - 1 : d.year;
  return (y + y / 4 - y / 100 + y / 400 + shift[static_cast<std::size_t>(d.month - 1)] + d.day) % 7;
}

inline std::string padded(int value, int width) {
  const std::string digits = std::to_string(value);
  return std::string(static_cast<std::size_t>(width) -
                         std::min<std::size_t>(digits.size(), static_cast<std::size_t>(width)),
                     '0') +
         digits;
}
inline std::string iso(Date d) {
  return padded(d.year, 4) + "-" + padded(d.month, 2) + "-" + padded(d.day, 2);
}

/// The date in one of the twelve formats.
inline Example write(Date date, int format) {
  Example e;
  e.target = iso(date);
  const auto add = [&e](const std::string& text, char field) {
    e.source += text;
    e.fields += std::string(text.size(), field);
  };
  const std::string name = kMonths[static_cast<std::size_t>(date.month - 1)];
  const std::string short_name = name.substr(0, 3);
  const std::string month = std::to_string(date.month);
  const std::string day = std::to_string(date.day);
  const std::string year = std::to_string(date.year);
  const std::string short_year = padded(date.year % 100, 2);
  const std::string day_name = kWeekdays[static_cast<std::size_t>(weekday(date))];
  const int units = date.day % 10;
  const bool teen = date.day / 10 == 1;
  const std::string ordinal = teen         ? "th"
                              : units == 1 ? "st"
                              : units == 2 ? "nd"
                              : units == 3 ? "rd"
                                           : "th";
  switch (format) {
    case 0: add(day, 'd'), add(" ", ' '), add(name, 'm'), add(" ", ' '), add(year, 'y'); break;
    case 1:
      add(day, 'd'), add(" ", ' '), add(short_name, 'm'), add(" ", ' '), add(year, 'y');
      break;
    case 2: add(name, 'm'), add(" ", ' '), add(day, 'd'), add(", ", ' '), add(year, 'y'); break;
    case 3:
      add(short_name, 'm'), add(" ", ' '), add(padded(date.day, 2), 'd'), add(" ", ' ');
      add(short_year, 'y');
      break;
    case 4:
      add(padded(date.month, 2), 'm'), add("/", ' '), add(padded(date.day, 2), 'd'), add("/", ' ');
      add(year, 'y');
      break;
    case 5:
      add(month, 'm'), add("/", ' '), add(day, 'd'), add("/", ' '), add(short_year, 'y');
      break;
    case 6:
      add(padded(date.day, 2), 'd'), add(".", ' '), add(padded(date.month, 2), 'm'), add(".", ' ');
      add(year, 'y');
      break;
    case 7:
      add(day, 'd'), add(".", ' '), add(month, 'm'), add(".", ' '), add(short_year, 'y');
      break;
    case 8: add(year, 'y'), add(padded(date.month, 2), 'm'), add(padded(date.day, 2), 'd'); break;
    case 9:
      add(day_name + ", ", ' '), add(name, 'm'), add(" ", ' '), add(day + ordinal, 'd');
      add(" ", ' '), add(year, 'y');
      break;
    case 10:
      add("the ", ' '), add(day + ordinal, 'd'), add(" of ", ' '), add(name, 'm'), add(" ", ' ');
      add(year, 'y');
      break;
    default:
      add(day_name + " ", ' '), add(day, 'd'), add(" ", ' '), add(name, 'm'), add(" ", ' ');
      add(year, 'y');
  }
  return e;
}

/// All dates of 1950-2049 in random order.
inline std::vector<Date> shuffled_dates(std::uint64_t seed) {
  std::vector<Date> all;
  for (int y = 1950; y < 2050; ++y) {
    for (int m = 1; m <= 12; ++m) {
      for (int d = 1; d <= days_in(y, m); ++d) all.push_back({y, m, d});
    }
  }
  xtape::RandomStream stream(seed, xtape::stable_hash("dates"));
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[stream.below(i)]);
  return all;
}

/// Characters as numbers. 0 is padding, 1 the start and 2 the end of a target.
class Characters {
 public:
  static constexpr std::int64_t kPad = 0, kStart = 1, kEnd = 2;
  static constexpr int kCount = 3 + 41;

  static std::int64_t id(char c) {
    const std::size_t at = alphabet().find(c);
    if (at == std::string::npos) {
      throw xtape::ValueError(std::string("unknown character: '") + c + "', expected one of '" +
                              alphabet() + "'");
    }
    return static_cast<std::int64_t>(at) + 3;
  }
  static char character(std::int64_t id) {
    return id < 3 ? '?' : alphabet()[static_cast<std::size_t>(id - 3)];
  }

 private:
  static const std::string& alphabet() {
    static const std::string letters = " ,-./abcdefghijklmnopqrstuvwxyz0123456789";
    return letters;
  }
};

/// Pairs "source<TAB>target" from a text file, which may be compressed with gzip. Errors as
/// read_tsv; ValueError for a character that is not known.
inline std::vector<Example> read_pairs(const std::string& path) {
  std::vector<Example> pairs;
  for (const auto& row : xtape::read_tsv(path, {.columns = 2})) {
    pairs.push_back({row[0], row[1], ""});
    try {
      for (const char c : row[0] + row[1]) static_cast<void>(Characters::id(c));
    } catch (const xtape::ValueError& e) {
      throw xtape::ValueError(path + ": line " + std::to_string(pairs.size()) + ": " + e.what());
    }
  }
  return pairs;
}

/// A batch as arrays: padded sources, where they are characters, what the decoder is fed (the target
/// behind a start symbol) and what it must say (the target before an end symbol).
struct Batch {
  xtape::Array<std::int64_t> source, input, output;
  xtape::Array<bool> source_mask;
};

inline Batch make_batch(const std::vector<Example>& examples, std::size_t begin, std::size_t end) {
  std::size_t longest = 0;
  std::size_t target = 0;
  for (std::size_t i = begin; i < end; ++i) {
    longest = std::max(longest, examples[i].source.size());
    target = std::max(target, examples[i].target.size());
  }
  const std::size_t n = end - begin;
  Batch b{xtape::Array<std::int64_t>(xtape::Shape{n, longest}, Characters::kPad),
          xtape::Array<std::int64_t>(xtape::Shape{n, target + 1}, Characters::kPad),
          xtape::Array<std::int64_t>(xtape::Shape{n, target + 1}, Characters::kPad),
          xtape::Array<bool>(xtape::Shape{n, longest}, false)};
  for (std::size_t r = 0; r < n; ++r) {
    const Example& e = examples[begin + r];
    for (std::size_t i = 0; i < e.source.size(); ++i) {
      b.source(r, i) = Characters::id(e.source[i]);
      b.source_mask(r, i) = true;
    }
    b.input(r, 0) = Characters::kStart;
    for (std::size_t i = 0; i < e.target.size(); ++i) {
      b.input(r, i + 1) = b.output(r, i) = Characters::id(e.target[i]);
    }
    b.output(r, e.target.size()) = Characters::kEnd;
  }
  return b;
}

}  // namespace dates
