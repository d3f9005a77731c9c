#include "migration/rewrite/layout.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "migration/plan/footprint.h"
#include "migration/rewrite/chunks.h"

namespace syzygy {
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";

// --- numbers
// ---------------------------------------------------------------------------------------------------------------

// The number after this one, as wide at least.
std::string next_number(std::string number) {
  for (std::size_t i = number.size(); i-- > 0;) {
    if (number[i] != '9') {
      ++number[i];
      return number;
    }
    number[i] = '0';
  }
  return "1" + number;
}

Footprint footprint_of_text(Dialect dialect, const std::string& text, const std::string& path) {
  const auto statements = split_statements(dialect, text, path);
  if (!statements) return {.opaque = "cannot be read", .names = {}, .uses = {}, .changes = {}};
  std::vector<Meaning> meanings;
  meanings.reserve(statements->size());
  for (const Statement& statement : *statements) meanings.push_back(read_meaning(dialect, statement.text));
  return footprint_of(dialect, *statements, meanings);
}

// May the parts behind the first run after every later migration?
Result<void> check_moved(Dialect dialect, const std::vector<Migration>& migrations, const Migration& migration,
                         const std::vector<SplitPart>& parts) {
  Footprints moved;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    moved.add(i, footprint_of_text(dialect, parts[i].up, migration.up.path));
  }
  for (const Migration* later = &migration + 1; later < migrations.data() + migrations.size(); ++later) {
    const auto tie = moved.find(footprint_of_text(dialect, later->up.text, later->up.path));
    if (!tie) continue;
    return failure(ErrorCode::kFailedPrecondition, "SPLIT_NO_NUMBER",
                   migration.up.path + ": between " + migration.id.value + " and " + (&migration + 1)->id.value +
                       " there is no room for the further parts, and behind all others they would come after " +
                       later->up.path + ", which belongs together with them (" + tie->why +
                       "). Give the later migrations higher numbers, if they were applied nowhere yet, and split again",
                   {{"file", migration.up.path}, {"later", later->up.path}});
  }
  return {};
}

Result<std::vector<std::string>> free_numbers(std::string_view format, Dialect dialect,
                                              const std::vector<Migration>& migrations, const Migration& migration,
                                              const std::vector<SplitPart>& parts) {
  const std::size_t count = parts.size() - 1;
  const Migration* next = nullptr;
  const Migration* last = &migration;
  for (const Migration* one = &migration + 1; one < migrations.data() + migrations.size(); ++one) {
    if (one->repeatable) continue;
    if (next == nullptr) next = one;
    last = one;
  }
  const auto before_next = [&](const std::string& number) {
    return next == nullptr || compare_ids(number, next->id.value) < 0;
  };
  std::vector<std::string> numbers;
  const bool versions = format == "flyway";
  if (versions && next != nullptr) {
    for (std::size_t i = 1; i <= count; ++i) numbers.push_back(migration.id.value + "." + std::to_string(i));
    const bool fits = std::ranges::all_of(numbers, [&](const std::string& number) {
      return before_next(number) && find_migration(migrations, StepId{number}) == nullptr;
    });
    if (fits) return numbers;
    numbers.clear();
  }
  const auto follow = [&](std::string number) {
    const auto tail = number.find_last_not_of("0123456789") + 1;
    for (std::size_t i = 0; i < count; ++i) {
      number = number.substr(0, tail) + next_number(number.substr(tail));
      numbers.push_back(number);
    }
  };
  follow(migration.id.value);
  if (count == 0 || before_next(numbers.back())) return numbers;
  if (auto checked = check_moved(dialect, migrations, migration, parts); !checked) {
    return std::unexpected(checked.error());
  }
  numbers.clear();
  follow(last->id.value);
  return numbers;
}

// --- texts
// -----------------------------------------------------------------------------------------------------------------

std::string stage_marker(const SplitPart& part) {
  return "-- syzygy:stage " + std::string(to_string(part.stage)) + "\n";
}
std::string depends_marker(const Migration& migration, const std::vector<std::string>& earlier) {
  if (!migration.depends) return {};
  std::string ids;
  for (const StepId& id : *migration.depends) ids += " " + id.value;
  for (const std::string& id : earlier) ids += " " + id;
  return "-- syzygy:depends" + (ids.empty() ? " none" : ids) + "\n";
}
constexpr std::string_view kOutside = "-- syzygy:no-transaction\n";

std::string ended(std::string text) {
  if (!text.empty() && !text.ends_with('\n')) text += "\n";
  return text;
}

// goose cuts at semicolons, unless it is told where a statement begins and ends.
std::string with_goose_brackets(Dialect dialect, const std::string& text) {
  const auto statements = split_statements(dialect, text, "");
  if (!statements) return text;
  const Chunks chunks = cut_chunks(dialect, text, *statements);
  std::string bracketed = chunks.header;
  for (std::size_t i = 0; i < statements->size(); ++i) {
    const Chunk& chunk = chunks.statements[i];
    const bool inner = (*statements)[i].text.contains(';');
    bracketed += inner ? chunk.before + "-- +goose StatementBegin\n" + ended(chunk.body + chunk.after) +
                             "-- +goose StatementEnd\n"
                       : chunk.text();
  }
  return bracketed + chunks.rest;
}

class Layout {
 public:
  Layout(const Listing& listing, std::string_view format, Dialect dialect, const std::vector<Migration>& migrations,
         const Migration& migration, const std::vector<SplitPart>& parts)
      : listing_(listing),
        format_(format),
        dialect_(dialect),
        migrations_(migrations),
        migration_(migration),
        parts_(parts) {}

  Result<std::vector<LaidFile>> files() {
    auto numbers = free_numbers(format_, dialect_, migrations_, migration_, parts_);
    if (!numbers) return std::unexpected(numbers.error());
    numbers->insert(numbers->begin(), migration_.id.value);
    const SourceFile* up = file_of(migration_.up.path);
    if (up == nullptr) {
      return failure(ErrorCode::kFailedPrecondition, "SPLIT_NO_NUMBER",
                     migration_.up.path + ": the file is not in the directory any more; run it again");
    }
    const bool down_apart = migration_.down && migration_.down->path != migration_.up.path;
    std::map<Stage, std::size_t> of_stage;
    std::vector<std::string> earlier;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const SplitPart& part = parts_[i];
      const std::size_t ordinal = ++of_stage[part.stage];
      const std::string ending =
          std::string("_") + std::string(to_string(part.stage)) + (ordinal > 1 ? "_" + std::to_string(ordinal) : "");
      const std::string name = i == 0 ? up->name : renamed(up->name, (*numbers)[i], ending);
      const std::string depends = depends_marker(migration_, earlier);
      add(name, up_text(part, depends, !down_apart && migration_.down.has_value()), i == 0 ? up : nullptr, *up);
      if (format_ == "flyway") add_settings(*up, name, part.no_transaction);
      if (down_apart) {
        const SourceFile* down = file_of(migration_.down->path);
        const std::string down_name = i == 0 ? down->name : renamed(down->name, (*numbers)[i], ending);
        add(down_name, down_text(part), i == 0 ? down : nullptr, *down);
        if (format_ == "flyway") add_settings(*down, down_name, part.down_no_transaction);
      }
      earlier.push_back((*numbers)[i]);
    }
    if (format_ == "atlas") add_sums();
    return std::move(files_);
  }

 private:
  [[nodiscard]] const SourceFile* file_of(const std::string& path) const {
    const auto found =
        std::ranges::find_if(listing_.files, [&](const SourceFile& file) { return file.path.string() == path; });
    return found == listing_.files.end() ? nullptr : &*found;
  }

  // "0007_drop_email.up.sql" -> "0008_drop_email_post_deploy.up.sql"
  [[nodiscard]] std::string renamed(const std::string& name, const std::string& number,
                                    const std::string& ending) const {
    const auto slash = name.find_last_of('/') + 1;  // 0 where there is none
    std::string base = name.substr(slash);
    std::string prefix;
    if (format_ == "flyway") {
      prefix = base.substr(0, 1);
      base.erase(0, base.find("__"));
    } else {
      base.erase(0, std::min(base.find_first_not_of("0123456789"), base.size()));
    }
    std::size_t dot = base.size() - std::string_view(".sql").size();
    for (const std::string_view extension : {".up.sql", ".down.sql"}) {
      if (base.ends_with(extension)) dot = base.size() - extension.size();
    }
    return name.substr(0, slash) + prefix + number + base.substr(0, dot) + ending + base.substr(dot);
  }

  [[nodiscard]] std::string up_text(const SplitPart& part, const std::string& depends, bool with_down) const {
    const std::string markers = stage_marker(part) + depends;
    const std::string outside(part.no_transaction ? kOutside : "");
    const std::string down_outside(part.down_no_transaction ? kOutside : "");
    const std::string up = ended(part.up);
    if (format_ == "goose") {
      const bool none = part.no_transaction || (with_down && part.down_no_transaction);  // goose has one for both
      std::string text = (none ? "-- +goose NO TRANSACTION\n" : "") + std::string("-- +goose Up\n") + markers +
                         with_goose_brackets(dialect_, up);
      if (with_down) text += "\n-- +goose Down\n" + with_goose_brackets(dialect_, part.down);
      return text;
    }
    if (format_ == "dbmate") {
      std::string text =
          std::string("-- migrate:up") + (part.no_transaction ? " transaction:false" : "") + "\n" + markers + up;
      if (with_down) {
        text += std::string("\n-- migrate:down") + (part.down_no_transaction ? " transaction:false" : "") + "\n" +
                part.down;
      }
      return text;
    }
    if (format_ == "atlas") return (part.no_transaction ? "-- atlas:txmode none\n\n" : "") + markers + up;
    const bool marked = format_ != "flyway";  // which has a setting for it
    std::string text = markers + (marked ? outside : "") + up;
    if (with_down) text += "\n-- syzygy:down\n" + down_outside + part.down;
    return text;
  }

  [[nodiscard]] std::string down_text(const SplitPart& part) const {
    const std::string outside(part.down_no_transaction && format_ != "flyway" ? kOutside : "");
    return outside + (part.down.empty() ? "-- Nothing is to be undone.\n" : part.down);
  }

  // In the line ends of the file that is split, and with its byte order mark where it takes that file's place.
  void add(const std::string& name, const std::string& text, const SourceFile* replaced, const SourceFile& like) {
    std::string bytes;
    if (replaced != nullptr && like.raw().starts_with(kBom)) bytes = kBom;
    const bool crlf = like.raw().contains("\r\n");
    for (const char c : text) {
      if (c == '\n' && crlf) bytes.push_back('\r');
      bytes.push_back(c);
    }
    if (replaced != nullptr && replaced->raw() == bytes) return;
    files_.push_back({name, std::move(bytes), replaced != nullptr, replaced == nullptr ? "" : replaced->raw()});
  }

  // NAME.sql.conf, where it has anything to say.
  void add_settings(const SourceFile& like, const std::string& name, bool outside) {
    const auto old = listing_.others.find(like.name + ".conf");
    std::string text;
    bool said = false;
    if (old != listing_.others.end()) {
      for (const Line& line : lines_of(old->second)) {
        const bool mode = trimmed(line.text).starts_with("executeInTransaction");
        if (!mode) text += std::string(line.text) + "\n";
        said = said || mode;
      }
    }
    if (outside) text += "executeInTransaction=false\n";
    if (!outside && said && name == like.name) text += "executeInTransaction=true\n";
    const auto there = listing_.others.find(name + ".conf");
    const bool replaces = there != listing_.others.end();
    if (text.empty() || (replaces && there->second == text)) return;
    files_.push_back({name + ".conf", text, replaces, replaces ? there->second : ""});
  }

  void add_sums() {
    Listing after = listing_;
    for (const LaidFile& file : files_) {
      std::erase_if(after.files, [&](const SourceFile& old) { return old.name == file.name; });
      after.files.push_back({file.name, listing_.path / file.name, file.bytes, {}});
    }
    std::ranges::sort(after.files, {}, &SourceFile::name);
    const auto old = listing_.others.find("atlas.sum");
    files_.push_back({"atlas.sum", atlas_sum(after), true, old == listing_.others.end() ? "" : old->second});
  }

  const Listing& listing_;
  std::string_view format_;
  Dialect dialect_;
  const std::vector<Migration>& migrations_;
  const Migration& migration_;
  const std::vector<SplitPart>& parts_;
  std::vector<LaidFile> files_;
};

}  // namespace

Result<std::vector<LaidFile>> lay_out(const Listing& listing, std::string_view format, Dialect dialect,
                                      const std::vector<Migration>& migrations, const Migration& migration,
                                      const std::vector<SplitPart>& parts) {
  return Layout(listing, format, dialect, migrations, migration, parts).files();
}

}  // namespace syzygy
