// Which stage one action belongs to: one line of the tables in the design per case.
#include <algorithm>
#include <array>

#include "base/shown.h"
#include "migration/sql/readers.h"
#include "migration/stage/stage.h"

namespace syzygy {
namespace {

// The names in `why` are as a file spells them, with whatever stands between their quotes.
Judgement pre(std::string_view why) { return {Verdict::kPreDeploy, shown(why)}; }
Judgement post(std::string_view why) { return {Verdict::kPostDeploy, shown(why)}; }
Judgement ambiguous(std::string_view why) { return {Verdict::kAmbiguous, shown(why)}; }
Judgement neutral(std::string_view why) { return {Verdict::kNeutral, shown(why)}; }

std::string part_of(const Action& action, std::string_view word) {
  return std::string(word) + (action.part.empty() ? "" : " " + action.part) + " of " + describe(action.object);
}

std::string_view word(ConstraintKind kind) {
  switch (kind) {
    case ConstraintKind::kCheck:
      return "CHECK constraint";
    case ConstraintKind::kForeignKey:
      return "foreign key";
    case ConstraintKind::kUnique:
      return "UNIQUE constraint";
    case ConstraintKind::kPrimaryKey:
      return "primary key";
    case ConstraintKind::kExclude:
      return "EXCLUDE constraint";
    case ConstraintKind::kTrigger:
      return "constraint trigger";
    case ConstraintKind::kNone:
      break;
  }
  return "constraint";
}

Judgement constrains(const StageRules& rules, const std::string& why) {
  return rules.new_constraint == Stage::kPreDeploy ? pre(why) : post(why);
}

Judgement judge_added_column(const Action& action) {
  const std::string what = "adds " + part_of(action, "column");
  if (action.not_null && !action.fills_itself) {
    return ambiguous(
        what +
        ", NOT NULL without a default: before the deployment it breaks what old code inserts, after it new "
        "code lacks it; add it with a DEFAULT, and drop that in a post_deploy migration");
  }
  const bool one_value_for_all = action.constant_default && (action.constraint == ConstraintKind::kUnique ||
                                                             action.constraint == ConstraintKind::kPrimaryKey);
  if (one_value_for_all) {
    return ambiguous(what +
                     ", unique with one default for all rows, which fails at the second row that old code inserts");
  }
  return pre(what);
}

bool old_code_keeps(const Action& constraint, const ObjectName& table, const Created& created) {
  return holds_for_old_code(constraint, [&](const std::string& column) { return created.starts_null(table, column); });
}

// To a type that holds every value of whatever it could have been, or to one that holds fewer; else the text cannot
// say.
Judgement judge_type_change(const Action& action) {
  static constexpr std::array kWide = {"text", "varchar", "numeric", "bytea", "int8"};
  const std::string what = "changes the type of " + part_of(action, "column") + " to " + action.type;
  if (action.converts) return ambiguous(what + " with USING, and what that does to the values cannot be told");
  if (std::ranges::find(kWide, action.type) != kWide.end()) return pre(what + ", which widens it");
  if (action.type == "int2" || action.type == "bool") return post(what + ", which narrows it");
  return ambiguous(what + ", and whether that holds every value that old code writes cannot be told from the text");
}

bool same_or_unsaid(std::string_view a, std::string_view b) { return a == b || a.empty() || b.empty(); }

// Dropped and created again in one migration: old code survives it only where the new one is to it as the old one was,
// and of the old one this file says nothing.
Judgement judge_made_anew(const Action& gone) {
  const bool renames = gone.kind == ActionKind::kRename;
  const std::string what = (renames ? "renames " : "drops ") + describe(gone.object) + (renames ? " away" : "") +
                           (gone.if_exists ? ", if it is there," : "") + " and creates it anew, and whether ";
  switch (gone.object.kind) {
    case ObjectKind::kTable:
      return ambiguous(what + "old code uses the one that was there cannot be told; pre_deploy is right where there " +
                       "is none yet");
    case ObjectKind::kView:
    case ObjectKind::kMaterializedView:
      return ambiguous(what + "the new one has every column that old code reads cannot be told; where it has, it is " +
                       "pre_deploy");
    case ObjectKind::kFunction:
      return ambiguous(what + "the new one takes and gives what old code expects cannot be told; where it does, it " +
                       "is pre_deploy");
    case ObjectKind::kIndex:
      return ambiguous(what + "old code relies on what the old one keeps unique or fast cannot be told; give the new " +
                       "one another name, and drop the old one in a post_deploy migration");
    case ObjectKind::kPolicy:
      return ambiguous(what + "the new one lets old code do all that it does cannot be told; where it does, it is " +
                       "pre_deploy");
    default:
      return ambiguous(what + "the new one is what old code needs cannot be told; where it is, it is pre_deploy");
  }
}

}  // namespace

Created::Name Created::name_of(const ObjectName& object) {
  const bool relation = object.kind == ObjectKind::kTable || object.kind == ObjectKind::kView ||
                        object.kind == ObjectKind::kMaterializedView || object.kind == ObjectKind::kIndex ||
                        object.kind == ObjectKind::kSequence;
  return {relation ? ObjectKind::kTable : object.kind, object.name};
}

Created::Created(const std::vector<Meaning>& migration) {
  struct Story {
    const Action* created = nullptr;
    bool dropped = false;
    bool simple = true;  // created once, then dropped once, never moved
  };
  std::map<Name, Story> stories;
  std::vector<Part> dropped_triggers;
  std::set<Name> made;                     // so far
  std::map<Name, std::vector<Anew>> gone;  // what was there before this migration and has been dropped so far
  for (const Meaning& meaning : migration) {
    for (const Action& action : meaning.actions) {
      if (action.object.kind == ObjectKind::kTrigger && action.constraint == ConstraintKind::kNone) {
        const bool creates = action.kind == ActionKind::kCreate || action.kind == ActionKind::kReplace;
        if (action.kind == ActionKind::kDrop) dropped_triggers.push_back({action.on, action.object.name});
        if (creates && has(dropped_triggers, action.on, action.object.name)) {
          replaced_.push_back({action.on, action.object.name});
        }
      } else if (!action.object.name.empty() && !action.temporary) {
        const Name name = name_of(action.object);
        const Anew its{action.object.schema, action.on.name,
                       action.object.kind == ObjectKind::kFunction ? action.type : ""};
        const bool creates = action.kind == ActionKind::kCreate || action.kind == ActionKind::kReplace;
        const auto was = gone.find(name);
        const bool renames = action.kind == ActionKind::kRename && action.part.empty();
        if ((renames || action.kind == ActionKind::kDrop) && !made.contains(name)) gone[name].push_back(its);
        if (creates && was != gone.end() &&
            std::ranges::any_of(was->second, [&](const Anew& one) { return one.is(its); })) {
          // Only triggers call it: it is replaced as they are.
          if (action.note == kTriggerFunction) {
            replaced_.push_back({{}, action.object.name});
          } else {
            anew_[name].push_back(its);
          }
        }
        if (creates) made.insert(name);
      }
      if (!action.on.name.empty() || action.object.name.empty()) continue;  // a part of a table that is in use
      Story& story = stories[name_of(action.object)];
      const bool renames = action.kind == ActionKind::kRename && action.part.empty();
      const bool helper = action.kind == ActionKind::kReplace && action.object.kind == ObjectKind::kFunction &&
                          !story.dropped && (story.created == nullptr || story.created->type == action.type);
      if (helper) {
        story.created = &action;
      } else if (renames || action.kind == ActionKind::kSetSchema || action.kind == ActionKind::kReplace) {
        story.simple = false;
        if (renames) stories[name_of({action.object.kind, "", action.new_name})].simple = false;
      } else if (action.kind == ActionKind::kCreate) {
        story.simple = story.simple && story.created == nullptr && !story.dropped && !action.if_exists;
        story.created = &action;
      } else if (action.kind == ActionKind::kDrop) {
        story.simple = story.simple && story.created != nullptr && !story.dropped &&
                       story.created->object.schema == action.object.schema &&
                       (action.type.empty() || story.created->type == action.type);
        story.dropped = true;
      }
    }
  }
  for (const auto& [name, story] : stories) {
    if (story.simple && story.dropped) passing_.emplace(name, story.created->object.schema);
  }
}

void Created::note(const Meaning& meaning) {
  for (const Action& action : meaning.actions) {
    const ObjectName& object = action.object;
    const bool defines = action.kind == ActionKind::kCreate || action.kind == ActionKind::kReplace;
    if (defines && object.kind == ObjectKind::kFunction) {
      bodies_[object.name] = action.parts;
      if (action.kind == ActionKind::kCreate) takes_[object.name].insert(action.type);
    }
    const bool renames = action.kind == ActionKind::kRename && action.part.empty();
    if (action.kind == ActionKind::kCreate) {
      by_name_[name_of(object)][object.schema] = action.temporary ? Answer::kTemporary : Answer::kNew;
    }
    // A new object that is renamed is still new, under its new name.
    const Answer known = renames ? find(object) : Answer::kNo;
    if (renames || action.kind == ActionKind::kDrop) {
      const auto named = by_name_.find(name_of(object));
      if (named != by_name_.end()) named->second.erase(object.schema);
    }
    if (renames) given_.insert(name_of({object.kind, "", action.new_name}));
    if (known != Answer::kNo) by_name_[name_of({object.kind, object.schema, action.new_name})][object.schema] = known;
  }
  note_columns(meaning);
}

// PostgreSQL adds the columns of an ALTER TABLE before its constraints, wherever they stand in it.
void Created::note_columns(const Meaning& meaning) {
  const auto forget = [&](const ObjectName& table, std::string_view column) {
    std::erase_if(null_columns_,
                  [&](const Part& part) { return part.name == column && part.table.name == table.name; });
  };
  for (const Action& action : meaning.actions) {
    if (syzygy::starts_null(action)) null_columns_.push_back({action.object, action.part});
    // What old code writes has a value from here on, or the name is another column's.
    const bool ends = action.kind == ActionKind::kSetDefault || action.kind == ActionKind::kDropColumn ||
                      (action.kind == ActionKind::kRename && !action.part.empty());
    if (ends) forget(action.object, action.part);
  }
  for (const Action& action : meaning.actions) {
    if (action.kind != ActionKind::kAddConstraint || action.part.empty()) continue;
    const auto is_null = [&](const std::string& column) { return starts_null(action.object, column); };
    if (holds_for_old_code(action, is_null)) kept_.push_back({action.object, action.part});
  }
}

bool Created::has(const std::vector<Part>& parts, const ObjectName& table, std::string_view name) {
  return std::ranges::any_of(parts, [&](const Part& part) {
    return part.name == name && part.table.name == table.name &&
           (part.table.schema == table.schema || part.table.schema.empty() || table.schema.empty());
  });
}

bool Created::starts_null(const ObjectName& table, std::string_view column) const {
  return has(null_columns_, table, column);
}

bool Created::is_kept(const ObjectName& table, std::string_view constraint) const {
  return has(kept_, table, constraint);
}

bool Created::is_replaced(const Action& dropped) const {
  if (dropped.object.kind == ObjectKind::kFunction) return has(replaced_, {}, dropped.object.name);
  return dropped.object.kind == ObjectKind::kTrigger && has(replaced_, dropped.on, dropped.object.name);
}

bool Created::Anew::is(const Anew& other) const {
  return same_or_unsaid(schema, other.schema) && same_or_unsaid(on, other.on) && same_or_unsaid(type, other.type);
}

bool Created::is_made_anew(const Action& action) const {
  if (anew_.empty()) return false;
  const auto has = [&](const ObjectName& object, const std::string& on, const std::string& type) {
    const auto found = object.name.empty() ? anew_.end() : anew_.find(name_of(object));
    return found != anew_.end() &&
           std::ranges::any_of(found->second, [&](const Anew& one) { return one.is({object.schema, on, type}); });
  };
  const bool function = action.object.kind == ObjectKind::kFunction;
  return has(action.object, action.on.name, function ? action.type : "") || has(action.on, "", "");
}

bool Created::is_given(const ObjectName& object) const {
  return !object.name.empty() && given_.contains(name_of(object));
}

const std::vector<Action>* Created::body_of(const ObjectName& function) const {
  const auto found = function.kind == ObjectKind::kFunction ? bodies_.find(function.name) : bodies_.end();
  return found != bodies_.end() ? &found->second : nullptr;
}

Created::Answer Created::find(const ObjectName& object) const {
  const auto passing = object.name.empty() ? passing_.end() : passing_.find(name_of(object));
  if (passing != passing_.end() && passing->second == object.schema) return Answer::kTemporary;
  const auto named = by_name_.find(name_of(object));
  if (object.name.empty() || named == by_name_.end()) return Answer::kNo;
  for (const auto& [schema, answer] : named->second) {
    if (schema == object.schema || schema.empty() || object.schema.empty()) return answer;
  }
  return Answer::kNo;
}

Created::Answer Created::find(const Action& action) const {
  if (action.kind == ActionKind::kDrop && action.object.kind == ObjectKind::kFunction && !action.type.empty()) {
    const auto found = takes_.find(action.object.name);
    if (found != takes_.end() && !found->second.contains(action.type)) return Answer::kNo;
  }
  return find(action.object);
}

bool starts_null(const Action& added) {
  return added.kind == ActionKind::kAddColumn && !added.not_null && !added.fills_itself;
}

bool holds_for_old_code(const Action& constraint, const std::function<bool(const std::string&)>& is_null) {
  if (!constraint.null_passes || constraint.columns.empty()) return false;
  return constraint.constraint == ConstraintKind::kCheck ? std::ranges::all_of(constraint.columns, is_null)
                                                         : std::ranges::any_of(constraint.columns, is_null);
}

Judgement judge(const Action& action, const Created& created, const StageRules& rules) {
  const ObjectName& object = action.object;
  const Created::Answer object_is = created.find(action);
  const Created::Answer known = object_is != Created::Answer::kNo ? object_is : created.find(action.on);
  switch (action.kind) {
    case ActionKind::kOpaque:
    case ActionKind::kUnknown:
      return ambiguous(action.note);
    case ActionKind::kCreate:
      if (action.temporary) return neutral("creates a temporary " + std::string(to_string(object.kind)));
      break;
    default:
      break;
  }
  if (created.is_made_anew(action) && known != Created::Answer::kTemporary) {
    const bool creates = action.kind == ActionKind::kCreate || action.kind == ActionKind::kReplace;
    const bool ends = action.kind == ActionKind::kDrop || (action.kind == ActionKind::kRename && action.part.empty());
    if (ends && known == Created::Answer::kNo) return judge_made_anew(action);
    if (creates || known == Created::Answer::kNew) return neutral("belongs with what is dropped and created anew");
  }
  // Nobody uses yet what this migration itself creates.
  if (known == Created::Answer::kTemporary) return neutral("concerns what is gone afterwards");
  if (known == Created::Answer::kNew) {
    return pre("concerns " + describe(object_is != Created::Answer::kNo ? object : action.on) + ", which is new here");
  }

  switch (action.kind) {
    case ActionKind::kCreate:
      if (action.constraint != ConstraintKind::kNone) {
        if (old_code_keeps(action, action.on, created)) {
          return pre("creates " + describe(object) + " on a column that is new here");
        }
        return constrains(rules, "creates " + describe(object) + ", a new " + std::string(word(action.constraint)) +
                                     " on " + describe(action.on) + ", which is in use");
      }
      return pre("creates " + describe(object));
    case ActionKind::kReplace:
      if (action.constraint != ConstraintKind::kNone) {
        return constrains(rules, "replaces " + describe(object) + ", a constraint on " + describe(action.on));
      }
      return pre("creates or replaces " + describe(object));
    case ActionKind::kDrop:
      if (created.is_replaced(action)) return pre("replaces " + describe(object));
      // Its name that old code knows was taken away before.
      if (created.is_given(object)) return neutral("drops what has been renamed");
      return post("drops " + (action.note.empty() ? describe(action.object) : action.note + " " + action.object.name));
    case ActionKind::kRename:
      return post("renames " + (action.part.empty() ? describe(object) : part_of(action, action.note)) + " to " +
                  action.new_name);
    case ActionKind::kSetSchema:
      return post("moves " + describe(object) + " to schema " + action.new_name);
    case ActionKind::kAddColumn:
      return judge_added_column(action);
    case ActionKind::kDropColumn:
      return post("drops " + part_of(action, "column"));
    case ActionKind::kAlterColumnType:
      return judge_type_change(action);
    case ActionKind::kSetNotNull:
      return post("sets NOT NULL on " + part_of(action, "column"));
    case ActionKind::kDropNotNull:
      return pre("drops NOT NULL from " + part_of(action, "column"));
    case ActionKind::kSetDefault:
      return pre("sets a default of " + part_of(action, "column"));
    case ActionKind::kDropDefault:
      return post("drops the default of " + part_of(action, "column"));
    case ActionKind::kAddConstraint:
      if (old_code_keeps(action, object, created)) {
        return pre("adds a " + std::string(word(action.constraint)) + " to a column that is new here");
      }
      return constrains(
          rules, "adds a " + std::string(word(action.constraint)) + " to " + describe(object) + ", which is in use");
    case ActionKind::kValidateConstraint:
      if (created.is_kept(object, action.part)) return pre("validates " + part_of(action, "constraint"));
      // With the constraint itself: it can only follow it.
      return constrains(rules, "validates " + part_of(action, "constraint"));
    case ActionKind::kDropConstraint:
      return post("drops " + part_of(action, "constraint"));
    case ActionKind::kAddEnumValue:
      return pre("adds value " + action.part + " to " + describe(object));
    case ActionKind::kAttachPartition:
      if (action.note == "INHERIT") return pre("makes " + describe(object) + " inherit from " + describe(action.other));
      return pre("attaches a partition to " + describe(object));
    case ActionKind::kDetachPartition:
      if (action.note == "NO INHERIT") {
        return post("takes " + describe(object) + " out of what " + describe(action.other) + " holds");
      }
      return post("detaches a partition from " + describe(object));
    case ActionKind::kGrant:
      return pre("grants rights");
    case ActionKind::kRestrict:
      return post(action.note);
    case ActionKind::kInsert:
      return ambiguous("inserts rows into " + describe(object) + ", and which code needs them cannot be told");
    case ActionKind::kUpdate:
      return ambiguous("updates rows of " + describe(object) + ", a backfill, and which code needs it cannot be told");
    case ActionKind::kDelete:
      return ambiguous("deletes rows of " + describe(object) + ", and which code needs them cannot be told");
    case ActionKind::kTruncate:
      return ambiguous("empties " + describe(object) + ", and which code needs its rows cannot be told");
    case ActionKind::kAlterOther:
    case ActionKind::kSelect:
    case ActionKind::kReindex:
    case ActionKind::kMaintenance:
    case ActionKind::kSession:
    case ActionKind::kBegin:
    case ActionKind::kCommit:
    case ActionKind::kRollback:
    case ActionKind::kSavepoint:
    case ActionKind::kOpaque:
    case ActionKind::kUnknown:
      break;
  }
  return neutral("changes nothing that code could notice");
}

Judgement judge(const Meaning& meaning, const Created& before, const StageRules& rules) {
  // Its own new columns are there when its constraints come.
  std::optional<Created> with_columns;
  if (meaning.actions.size() > 1 && std::ranges::any_of(meaning.actions, starts_null)) {
    with_columns = before;
    with_columns->note_columns(meaning);
  }
  // Of a DO block or a CREATE SCHEMA: what it creates is new to what follows in it.
  const bool creates = meaning.actions.size() > 1 && std::ranges::any_of(meaning.actions, [](const Action& action) {
                         return action.kind == ActionKind::kCreate;
                       });
  if (creates && !with_columns) with_columns = before;
  const Created& created = with_columns ? *with_columns : before;
  std::optional<Judgement> settled;
  // A function that the same migration defines does what its body does.
  std::vector<const Action*> actions;
  for (const Action& action : meaning.actions) {
    const auto* body = action.kind == ActionKind::kOpaque ? created.body_of(action.object) : nullptr;
    if (body == nullptr) {
      actions.push_back(&action);
    } else {
      for (const Action& inner : *body) actions.push_back(&inner);
    }
  }
  for (const Action* one : actions) {
    const Action& action = *one;
    Judgement here = judge(action, created, rules);
    if (creates) {
      Meaning so_far;
      so_far.actions.push_back(action);
      with_columns->note(so_far);
    }
    if (here.verdict == Verdict::kAmbiguous) return here;
    if (here.verdict == Verdict::kNeutral) continue;
    if (settled && settled->verdict != here.verdict) {
      const bool first_is_pre = settled->verdict == Verdict::kPreDeploy;
      return ambiguous("does both: " + settled->why + (first_is_pre ? " (pre_deploy)" : " (post_deploy)") + " and " +
                       here.why + (first_is_pre ? " (post_deploy)" : " (pre_deploy)"));
    }
    if (!settled) settled = std::move(here);
  }
  return settled.value_or(neutral("changes nothing that code could notice"));
}

}  // namespace syzygy
