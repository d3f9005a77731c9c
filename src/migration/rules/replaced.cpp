#include "migration/rules/replaced.h"

#include <algorithm>

namespace syzygy {
namespace {

bool is_view(ObjectKind kind) { return kind == ObjectKind::kView || kind == ObjectKind::kMaterializedView; }
bool can_be_read(ObjectKind kind) { return kind == ObjectKind::kTable || is_view(kind); }

bool names(const Action& action, const ObjectName& object) {
  const ObjectKind kind = action.object.kind;
  if (kind != object.kind && !(is_view(object.kind) && can_be_read(kind))) return false;
  if (action.kind == ActionKind::kRename) return action.part.empty() && action.new_name == object.name;
  return (action.kind == ActionKind::kCreate || action.kind == ActionKind::kReplace) &&
         action.object.name == object.name;
}

}  // namespace

bool is_made_again(const ObjectName& object, const Subject& subject) {
  if (!subject.in_transaction) return false;
  return std::ranges::any_of(subject.meanings.subspan(subject.index + 1), [&](const Meaning& later) {
    return std::ranges::any_of(later.actions, [&](const Action& action) { return names(action, object); });
  });
}

bool is_named_here(const ObjectName& object, const Subject& subject) {
  return std::ranges::any_of(subject.meanings.first(subject.index), [&](const Meaning& earlier) {
    return std::ranges::any_of(earlier.actions, [&](const Action& action) {
      return action.kind == ActionKind::kRename && names(action, object);
    });
  });
}

}  // namespace syzygy
