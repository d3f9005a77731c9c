#include "migration/plan/plan.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "base/name.h"
#include "base/sha256.h"
#include "migration/plan/footprint.h"
#include "migration/sql/sqlite_replay.h"
#include "migration/stage/transaction.h"

namespace syzygy {
namespace {

struct ByValue {
  bool operator()(const StepId& a, const StepId& b) const { return compare_ids(a.value, b.value) < 0; }
};
constexpr std::size_t kAmbiguousMax = 20;  // of which one error says everything

using AppliedById = std::map<StepId, const AppliedStep*, ByValue>;

std::unexpected<Error> refuse(std::string reason, std::string message, std::map<std::string, std::string> metadata) {
  return failure(ErrorCode::kFailedPrecondition, std::move(reason), std::move(message), std::move(metadata));
}

bool wanted(PlanStage asked, Stage stage) {
  return asked == PlanStage::kAll || (asked == PlanStage::kPreDeploy) == (stage == Stage::kPreDeploy);
}

// "0004 (post_deploy, inferred: drops column email of table users (migrations/0004_x.sql:3:1))"
std::string named(const StepId& id, const StageDecision& decision) {
  return id.value + " (" + std::string(to_string(decision.stage)) + ", " + decision.why + ")";
}

bool is_repeatable(const StepId& id) { return id.value.starts_with("R__") && id.value.contains('@'); }

std::string flag_of(PlanStage asked) { return asked == PlanStage::kPreDeploy ? "--pre-deploy" : "--post-deploy"; }

// One direction of one migration, cut, read and judged.
struct Read {
  std::vector<Statement> statements;
  std::vector<Meaning> meanings;
  TransactionMode mode;
};

Result<Read> read_script(Dialect dialect, const Script& script) {
  auto statements = split_statements(dialect, script.text, script.path, script.first_line);
  if (!statements) return std::unexpected(statements.error());
  Read read;
  read.statements = std::move(*statements);
  read.meanings.reserve(read.statements.size());
  for (const Statement& statement : read.statements) read.meanings.push_back(read_meaning(dialect, statement.text));
  auto mode = transaction_mode(dialect, script, read.statements, read.meanings);
  if (!mode) return std::unexpected(mode.error());
  read.mode = *mode;
  return read;
}

PlannedStep planned(const Migration& migration, StepId id, Direction direction, const Script& script, Read read,
                    StageDecision decision, PlanStage asked) {
  PlannedStep planned;
  // Without statements it has no stage; it takes the plan's, so that it can be recorded as applied.
  if (decision.source == StageSource::kNoStatements) {
    decision.stage = asked == PlanStage::kPostDeploy ? Stage::kPostDeploy : Stage::kPreDeploy;
  }
  planned.step = {std::move(id), direction, decision.stage, script.content, read.mode.atomic};
  planned.name = migration.name;
  planned.file = script.path;
  if (read.mode.unwrap) {
    read.statements.erase(read.statements.begin());
    read.statements.pop_back();
    read.meanings.erase(read.meanings.begin());
    read.meanings.pop_back();
  }
  planned.statements = std::move(read.statements);
  planned.meanings = std::move(read.meanings);
  planned.no_transaction = !read.mode.atomic;
  planned.decision = std::move(decision);
  return planned;
}

class Planner {
 public:
  Planner(const std::vector<Migration>& migrations, const PlanRequest& request)
      : migrations_(migrations), request_(request) {}

  Result<MigrationPlan> make(const std::vector<AppliedStep>& applied) {
    for (const AppliedStep& step : applied) applied_.emplace(step.id, &step);
    if (request_.to && request_.revert_to) {
      return failure(ErrorCode::kInvalidArgument, "PLAN_INVALID",
                     "--to and --revert-to were both given; one goes forwards, the other back: give one of them");
    }
    for (const auto& [id, step] : applied_) {
      if (find_migration(migrations_, id) == nullptr && !has_newer_text(id)) {
        result_.not_in_directory.push_back(step->id);
      }
    }
    for (const Migration& migration : migrations_) {
      if (!migration.repeatable) result_.last_known = migration.id;
    }
    if (auto same = check_unchanged(); !same) return std::unexpected(same.error());
    auto done = request_.revert_to ? backwards() : forwards();
    if (!done) return std::unexpected(done.error());

    result_.plan.target = request_.target;
    result_.plan.stage = request_.stage;
    result_.plan.on_applier_lost = request_.on_applier_lost;
    for (const PlannedStep& planned : result_.steps) result_.plan.steps.push_back(planned.step);
    if (!result_.plan.steps.empty()) {
      if (auto checked = check_plan(result_.plan); !checked) return std::unexpected(checked.error());
    }
    return std::move(result_);
  }

 private:
  // "R__views@5d41402abc4b" is applied, and the directory has another text of R__views.
  [[nodiscard]] bool has_newer_text(const StepId& id) const {
    const auto at = id.value.find('@');
    return at != std::string::npos && std::ranges::any_of(migrations_, [&](const Migration& migration) {
             return migration.repeatable &&
                    migration.id.value.starts_with(std::string_view(id.value).substr(0, at + 1));
           });
  }

  [[nodiscard]] std::unexpected<Error> unknown_step(std::string_view flag, const StepId& id) const {
    std::string known = migrations_.empty() ? "holds no migrations"
                        : migrations_.size() == 1
                            ? "holds only " + migrations_.front().id.value
                            : "holds " + migrations_.front().id.value + " to " + migrations_.back().id.value;
    return failure(
        ErrorCode::kInvalidArgument, "STEP_UNKNOWN",
        std::string(flag) + " " + printable(id.value) + " names no migration of the directory, which " + known +
            (flag == "--revert-to" ? "; name one of these, or zero to revert everything" : "; name one of these"),
        {{"id", id.value}});
  }

  [[nodiscard]] Result<void> check_unchanged() const {
    std::vector<const Migration*> changed;
    for (const Migration& migration : migrations_) {
      const auto applied = applied_.find(migration.id);
      if (applied == applied_.end() || applied->second->content.empty()) continue;
      if (applied->second->content != migration.up.content) changed.push_back(&migration);
    }
    if (changed.empty()) return {};
    const Migration& first = *changed.front();
    std::string others;
    for (std::size_t i = 1; i < changed.size(); ++i) {
      if (i == 6) {
        others += ", ...";
        break;
      }
      others += (i == 1 ? "" : ", ") + changed[i]->id.value;
    }
    return refuse(
        "STEP_CHANGED",
        first.up.path + ": migration " + first.id.value + " was changed after it was applied (its checksum is now " +
            first.up.content.substr(0, 12) + ", the history has " + applied_.at(first.id)->content.substr(0, 12) +
            "); restore the file and write the change as a new migration, or, if the database already is as the "
            "file says, accept it: syzygy history accept " +
            first.id.value + " --reason \"...\"" + (others.empty() ? "" : " (the same holds for " + others + ")"),
        {{"id", first.id.value}, {"file", first.up.path}});
  }

  // --- forwards
  // -------------------------------------------------------------------------------------------------------

  struct Pending {
    const Migration* migration = nullptr;
    Read read;
    StageDecision decision;
  };

  // What went before it and must not lie below what is applied: a file that another branch brought in late.
  [[nodiscard]] Result<void> check_order(const Pending& pending) const {
    if (request_.allow_out_of_order || pending.decision.source == StageSource::kNoStatements) return {};
    const StepId& id = pending.migration->id;
    const AppliedStep* highest_step = nullptr;
    bool all_pre_deploy = true;
    for (auto above = applied_.upper_bound(id); above != applied_.end(); ++above) {
      if (is_repeatable(above->first)) continue;  // those come after all that have numbers, whenever they ran
      highest_step = above->second;
      all_pre_deploy = all_pre_deploy && above->second->stage == Stage::kPreDeploy;
    }
    // A pre-deploy plan left it out, and went on: then all that is applied above it is pre-deploy.
    const bool was_held_back = pending.decision.stage == Stage::kPostDeploy && all_pre_deploy;
    if (highest_step == nullptr || was_held_back) return {};
    const StepId& highest = highest_step->id;
    return refuse("OUT_OF_ORDER",
                  pending.migration->up.path + ": migration " + id.value + " is not applied, but lies below " +
                      highest.value +
                      ", which is; give it a number above that, or apply it late with --allow-out-of-order",
                  {{"id", id.value}, {"file", pending.migration->up.path}, {"applied", highest.value}});
  }

  // What its stage is decided by: of SQLite the effect of the whole migration, which those before it are needed for.
  [[nodiscard]] const std::vector<Meaning>& judged(const Migration& migration, const Read& read) {
    if (request_.dialect != Dialect::kSqlite) return read.meanings;
    for (const auto index = static_cast<std::size_t>(&migration - migrations_.data()); effects_.size() <= index;) {
      const Migration& next = migrations_[effects_.size()];
      auto script = read_script(request_.dialect, next.up);
      effects_.push_back(script ? replay_.effect(script->statements, std::move(script->meanings))
                                : std::vector<Meaning>());
    }
    return effects_[static_cast<std::size_t>(&migration - migrations_.data())];
  }

  Result<void> forwards() {
    std::size_t count = migrations_.size();
    if (request_.to) {
      const Migration* last = find_migration(migrations_, *request_.to);
      if (last == nullptr) return unknown_step("--to", *request_.to);
      count = static_cast<std::size_t>(last - migrations_.data()) + 1;
    }
    std::vector<Pending> all;
    all.reserve(count);
    Blocked blocked;
    std::vector<Error> ambiguous;  // one for each file, so that all of them are mended at once
    for (const Migration& migration : std::span(migrations_).first(count)) {
      if (applied_.contains(migration.id)) continue;
      auto read = read_script(request_.dialect, migration.up);
      if (!read) return std::unexpected(read.error());
      auto decision =
          decide_stage(migration.id, migration.up, read->statements, judged(migration, *read), request_.stages);
      if (!decision) {
        ambiguous.push_back(decision.error());
        continue;
      }
      Pending& pending = all.emplace_back(Pending{&migration, std::move(*read), std::move(*decision)});
      if (auto ordered = check_order(pending); !ordered) return ordered;
      if (!ambiguous.empty()) continue;  // what it depends on is not known
      if (auto placed = place(pending, blocked); !placed) return placed;
    }
    if (ambiguous.empty()) return {};
    Error all_of_them = ambiguous.front();
    for (std::size_t i = 1; i < ambiguous.size(); ++i) {
      if (i == kAmbiguousMax) {
        all_of_them.message += "\nand " + std::to_string(ambiguous.size() - i) + " more";
        break;
      }
      all_of_them.message += "\n" + ambiguous[i].message;
    }
    return std::unexpected(std::move(all_of_them));
  }

  // What is left out, and what stands behind that: by its id the migration that is the reason, directly or through
  // others; and what each touches.
  struct Blocked {
    std::map<StepId, const Pending*, ByValue> reasons;
    std::vector<const Pending*> in_order;
    Footprints touched;
  };

  struct Obstacle {
    const Pending* pending = nullptr;
    std::string why;  // "both name table users"
  };

  // What a migration depends on and cannot have.
  static std::optional<Obstacle> obstacle_of(const Migration& migration, const Footprint& footprint,
                                             const Blocked& blocked) {
    if (!migration.depends) {
      const auto tie = blocked.touched.find(footprint);
      if (!tie) return std::nullopt;
      const Pending* reason = blocked.reasons.at(blocked.in_order[tie->number]->migration->id);
      const bool direct = reason == blocked.in_order[tie->number];
      return Obstacle{reason, direct ? tie->why : "through " + blocked.in_order[tie->number]->migration->id.value};
    }
    for (const StepId& id : *migration.depends) {
      const auto found = blocked.reasons.find(id);
      if (found == blocked.reasons.end()) continue;
      const bool direct = same_id(found->second->migration->id, id);
      return Obstacle{found->second, direct ? "as -- syzygy:depends says" : "through " + id.value};
    }
    return std::nullopt;
  }

  // Into the plan, or among those held back.
  Result<void> place(Pending& pending, Blocked& blocked) {
    const Migration& migration = *pending.migration;
    const Footprint footprint = request_.stage == PlanStage::kAll
                                    ? Footprint{}
                                    : footprint_of(request_.dialect, pending.read.statements, pending.read.meanings);
    const auto obstacle = obstacle_of(migration, footprint, blocked);
    const auto hold_back = [&](const Pending& by, std::string why) {
      blocked.reasons.emplace(migration.id, &by);
      blocked.touched.add(blocked.in_order.size(), footprint);
      blocked.in_order.push_back(&pending);
      result_.held_back.push_back({migration.id, migration.up.path, pending.decision, std::move(why)});
    };
    if (pending.decision.source == StageSource::kNoStatements) {
      if (obstacle) {
        hold_back(*obstacle->pending, "has no statements, and depends on " + obstacle->pending->migration->id.value);
        return {};
      }
    } else if (!wanted(request_.stage, pending.decision.stage)) {
      hold_back(pending, std::string(to_string(pending.decision.stage)) + ", " + pending.decision.why);
      return {};
    } else if (obstacle) {
      const Pending& by = *obstacle->pending;
      return refuse(
          "PLAN_AMBIGUOUS",
          "migration " + named(migration.id, pending.decision) + " depends on " + named(by.migration->id, by.decision) +
              " (" + obstacle->why + "), which " + flag_of(request_.stage) +
              " leaves out. If it does not need it, say what it needs with -- syzygy:depends ID ...|none in " +
              migration.up.path +
              "; if one of the two stages is wrong, give the right one with -- syzygy:stage; else apply " +
              by.migration->id.value + " first: syzygy migrate without " + flag_of(request_.stage) + " --to " +
              by.migration->id.value,
          {{"id", migration.id.value},
           {"file", migration.up.path},
           {"depends_on", by.migration->id.value},
           {"depends_on_file", by.migration->up.path}});
    }
    result_.steps.push_back(planned(migration, migration.id, Direction::kUp, migration.up, std::move(pending.read),
                                    pending.decision, request_.stage));
    return {};
  }

  // --- backwards
  // ------------------------------------------------------------------------------------------------------

  Result<void> backwards() {
    const bool named = find_migration(migrations_, *request_.revert_to) != nullptr;
    const bool everything =
        !named && (request_.revert_to->value == "zero" || same_id(*request_.revert_to, StepId{"0"}));
    if (!named && !everything) {
      return unknown_step("--revert-to", *request_.revert_to);
    }
    const auto floor = everything ? applied_.begin() : applied_.upper_bound(*request_.revert_to);
    Left left;
    for (auto entry = applied_.end(); entry != floor;) {
      --entry;
      if (is_repeatable(entry->first)) continue;  // has no way back: its next text replaces it
      if (auto done = revert(*entry->second, left); !done) return done;
    }
    return {};
  }

  [[nodiscard]] Result<StageDecision> revert_stage(const Migration& migration, const AppliedStep& applied,
                                                   const Script& down, const Read& read) {
    if (read.statements.empty()) return StageDecision{Stage::kPreDeploy, StageSource::kNoStatements, "no statements"};
    if (down.stage) {
      return StageDecision{*down.stage, StageSource::kMarker,
                           "given in " + down.path + ":" + std::to_string(down.stage_line)};
    }
    if (applied.stage) {
      return StageDecision{inverse(*applied.stage), StageSource::kInverse,
                           "reverts what was applied as " + std::string(to_string(*applied.stage))};
    }
    // Adopted from another tool: judged now.
    auto up = read_script(request_.dialect, migration.up);
    if (!up) return std::unexpected(up.error());
    auto decision = decide_stage(migration.id, migration.up, up->statements, judged(migration, *up), request_.stages);
    if (!decision) return decision;
    return StageDecision{inverse(decision->stage), StageSource::kInverse,
                         "reverts what is " + std::string(to_string(decision->stage)) + ", " + decision->why};
  }

  // Still applied afterwards, among those that were to be reverted.
  struct Left {
    std::vector<const Migration*> migrations;
    Footprints touched;  // of those that declare no dependencies, by their positions
  };

  // One of those that depends on the migration; nullptr: none.
  static const Migration* child_in(const Left& left, const Migration& migration, const Footprint& footprint) {
    for (const Migration* later : left.migrations) {
      const auto names_it = [&](const StepId& id) { return same_id(id, migration.id); };
      if (later->depends && std::ranges::any_of(*later->depends, names_it)) return later;
    }
    const auto tie = left.touched.find(footprint);
    return tie ? left.migrations[tie->number] : nullptr;
  }

  // What its up part touches. Only a plan of one stage can leave anything behind.
  Result<Footprint> touched_by(const Migration& migration) const {
    if (request_.stage == PlanStage::kAll) return Footprint{};
    auto up = read_script(request_.dialect, migration.up);
    if (!up) return std::unexpected(up.error());
    return footprint_of(request_.dialect, up->statements, up->meanings);
  }

  Result<void> revert(const AppliedStep& applied, Left& left) {
    const Migration* found = find_migration(migrations_, applied.id);
    if (found == nullptr) {
      return refuse("REVERT_NOT_IN_DIRECTORY",
                    "migration " + applied.id.value +
                        " is applied and would have to be reverted, but this directory lacks "
                        "it; run the revert with the release that has it",
                    {{"id", applied.id.value}});
    }
    const Migration& migration = *found;
    Script down;
    if (migration.down) {
      down = *migration.down;
    } else {
      auto up = split_statements(request_.dialect, migration.up.text, migration.up.path, migration.up.first_line);
      if (!up) return std::unexpected(up.error());
      if (!up->empty()) {
        return refuse(
            "DOWN_MISSING",
            migration.up.path + ": migration " + migration.id.value +
                " has no way back; write one as the directory's format has it (-- syzygy:down, -- +goose Down, "
                "-- migrate:down, a .down.sql or U file; Atlas has none), or revert only to " +
                migration.id.value,
            {{"id", migration.id.value}, {"file", migration.up.path}});
      }
      down.path = migration.up.path;  // nothing was done, nothing is to be undone
      down.content = sha256_hex("");
    }
    auto read = read_script(request_.dialect, down);
    if (!read) return std::unexpected(read.error());
    auto decision = revert_stage(migration, applied, down, *read);
    if (!decision) return std::unexpected(decision.error());

    const auto footprint = touched_by(migration);
    if (!footprint) return std::unexpected(footprint.error());
    const Migration* child = child_in(left, migration, *footprint);
    const auto leave = [&](std::string why) {
      if (!migration.depends) left.touched.add(left.migrations.size(), *footprint);
      left.migrations.push_back(&migration);
      result_.held_back.push_back({migration.id, down.path, *decision, std::move(why)});
    };
    if (decision->source == StageSource::kNoStatements) {
      if (child != nullptr) {
        leave("has no statements, and " + child->id.value + ", which stays applied, depends on it");
        return {};
      }
    } else if (!wanted(request_.stage, decision->stage)) {
      leave(std::string(to_string(decision->stage)) + ", " + decision->why);
      return {};
    } else if (child != nullptr) {
      const auto held = std::ranges::find(result_.held_back, child->id, &HeldBack::id);
      return refuse("REVERT_LEAVES_CHILD",
                    "the revert of migration " + named(migration.id, *decision) + " would leave " +
                        named(child->id, held->decision) + " applied, which depends on it, since " +
                        flag_of(request_.stage) + " leaves that one out; revert without " + flag_of(request_.stage) +
                        ", give one of the two reverts the other stage with -- syzygy:stage in its down part, or, if " +
                        child->id.value + " does not need " + migration.id.value +
                        ", say what it needs with -- syzygy:depends ID ...|none",
                    {{"id", migration.id.value}, {"file", down.path}, {"child", child->id.value}});
    }
    // The history is asked by the id that it holds, which may be spelled otherwise than the directory's.
    result_.steps.push_back(
        planned(migration, applied.id, Direction::kDown, down, std::move(*read), std::move(*decision), request_.stage));
    return {};
  }

  const std::vector<Migration>& migrations_;
  SqliteReplay replay_;
  std::vector<std::vector<Meaning>> effects_;  // of SQLite, by migration
  const PlanRequest& request_;
  AppliedById applied_;
  MigrationPlan result_;
};

}  // namespace

Result<MigrationPlan> make_plan(const std::vector<Migration>& migrations, const std::vector<AppliedStep>& applied,
                                const PlanRequest& request) {
  return Planner(migrations, request).make(applied);
}

}  // namespace syzygy
