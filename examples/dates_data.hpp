#pragma once
// The task of dates.cpp: dates in twelve usual formats, and in ISO 8601.

#include <xtape/xtape.hpp>

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace dates {

/// A source text, its ISO form, and the field ('y', 'm', 'd' or ' ') of each source character.
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

/// Returns the date in one of the twelve formats.
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

/// Examples divided by date: training sees no format of a test date.
struct Data {
  std::vector<Example> train, validation, test;
};

/// Makes `count` training examples, 200 and 1000 others. Dates in `held_out` (ISO) are not trained on.
inline Data make_data(std::uint64_t seed, std::size_t count,
                      const std::set<std::string>& held_out) {
  Data data;
  std::vector<Date> rest;
  xtape::RandomStream formats(seed, xtape::stable_hash("test examples"));
  for (const Date& date : shuffled_dates(seed)) {
    const int format = static_cast<int>(formats.below(kFormats));
    if (data.test.size() < 1000) {
      data.test.push_back(write(date, format));
    } else if (data.validation.size() < 200) {
      data.validation.push_back(write(date, format));
    } else if (held_out.count(iso(date)) == 0) {
      rest.push_back(date);
    }
  }
  if (rest.empty()) {
    throw xtape::ValueError(
        "--test: no date is left to learn from: the file has all dates, expected "
        "some; give a smaller file");
  }
  xtape::RandomStream draws(seed, xtape::stable_hash("training examples"));
  while (data.train.size() < count) {
    const Date date = rest[draws.below(rest.size())];
    data.train.push_back(write(date, static_cast<int>(draws.below(kFormats))));
  }
  return data;
}

/// Reads pairs source<TAB>target from a file (.gz too).
inline std::vector<Example> read_pairs(const std::string& path) {
  std::vector<Example> pairs;
  for (const auto& row : xtape::read_tsv(path, {.columns = 2}))
    pairs.push_back({row[0], row[1], ""});
  return pairs;
}

}  // namespace dates
