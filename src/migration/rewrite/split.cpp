#include "migration/rewrite/split.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <utility>

#include "base/name.h"
#include "migration/rewrite/chunks.h"
#include "migration/rewrite/commute.h"
#include "migration/rewrite/pieces.h"
#include "migration/source/formats.h"
#include "migration/sql/lexer.h"
#include "migration/sql/sqlite_replay.h"
#include "migration/stage/transaction.h"

namespace syzygy {
namespace {

struct Half {
  std::vector<Statement> statements;
  std::vector<Meaning> meanings;
  Chunks chunks;
  std::size_t first = 0;  // without the BEGIN and COMMIT around it
  std::size_t last = 0;
};

Result<Half> read_half(Dialect dialect, const Script& script) {
  Half half;
  auto statements = split_statements(dialect, script.text, script.path, script.first_line);
  if (!statements) return std::unexpected(statements.error());
  half.statements = std::move(*statements);
  for (const Statement& statement : half.statements) half.meanings.push_back(read_meaning(dialect, statement.text));
  auto mode = transaction_mode(dialect, script, half.statements, half.meanings);
  // What cannot run in a transaction gets a file of its own here; the rest of the refusals stand.
  if (!mode && mode.error().reason != "NOT_IN_TRANSACTION") return std::unexpected(mode.error());
  half.chunks = cut_chunks(dialect, script.text, half.statements);
  half.last = half.statements.size();
  if (mode && mode->unwrap) {
    ++half.first;
    --half.last;
    // Their comments are the neighbours'.
    const std::string lead = half.chunks.statements.front().before;
    half.chunks.statements[half.first].before.insert(0, lead);
    half.chunks.rest.insert(0, half.chunks.statements.back().before);
  }
  return half;
}

bool related(const ObjectName& a, const ObjectName& b) {
  return !a.name.empty() && a.name == b.name && (a.schema == b.schema || a.schema.empty() || b.schema.empty());
}

class Splitter {
 public:
  Splitter(const Migration& migration, const Schema& before, const SplitOptions& options)
      : migration_(migration), schema_(before), options_(options) {
    if (!options_.unclear) options_.unclear = migration.up.stage;
  }

  Result<SplitResult> split() {
    auto up = read_half(options_.dialect, migration_.up);
    if (!up) return std::unexpected(up.error());
    up_ = std::move(*up);
    if (up_.first == up_.last) return nothing("it has no statements");
    if (up_.last - up_.first > kSplitStatementsMax) {
      return refuse(up_.first, "SPLIT_NOT_UNDERSTOOD",
                    "the file has more than " + std::to_string(kSplitStatementsMax) +
                        " statements (the limit for splitting); move what is data into a migration of its own");
    }
    schema_.begin_migration(1, std::nullopt);
    effects_ = options_.effects.size() == up_.meanings.size() ? options_.effects : up_.meanings;
    if (options_.dialect == Dialect::kSqlite && migration_.up.no_transaction) return as_a_whole();
    if (auto cut = cut_into_pieces(); !cut) return std::unexpected(cut.error());
    if (auto apart = check_columns(); !apart) return std::unexpected(apart.error());
    if (auto ordered = check_order(); !ordered) return std::unexpected(ordered.error());
    place_neutral();
    arrange();
    if (!rewritten_ && files_.size() == 1) {
      const bool post = files_.front().stage == Stage::kPostDeploy;
      return nothing("every statement of it is " + std::string(to_string(files_.front().stage)) +
                     ", and none has a safer form" +
                     (post ? ": it waits for the deployment as it is" : ": it runs before the deployment as it is"));
    }
    write_up();
    if (migration_.down) {
      if (auto down = write_down(); !down) return std::unexpected(down.error());
    }
    for (const File& file : files_) result_.parts.push_back(file.part);
    result_.notes = std::move(notes_);
    if (auto checked = check_parts(); !checked) return std::unexpected(checked.error());
    return std::move(result_);
  }

 private:
  struct File {
    Stage stage = Stage::kPreDeploy;
    std::size_t round = 0;
    bool outside = false;
    std::vector<std::size_t> pieces;  // indexes into pieces_
    SplitPart part;
  };

  Result<SplitResult> nothing(std::string why) {
    SplitResult result;
    result.why_not = std::move(why);
    result.notes = std::move(notes_);
    return result;
  }

  [[nodiscard]] std::string place(std::size_t statement) const {
    return at(migration_.up.path, up_.statements[statement].place);
  }

  [[nodiscard]] std::unexpected<Error> refuse(std::size_t statement, std::string reason, const std::string& why) const {
    return failure(ErrorCode::kFailedPrecondition, std::move(reason), place(statement) + ": " + why,
                   {{"file", migration_.up.path}, {"line", std::to_string(up_.statements[statement].place.line)}});
  }

  // Its BEGIN, COMMIT and PRAGMA hold its statements together; they cannot be taken apart by themselves.
  Result<SplitResult> as_a_whole() {
    Created created(effects_);
    Rewriter rewriter(options_, schema_, created, notes_);
    std::optional<Stage> stage;
    std::size_t settled = up_.first;
    for (std::size_t i = up_.first; i < up_.last; ++i) {
      auto pieces = rewriter.pieces_of(up_.statements[i].text, effects_[i], place(i), migration_.up.path,
                                       up_.statements[i].place.line);
      if (!pieces) return std::unexpected(pieces.error());
      created.note(effects_[i]);
      for (const Piece& piece : *pieces) {
        if (piece.neutral) continue;
        if (!piece.text.empty() || (stage && *stage != piece.stage)) {
          return refuse(
              i, "SPLIT_REFUSED",
              "\"" + excerpt(options_.dialect, up_.statements[i].text, 60) + "\" " +
                  (piece.text.empty() ? "is of another stage than the statement at " + place(settled)
                                      : "has to be written otherwise") +
                  ", and a file that runs outside a transaction cannot be taken apart, since its BEGIN, COMMIT "
                  "and PRAGMA hold it together. Recipe: put this statement into a migration of its own");
        }
        if (!stage) settled = i;
        stage = piece.stage;
      }
    }
    return nothing(stage ? "every statement of it is " + std::string(to_string(*stage))
                         : std::string("nothing in it concerns code that runs"));
  }

  // From the first statement of SQLite that rebuilds a table to behind the last; both the file's end: there is none.
  [[nodiscard]] std::pair<std::size_t, std::size_t> rebuilding() const {
    std::pair range{up_.last, up_.last};
    for (std::size_t i = up_.first; i < up_.last && options_.dialect == Dialect::kSqlite; ++i) {
      if (std::ranges::find(effects_[i].actions, kRebuild, &Action::note) == effects_[i].actions.end()) continue;
      range = {std::min(range.first, i), i + 1};
    }
    return range;
  }

  // Statements that rebuild tables, and what stands between them, stay together: their stage is that of what they
  // change.
  Result<std::optional<Stage>> stage_of_rebuild(Created created, std::size_t first, std::size_t end) {
    std::optional<Stage> stage;
    std::string settled;
    for (std::size_t i = first; i < end; ++i) {
      for (const Action& action : effects_[i].actions) {
        const Judgement judgement = judge(action, created, options_.stages);
        if (judgement.verdict == Verdict::kNeutral) continue;
        if (judgement.verdict == Verdict::kAmbiguous && !options_.unclear) {
          return refuse(i, "SPLIT_STAGE_NEEDED",
                        "the rebuild " + judgement.why + ". Say its stage: --stage pre_deploy or --stage post_deploy");
        }
        const Stage its = judgement.verdict == Verdict::kAmbiguous    ? *options_.unclear
                          : judgement.verdict == Verdict::kPostDeploy ? Stage::kPostDeploy
                                                                      : Stage::kPreDeploy;
        if (stage && *stage != its) {
          return refuse(i, "SPLIT_REFUSED",
                        "the rebuild is of both stages: it " + settled + " (" + std::string(to_string(*stage)) +
                            ") and " + judgement.why + " (" + std::string(to_string(its)) +
                            "). Recipe: rebuild twice, in two migrations: before the deployment only what old code "
                            "survives (columns that are nullable or have a DEFAULT, NOT NULL dropped), after it the "
                            "rest; a column that is only added needs no rebuild (ALTER TABLE ADD COLUMN)");
        }
        if (!stage) settled = judgement.why;
        stage = its;
      }
      created.note(effects_[i]);
    }
    return stage;
  }

  Result<void> cut_into_pieces() {
    Created created(effects_);
    Rewriter rewriter(options_, schema_, created, notes_);
    const auto [rebuild, rebuilt] = rebuilding();
    std::optional<Stage> of_rebuild;
    for (std::size_t i = up_.first; i < up_.last; ++i) {
      const Statement& statement = up_.statements[i];
      const Meaning& meaning = effects_[i];
      if (i == rebuild) {
        auto stage = stage_of_rebuild(created, rebuild, rebuilt);
        if (!stage) return std::unexpected(stage.error());
        of_rebuild = *stage;
      }
      if (i >= rebuild && i < rebuilt) {
        // Refused where one of its parts is.
        auto looked = rewriter.pieces_of(statement.text, meaning, place(i), migration_.up.path, statement.place.line);
        if (!looked) return std::unexpected(looked.error());
        Piece piece;
        piece.stage = of_rebuild.value_or(Stage::kPreDeploy);
        piece.statement = i;
        piece.sql = statement.text;
        piece.meaning = up_.meanings[i];
        pieces_.push_back(std::move(piece));
        created.note(meaning);
        continue;
      }
      auto pieces = rewriter.pieces_of(statement.text, meaning, place(i), migration_.up.path, statement.place.line);
      if (!pieces) return std::unexpected(pieces.error());
      for (Piece& piece : *pieces) {
        piece.statement = i;
        piece.sql = piece.text.empty() ? statement.text : piece.text;
        piece.meaning = piece.text.empty() ? up_.meanings[i] : read_meaning(options_.dialect, piece.text);
        rewritten_ = rewritten_ || !piece.text.empty();
        if (piece.text.empty() && meaning.in_transaction == InTransaction::kRefused) piece.outside = true;
        pieces_.push_back(std::move(piece));
      }
      created.note(meaning);
      for (const Action& action : meaning.actions) schema_.apply(action);
    }
    return {};
  }

  // A column that one statement drops and adds anew: between the halves its name would be both.
  Result<void> check_columns() const {
    for (std::size_t i = up_.first; i < up_.last; ++i) {
      const std::vector<Action>& actions = effects_[i].actions;
      for (const Action& dropped : actions) {
        const auto again = [&](const Action& added) {
          return added.kind == ActionKind::kAddColumn && added.object == dropped.object && added.part == dropped.part;
        };
        const auto is_here = [&](Stage stage) {
          return std::ranges::any_of(pieces_, [&](const Piece& piece) {
            return piece.statement == i && !piece.neutral && piece.stage == stage;
          });
        };
        if (dropped.kind != ActionKind::kDropColumn || std::ranges::none_of(actions, again)) continue;
        if (!is_here(Stage::kPreDeploy) || !is_here(Stage::kPostDeploy)) continue;
        return refuse(i, "SPLIT_REFUSED",
                      "drops column " + dropped.part + " of " + describe(dropped.object) +
                          " and adds it anew: old code knows only the old one, new code only the new one. Recipe: give "
                          "the new column another name, let the code move to it, and drop the old one after the "
                          "deployment");
      }
    }
    return {};
  }

  // What of an earlier statement would come to stand behind a later one.
  Result<void> check_order() const {
    for (const Piece& earlier : pieces_) {
      if (earlier.neutral || earlier.stage != Stage::kPostDeploy) continue;
      for (const Piece& later : pieces_) {
        if (later.neutral || later.statement <= earlier.statement || later.stage != Stage::kPreDeploy) continue;
        const std::string why =
            why_in_order(options_.dialect, {earlier.sql, earlier.meaning}, {later.sql, later.meaning});
        if (why.empty()) continue;
        return refuse(earlier.statement, "SPLIT_ORDER",
                      "\"" + excerpt(options_.dialect, up_.statements[earlier.statement].text, 60) +
                          "\" is post_deploy and would have to move behind \"" +
                          excerpt(options_.dialect, up_.statements[later.statement].text, 60) + "\" (" +
                          place(later.statement) +
                          "), which is pre_deploy, and that is not known to be harmless: " + why +
                          ". Put the later one into a migration of its own before this one, if it does not need this "
                          "one's effect, or say which stage all of it is with -- syzygy:stage");
      }
    }
    return {};
  }

  // A statement that has no stage (COMMENT, ANALYZE) goes with the last one before it that it belongs together with;
  // where there is none (a table that is gone afterwards and keeps what others need), with those behind it.
  void place_neutral() {
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      if (!pieces_[i].neutral || pieces_[i].setting) continue;
      bool needed_before = false;
      bool needed_after = false;
      for (std::size_t j = i + 1; j < pieces_.size(); ++j) {
        const Piece& later = pieces_[j];
        if (later.neutral) continue;
        bool& needed = later.stage == Stage::kPostDeploy ? needed_after : needed_before;
        needed =
            needed ||
            !why_in_order(options_.dialect, {pieces_[i].sql, pieces_[i].meaning}, {later.sql, later.meaning}).empty();
      }
      if (needed_after && !needed_before) pieces_[i].stage = Stage::kPostDeploy;
      for (std::size_t j = i; j-- > 0;) {
        if (pieces_[j].setting) continue;
        const Piece& mine = pieces_[i];
        const Piece& other = pieces_[j];
        if (mine.statement == other.statement || !other.principal) continue;
        const std::string why = why_in_order(options_.dialect, {other.sql, other.meaning}, {mine.sql, mine.meaning});
        if (why.empty()) continue;
        pieces_[i].stage = pieces_[j].stage;
        break;
      }
    }
  }

  // Which pieces share a file. A piece comes in a later transaction than those before it that its statement, or one
  // that it cannot change places with, needs to have committed.
  void arrange() {
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      Piece& piece = pieces_[i];
      std::size_t base = 0;
      for (std::size_t j = 0; j < i; ++j) {
        const Piece& other = pieces_[j];
        if (other.setting || other.stage != piece.stage) continue;
        // Nothing reads a whole table while an earlier statement of its transaction keeps everybody out of one.
        if (scans(piece) && !other.neutral && !scans(other)) base = std::max(base, other.round + 1);
        if (other.statement == piece.statement) {
          if (piece.step > other.step) base = std::max(base, other.round + 1);
          if (piece.step == other.step) base = std::max(base, other.round);
          continue;
        }
        const bool apart =
            why_in_order(options_.dialect, {other.sql, other.meaning}, {piece.sql, piece.meaning}).empty();
        if (!apart) base = std::max(base, other.outside ? other.round + 1 : other.round);
      }
      piece.round = base;
    }
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const Piece& piece = pieces_[i];
      if (piece.setting) continue;
      const auto same = [&](const File& file) {
        return !piece.outside && !file.outside && file.stage == piece.stage && file.round == piece.round;
      };
      auto found = std::ranges::find_if(files_, same);
      if (found == files_.end()) {
        files_.push_back({piece.stage, piece.round, piece.outside, {}, {}});
        found = files_.end() - 1;
      }
      found->pieces.push_back(i);
    }
    std::ranges::sort(files_, [](const File& a, const File& b) {
      if (a.stage != b.stage) return a.stage == Stage::kPreDeploy;
      if (a.round != b.round) return a.round < b.round;
      return a.outside != b.outside ? !a.outside : a.pieces.front() < b.pieces.front();
    });
    for (File& file : files_) {
      file.part.stage = file.stage;
      file.part.no_transaction = file.outside;
    }
  }

  static bool scans(const Piece& piece) {
    return std::ranges::find(piece.meaning.actions, ActionKind::kValidateConstraint, &Action::kind) !=
           piece.meaning.actions.end();
  }

  void write_up() {
    std::set<std::size_t> led;  // statements whose comments were written
    // They stay with the statement as its author wrote it; where there is none, with its first piece.
    std::set<std::size_t> kept;
    for (const Piece& piece : pieces_) {
      if (piece.text.empty()) kept.insert(piece.statement);
    }
    for (File& file : files_) {
      std::string& text = file.part.up;
      if (&file == &files_.front()) text = up_.chunks.header;
      std::vector<std::size_t> in_order = file.pieces;
      for (std::size_t i = 0; i < file.pieces.back(); ++i) {
        const bool local = file.outside && is_local(pieces_[i].statement);  // it would end with itself
        if (pieces_[i].setting && !local) in_order.push_back(i);
      }
      std::ranges::sort(in_order);
      for (const std::size_t index : in_order) {
        const Piece& piece = pieces_[index];
        const Chunk& chunk = up_.chunks.statements[piece.statement];
        const bool leads = !kept.contains(piece.statement) && led.insert(piece.statement).second;
        if (piece.text.empty()) {
          text += ended(chunk.text());
          continue;
        }
        if (leads) {
          text += ended(chunk.before);
          for (const Comment& comment : up_.statements[piece.statement].comments) {
            const bool inside = comment.place > up_.statements[piece.statement].place;
            if (inside && !piece.text.contains(comment.text)) text += comment.text + "\n";
          }
        }
        const std::string after = leads ? std::string(trimmed(without_break(chunk.after))) : "";
        text += piece.text + ";" + (after.empty() ? "" : "  " + after) + "\n";
      }
      if (text.starts_with('\n') && &file != &files_.front()) text.erase(0, text.find_first_not_of('\n'));
    }
    if (!files_.empty()) files_.back().part.up += up_.chunks.rest;
  }

  [[nodiscard]] bool is_local(std::size_t statement) const {
    Lexer lexer(options_.dialect, up_.statements[statement].text);
    lexer.next_visible();
    const auto word = lexer.next_visible();
    return word && word->is("LOCAL");
  }

  static std::string without_break(std::string text) {
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }
  static std::string ended(std::string text) {
    if (!text.empty() && !text.ends_with('\n')) text += "\n";
    return text;
  }

  // --- the way back
  // --------------------------------------------------------------------------------------------------------

  Result<void> write_down() {
    auto down = read_half(options_.dialect, *migration_.down);
    if (!down) return std::unexpected(down.error());
    std::vector<std::string> texts(files_.size());
    for (std::size_t i = down->first; i < down->last; ++i) {
      const auto file = file_undone_by(down->meanings[i]);
      if (!file) {
        return failure(ErrorCode::kFailedPrecondition, "SPLIT_DOWN",
                       at(migration_.down->path, down->statements[i].place) +
                           ": which half this statement of the way back undoes cannot be told, since no statement of "
                           "the way there names the same; split this migration by hand, or take the way back out and "
                           "put it into the halves afterwards",
                       {{"file", migration_.down->path}, {"line", std::to_string(down->statements[i].place.line)}});
      }
      texts[*file] += ended(down->chunks.statements[i].text());
      if (down->meanings[i].in_transaction == InTransaction::kRefused) files_[*file].part.down_no_transaction = true;
    }
    for (std::size_t f = 0; f < files_.size(); ++f) {
      std::string before;
      std::string after;
      for (std::size_t k = files_[f].pieces.size(); k-- > 0;) {
        const Piece& piece = pieces_[files_[f].pieces[k]];
        if (piece.down.empty()) continue;
        (piece.down_last ? after : before) += piece.down + ";\n";
        if (piece.down_outside) files_[f].part.down_no_transaction = true;
      }
      files_[f].part.down = before + texts[f] + after;
    }
    return {};
  }

  [[nodiscard]] std::optional<std::size_t> file_undone_by(const Meaning& down) const {
    if (files_.size() == 1) return 0;
    // What does the opposite to the same part of the same thing, else to the same part, else to the same thing.
    for (const Match match : {Match::kInverse, Match::kPart, Match::kThing}) {
      for (std::size_t i = pieces_.size(); i-- > 0;) {
        const Piece& piece = pieces_[i];
        if (!piece.principal || piece.setting) continue;
        for (const Action& up : piece.meaning.actions) {
          for (const Action& undo : down.actions) {
            if (undoes(undo, up, match)) return file_of(i);
          }
        }
      }
    }
    const bool nothing =
        std::ranges::all_of(down.actions, [](const Action& action) { return action.kind == ActionKind::kSession; });
    return nothing ? std::optional<std::size_t>(0) : std::nullopt;
  }

  enum class Match : std::uint8_t { kInverse, kPart, kThing };

  static bool inverse_kinds(ActionKind undo, ActionKind up) {
    using enum ActionKind;
    static constexpr std::array<std::pair<ActionKind, ActionKind>, 6> kPairs = {
        std::pair{kDrop, kCreate},
        std::pair{kDropColumn, kAddColumn},
        std::pair{kDropConstraint, kAddConstraint},
        std::pair{kDropNotNull, kSetNotNull},
        std::pair{kDropDefault, kSetDefault},
        std::pair{kDetachPartition, kAttachPartition}};
    return (undo == up && (undo == kRename || undo == kAlterColumnType)) ||
           std::ranges::any_of(kPairs, [&](const auto& pair) {
             return (pair.first == undo && pair.second == up) || (pair.first == up && pair.second == undo);
           });
  }

  static bool undoes(const Action& undo, const Action& up, Match match) {
    const bool same = related(undo.object, up.object) ||
                      (up.kind == ActionKind::kRename && up.part.empty() && undo.object.name == up.new_name);
    const bool belongs = related(undo.on, up.object) || related(undo.object, up.on);
    if (match == Match::kThing) return same || belongs;
    const bool part = same && (undo.part == up.part || (!up.new_name.empty() && undo.part == up.new_name));
    return part && (match == Match::kPart || inverse_kinds(undo.kind, up.kind));
  }

  [[nodiscard]] std::optional<std::size_t> file_of(std::size_t piece) const {
    for (std::size_t f = 0; f < files_.size(); ++f) {
      if (std::ranges::find(files_[f].pieces, piece) != files_[f].pieces.end()) return f;
    }
    return std::nullopt;
  }

  // What was written is read again: a half that could not be applied must not reach a disk.
  [[nodiscard]] Result<void> check_parts() const {
    for (const SplitPart& part : result_.parts) {
      Script script;
      script.path = migration_.up.path;
      for (const bool down : {false, true}) {
        script.text = down ? part.down : part.up;
        script.no_transaction = down ? part.down_no_transaction : part.no_transaction;
        const auto statements = split_statements(options_.dialect, script.text, script.path);
        if (!statements) return std::unexpected(statements.error());
        std::vector<Meaning> meanings;
        for (const Statement& statement : *statements) {
          meanings.push_back(read_meaning(options_.dialect, statement.text));
        }
        const auto mode = transaction_mode(options_.dialect, script, *statements, meanings);
        if (!mode && down && mode.error().reason == "NOT_IN_TRANSACTION") continue;  // as its author wrote it
        if (!mode) return std::unexpected(mode.error());
      }
    }
    return {};
  }

  const Migration& migration_;
  Schema schema_;
  SplitOptions options_;
  Half up_;
  std::vector<Meaning> effects_;  // by which stages are told; of PostgreSQL the meanings themselves
  std::vector<Piece> pieces_;
  std::vector<File> files_;
  std::vector<std::string> notes_;
  SplitResult result_;
  bool rewritten_ = false;
};

}  // namespace

Result<SplitResult> split_migration(const Migration& migration, const Schema& before, const SplitOptions& options) {
  if (migration.repeatable) {
    SplitResult result;
    result.why_not = "a repeatable migration is run again as a whole, and has no halves";
    return result;
  }
  return Splitter(migration, before, options).split();
}

}  // namespace syzygy
