// Migration files and directories: text, markers, statements, their meaning, six formats, the plan, the linter.
#include <algorithm>
#include <array>
#include <charconv>
#include <ranges>

#include "base/name.h"
#include "base/sha256.h"
#include "migration/plan/plan.h"
#include "migration/rules/linter.h"
#include "migration/rules/rule.h"
#include "migration/source/formats.h"
#include "migration/source/markers.h"
#include "migration/source/source.h"
#include "migration/source/text.h"
#include "migration/sql/lexer.h"
#include "migration/sql/meaning.h"
#include "migration/sql/statements.h"
#include "migration/stage/stage.h"
#include "migration/stage/transaction.h"
#include "target.h"

namespace syzygy::fuzz {
namespace {

constexpr std::string_view kFile = "migrations/0001_fuzz.sql";

Dialect dialect_of(std::uint8_t choice) { return (choice & 1U) == 0 ? Dialect::kPostgres : Dialect::kSqlite; }

std::size_t line_of(std::string_view text, std::size_t offset) {
  return 1 + static_cast<std::size_t>(std::ranges::count(text.substr(0, offset), '\n'));
}

// An error about a file names it, and a line that the file has.
void require_placed(const Error& error, std::string_view file, std::string_view text) {
  require_well_said(error);
  require(error.message.contains(file), "an error names its file", error.message);
  const auto line = error.metadata.find("line");
  if (line == error.metadata.end()) return;
  std::size_t number = 0;
  std::from_chars(line->second.data(), line->second.data() + line->second.size(), number);
  require(number <= line_of(text, text.size()), "an error names a line that the file has", error.message);
}

void only_comments(Dialect dialect, std::string_view gap) {
  Lexer lexer(dialect, gap);
  while (const auto token = lexer.next_visible()) {
    require(token->kind == LexemeKind::kSemicolon, "nothing but comments is left out between statements", gap);
  }
}

// A directory's files, as one text: "=== NAME" begins each.
Listing listing_of(std::string_view text, bool deep) {
  Listing listing;
  listing.path = "migrations";
  while (!text.empty()) {
    const auto line_end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, line_end);
    text.remove_prefix(std::min(line_end + 1, text.size()));
    if (!line.starts_with("=== ")) continue;
    const auto next = text.starts_with("=== ") ? 0 : text.find("\n=== ");
    const std::string_view content = text.substr(0, next == 0 || next == std::string_view::npos ? next : next + 1);
    text.remove_prefix(std::min(content.size(), text.size()));
    const std::string name(line.substr(4));
    // What the real lister refuses before any reader sees it.
    if (!check_name("migration file", name) || name.starts_with('/') || (name.contains('/') && !deep)) continue;
    if (!name.ends_with(".sql")) {
      const bool wanted = name == "atlas.sum" || name.ends_with(".sql.conf");
      listing.others.emplace(name, wanted ? std::string(content) : std::string());
      continue;
    }
    auto clean = clean_text(std::string(content), name);
    if (!clean) {
      require_placed(clean.error(), name, content);
      continue;
    }
    if (std::ranges::find(listing.files, name, &SourceFile::name) != listing.files.end()) continue;
    SourceFile file{name, listing.path / name, std::move(*clean), {}};
    if (file.text != content) file.bytes = content;
    listing.files.push_back(std::move(file));
  }
  std::ranges::sort(listing.files, {}, &SourceFile::name);
  return listing;
}

constexpr std::array<std::string_view, 7> kFormatNames = {"",       "golang-migrate", "flyway", "goose",
                                                          "dbmate", "atlas",          "plain"};

// A directory out of an input, whatever comes of it: three bytes of choices, then its files.
struct Directory {
  SourceOptions options;
  Listing listing;
  std::uint8_t choice = 0;
};
Directory directory_of(std::string_view input) {
  Choices choices(input);
  Directory directory;
  directory.options.dialect = dialect_of(choices.byte());
  directory.options.format = kFormatNames[choices.byte() % kFormatNames.size()];
  directory.choice = choices.byte();
  const bool deep = directory.options.format == "flyway";
  directory.listing = listing_of(choices.rest(), deep);
  return directory;
}

void require_one_of(const Script& script, const Listing& listing) {
  const auto file =
      std::ranges::find_if(listing.files, [&](const SourceFile& f) { return f.path.string() == script.path; });
  require(file != listing.files.end(), "a script comes from a file", script.path);
  require(file->text.contains(script.text), "a script is a part of its file", script.text);
  require(script.content == sha256_hex(script.text), "a script's checksum is that of its text");
  require(script.first_line <= line_of(file->text, file->text.size()) + 1, "a script begins in its file");
}

}  // namespace

SYZYGY_FUZZ_TARGET(migration_text) {
  const auto text = clean_text(std::string(input), kFile);
  if (!text) return require_placed(text.error(), kFile, input);
  require(is_utf8(*text) && text->find_first_of(std::string_view("\0\r", 2)) == std::string::npos,
          "clean text is UTF-8 without NUL and CR", *text);
  const auto again = clean_text(*text, kFile);
  // A second BOM is a character of the text, and would be taken for the first one.
  require(text->starts_with("\xEF\xBB\xBF") || (again && *again == *text), "clean text is left as it is", *text);
}

SYZYGY_FUZZ_TARGET(statements) {
  Choices choices(input);
  const Dialect dialect = dialect_of(choices.byte());
  const std::string_view text = choices.rest();
  const auto statements = split_statements(dialect, text, kFile);
  // Files are UTF-8 by then (clean_text); other bytes must do no harm, and are not shown to anybody.
  if (!statements && is_utf8(text)) require_placed(statements.error(), kFile, text);
  if (!statements) return;
  std::size_t end = 0;
  for (const Statement& statement : *statements) {
    require(!statement.text.empty() && statement.offset >= end, "statements follow each other", statement.text);
    require(text.substr(statement.offset).starts_with(statement.text), "a statement stands where it says");
    require(statement.place.line == line_of(text, statement.offset), "a statement's line is right", statement.text);
    only_comments(dialect, text.substr(end, statement.offset - end));
    end = statement.offset + statement.text.size();
    const auto alone = split_statements(dialect, statement.text, kFile);
    require(alone && alone->size() == 1 && alone->front().text == statement.text, "a statement is one statement",
            statement.text);
    const std::string shown = excerpt(dialect, statement.text);
    require(shown.size() <= 83, "an excerpt is short", shown);
    if (is_utf8(statement.text)) require_shown(shown, "an excerpt");
  }
  only_comments(dialect, text.substr(end));
}

SYZYGY_FUZZ_TARGET(meaning) {
  Choices choices(input);
  const Dialect dialect = dialect_of(choices.byte());
  const std::string_view text = choices.rest();
  const Meaning meaning = read_meaning(dialect, text);
  require(!meaning.actions.empty(), "a statement means something, if only that it is not understood");
  require(meaning.stopped_at <= text.size(), "the grammar stops in the statement", text);
  for (const Action& action : meaning.actions) {
    require(offset_of(dialect, text, action) <= text.size(), "an action stands in its statement", text);
    (void)describe(action.object);
  }
  require(read_meaning(dialect, text) == meaning, "a statement means the same when it is read again", text);
}

SYZYGY_FUZZ_TARGET(markers) {
  Choices choices(input);
  const Dialect dialect = dialect_of(choices.byte());
  const std::string_view text = choices.rest();
  if (!is_utf8(text) || text.find_first_of(std::string_view("\0\r", 2)) != std::string_view::npos) return;
  const auto marked = read_markers(dialect, text, kFile);
  if (!marked) return require_placed(marked.error(), kFile, text);
  require(text.starts_with(marked->up.text), "the way up is the beginning of the file");
  if (!marked->down) {
    require(marked->up.text == text, "without a way down, the file is the way up");
    return;
  }
  require(text.ends_with(marked->down->text), "the way down is the end of the file");
  const auto between =
      text.substr(marked->up.text.size(), text.size() - marked->up.text.size() - marked->down->text.size());
  require(between.contains("syzygy:") && std::ranges::count(between, '\n') <= 1, "one line is between them", between);
  require(marked->down->first_line == line_of(text, marked->up.text.size()) + 1, "the way down begins in its line");
}

SYZYGY_FUZZ_TARGET(directory) {
  const auto [options, listing, choice] = directory_of(input);
  const auto migrations = read_listing(listing, options);
  if (!migrations) return require_well_said(migrations.error());
  require(!migrations->empty(), "a directory that is read has migrations");
  for (std::size_t i = 0; i < migrations->size(); ++i) {
    const Migration& migration = (*migrations)[i];
    if (i > 0) require(compare_ids((*migrations)[i - 1].id.value, migration.id.value) < 0, "migrations are in order");
    require(find_migration(*migrations, migration.id) == &migration, "a migration is found by its id");
    require_one_of(migration.up, listing);
    if (migration.down) require_one_of(*migration.down, listing);
  }

  PlanRequest request;
  request.target = TargetName{"orders"};
  request.dialect = options.dialect;
  request.stage = (choice & 1U) == 0 ? PlanStage::kAll : PlanStage::kPreDeploy;
  request.allow_out_of_order = (choice & 2U) != 0;
  if ((choice & 4U) != 0) request.stages.fallback_all = Stage::kPostDeploy;
  // The first ones are applied already; perhaps all are to be reverted.
  std::vector<AppliedStep> applied;
  for (std::size_t i = 0; i < (choice >> 4U) && i < migrations->size(); ++i) {
    applied.push_back({(*migrations)[i].id, (*migrations)[i].up.content, std::nullopt});
  }
  if ((choice & 8U) != 0) request.revert_to = StepId{"zero"};
  const auto plan = make_plan(*migrations, applied, request);
  if (!plan) {
    for (const auto line : std::views::split(plan.error().message, '\n')) {  // one for each migration
      Error one = plan.error();
      one.message = std::string(line.begin(), line.end());
      require_well_said(one);
    }
    return;
  }
  require(plan->steps.size() == plan->plan.steps.size(), "each step is planned");
  if (!plan->steps.empty()) require(check_plan(plan->plan).has_value(), "a plan that was made is one that may be sent");
  for (std::size_t i = 0; i < plan->steps.size(); ++i) {
    require(plan->steps[i].step == plan->plan.steps[i], "a planned step is that of the plan");
    require(plan->steps[i].statements.size() == plan->steps[i].meanings.size(), "each statement has a meaning");
  }
  require(make_plan(*migrations, applied, request)->plan == plan->plan, "the same directory gives the same plan");
}

SYZYGY_FUZZ_TARGET(lint) {
  const auto [options, listing, choice] = directory_of(input);
  const auto migrations = read_listing(listing, options);
  if (!migrations) return;
  LintOptions lint_options;
  lint_options.dialect = options.dialect;
  lint_options.quality = true;
  lint_options.one_plan = (choice & 1U) != 0;
  lint_options.one_phase = (choice & 2U) != 0;
  lint_options.server = 11 + (choice >> 4U) % 8;
  const auto report = lint(*migrations, std::vector<bool>(migrations->size(), true), lint_options);
  require(report.migrations == migrations->size(), "each migration is linted");
  for (const Finding& finding : report.findings) {
    require(finding.rule != nullptr, "a finding is a rule's");
    require_shown(finding.message, "a finding's message");
    require(!finding.fingerprint.empty(), "a finding has a fingerprint");
    const auto file =
        std::ranges::find_if(listing.files, [&](const SourceFile& f) { return f.path.string() == finding.file; });
    require(file != listing.files.end(), "a finding names a file", finding.file);
    require(finding.place.line >= 1 && finding.place.line <= line_of(file->text, file->text.size()) + 1,
            "a finding stands in its file", finding.message);
    require(finding.line.find('\n') == std::string::npos, "a finding shows one line", finding.line);
  }
}

}  // namespace syzygy::fuzz
