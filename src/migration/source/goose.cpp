// goose's directories: 00004_name.sql with `-- +goose Up`, `-- +goose Down`, `StatementBegin/End`, `NO TRANSACTION`.
#include <algorithm>

#include "base/name.h"
#include "migration/source/formats.h"

namespace syzygy {
namespace {

// What stands behind "-- +goose", in small letters and with single spaces; nullopt: the line is no directive.
std::optional<std::string> goose_directive(std::string_view line) {
  line = trimmed(line);
  if (!line.starts_with("--")) return std::nullopt;
  line = trimmed(line.substr(2));
  if (!line.starts_with("+goose")) return std::nullopt;
  std::string words;
  for (const char c : lower_case(trimmed(line.substr(6)))) {
    const bool space = c == ' ' || c == '\t';
    if (!space) words.push_back(c);
    if (space && !words.ends_with(' ')) words.push_back(' ');
  }
  return words;
}

bool recognises_goose(const Listing& listing) {
  return std::ranges::any_of(listing.files, [](const SourceFile& file) {
    if (!file.text.contains("+goose")) return false;
    return std::ranges::any_of(lines_of(file.text),
                               [](const Line& line) { return goose_directive(line.text).has_value(); });
  });
}

class SectionReader {
 public:
  explicit SectionReader(const SourceFile& file) : file_(file) {
    sections_.tool = "goose";
    sections_.down_directive = "-- +goose Down";
  }

  Result<Sections> read() {
    std::size_t stray = 0;  // the first line of a statement that no section holds
    for (const Line& line : lines_of(file_.text)) {
      const auto found = goose_directive(line.text);
      if (found) {
        if (auto done = apply(*found, line); !done) return std::unexpected(done.error());
      } else if (up_line_ == 0 && stray == 0 && !trimmed(line.text).empty() && !trimmed(line.text).starts_with("--")) {
        stray = line.number;
      }
    }
    if (up_line_ == 0) {
      return bad(1,
                 "there is no -- +goose Up in this file, and the directory is goose's; write it above the statements, "
                 "or move the file elsewhere");
    }
    if (stray != 0) return bad(stray, "a statement stands before -- +goose Up; put it below, or remove it");
    if (begin_line_ != 0) {
      return bad(begin_line_, "-- +goose StatementBegin is never followed by -- +goose StatementEnd; add it");
    }
    if (!sections_.down_start) sections_.up_end = file_.text.size();
    return sections_;
  }

 private:
  [[nodiscard]] std::unexpected<Error> bad(std::size_t line, const std::string& why) const {
    return bad_line("MIGRATIONS_BAD_MARKER", file_, line, why);
  }

  Result<void> apply(const std::string& found, const Line& line) {
    if (found == "up") {
      if (up_line_ != 0) {
        return bad(line.number, "a second -- +goose Up (the first is in line " + std::to_string(up_line_) + ")");
      }
      up_line_ = line.number;
      return {};
    }
    if (found == "no transaction") {  // holds for the whole file
      sections_.up_no_transaction = sections_.down_no_transaction = true;
      return {};
    }
    if (found.starts_with("envsub")) {
      if (found.ends_with(" off")) return {};
      return bad(line.number,
                 "-- +goose ENVSUB ON fills environment variables into the SQL, so that no two machines need apply the "
                 "same; syzygy does not: write the values, or use current_setting()");
    }
    if (up_line_ == 0) return bad(line.number, "-- +goose " + printable(found) + " stands before -- +goose Up");
    if (found == "down") {
      if (sections_.down_start) return bad(line.number, "a second -- +goose Down");
      if (begin_line_ != 0) {
        return bad(begin_line_,
                   "-- +goose StatementBegin is not followed by -- +goose StatementEnd before -- +goose Down");
      }
      sections_.up_end = line.offset;
      sections_.down_start = std::min(line.after(), file_.text.size());
      sections_.down_line = line.number + 1;
      return {};
    }
    if (found == "statementbegin") {
      if (begin_line_ != 0)
        return bad(line.number, "-- +goose StatementBegin inside of the one in line " + std::to_string(begin_line_));
      begin_line_ = line.number;
      return {};
    }
    if (found == "statementend") {
      if (begin_line_ == 0) return bad(line.number, "-- +goose StatementEnd without a -- +goose StatementBegin");
      begin_line_ = 0;
      return {};
    }
    return bad(line.number, "\"+goose " + printable(found) +
                                "\" is no directive of goose that is known; known are Up, Down, StatementBegin, "
                                "StatementEnd and NO TRANSACTION");
  }

  const SourceFile& file_;
  Sections sections_;
  std::size_t up_line_ = 0;
  std::size_t begin_line_ = 0;  // of the StatementBegin that is open
};

Result<std::vector<Migration>> read_goose(const Listing& listing, Dialect dialect) {
  for (const auto& [name, unused] : listing.others) {
    if (!name.ends_with(".go") || name.ends_with("_test.go")) continue;
    if (name.front() < '0' || name.front() > '9') continue;
    return bad_name({name, listing.path / name, {}, {}},
                    "a migration written in Go, which only a program that contains it can run; write it as SQL, or "
                    "run your program under syzygy exec");
  }
  std::vector<Migration> migrations;
  for (const SourceFile& file : listing.files) {
    auto named = numbered_name(std::string_view(file.name).substr(0, file.name.size() - 4), file);
    if (!named) return std::unexpected(named.error());
    auto sections = SectionReader(file).read();
    if (!sections) return std::unexpected(sections.error());
    auto migration = read_sections(file, dialect, *named, *sections);
    if (!migration) return std::unexpected(migration.error());
    migrations.push_back(std::move(*migration));
  }
  return migrations;
}

}  // namespace

const Format kGoose{"goose", recognises_goose, read_goose};

}  // namespace syzygy
