#include "client/cli/lint_directory.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace syzygy::cli {
namespace {

constexpr std::string_view kTwins = "MIGRATIONS_TWO_OF_ONE_NUMBER";

std::string value_of(const Error& error, const std::string& key) {
  const auto found = error.metadata.find(key);
  return found != error.metadata.end() ? found->second : std::string();
}

// The file whose absence would leave a directory that can be read; empty: there is none.
std::string culprit(const Error& error) {
  if (error.reason == kTwins) return value_of(error, "other");
  const bool of_a_file = error.reason == "MIGRATIONS_BAD_NAME" || error.reason == "MIGRATIONS_BAD_MARKER" ||
                         error.reason == "MIGRATIONS_BAD_TEXT" || error.reason == "MIGRATIONS_FORMAT" ||
                         error.reason == "MIGRATIONS_TOO_LARGE";
  return of_a_file ? value_of(error, "path") : std::string();
}

}  // namespace

Result<LintedDirectory> read_what_can_be_read(const std::string& directory, SourceOptions options) {
  LintedDirectory read;
  std::set<std::string> numbers;          // that two migrations have
  std::set<std::string> firsts, seconds;  // their files
  const std::size_t refused_max = 200;    // each turn reads the directory once more
  while (true) {
    auto migrations = read_directory(directory, options);
    if (migrations) {
      read.migrations = std::move(*migrations);
      break;
    }
    const Error& error = migrations.error();
    const std::string path = culprit(error);
    if (path.empty() || read.refused.size() >= refused_max || !options.leave_out.insert(path).second) {
      return std::unexpected(read.refused.empty() ? error : read.refused.front());
    }
    if (error.reason == kTwins) {
      firsts.insert(value_of(error, "path"));
      seconds.insert(path);
      if (!numbers.insert(value_of(error, "id")).second) continue;  // golang-migrate's down files are twins as well
    }
    read.refused.push_back(error);
  }
  // Those that stood aside, one of each number at a time; they stand behind the first.
  while (!seconds.empty()) {
    std::erase_if(options.leave_out, [&](const std::string& path) { return seconds.contains(path); });
    options.leave_out.insert(firsts.begin(), firsts.end());
    seconds.clear();
    auto others = read_directory(directory, options);
    for (; !others && others.error().reason == kTwins; others = read_directory(directory, options)) {
      const std::string path = culprit(others.error());
      if (!options.leave_out.insert(path).second) break;
      firsts.insert(value_of(others.error(), "path"));
      seconds.insert(path);
    }
    if (!others) break;
    for (Migration& other : *others) {
      if (!numbers.contains(other.id.value)) continue;
      firsts.insert(other.up.path);
      const auto after = std::ranges::upper_bound(
          read.migrations, other.id.value, [](const auto& a, const auto& b) { return compare_ids(a, b) < 0; },
          [](const Migration& migration) { return migration.id.value; });
      read.migrations.insert(after, std::move(other));
    }
  }
  return read;
}

}  // namespace syzygy::cli
