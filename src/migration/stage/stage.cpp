#include "migration/stage/stage.h"

#include <algorithm>

#include "migration/source/files.h"

namespace syzygy {
namespace {

struct Configured {
  std::optional<Stage> stage;
  std::string by;  // "group river"; empty: the id, or all
};

// By the id, else by the group that its file is of, else for all. A repeatable migration has an id for each text; what
// is said of the name before the @ holds for every one.
Result<Configured> configured(const std::map<std::string, Stage>& exact, std::optional<Stage> StageGroup::* of_group,
                              const std::optional<Stage>& all, const StepId& id, const Script& script,
                              const StageRules& rules) {
  const std::string_view whole = id.value;
  for (const auto& [name, stage] : exact) {
    if (compare_ids(name, whole) == 0 || (whole.starts_with("R__") && name == whole.substr(0, whole.find('@')))) {
      return Configured{stage, ""};
    }
  }
  const StageGroup* found = nullptr;
  for (const StageGroup& group : rules.groups) {
    const auto names_it = [&](const std::string& pattern) { return names_file(pattern, script.path); };
    if (!(group.*of_group) || std::ranges::none_of(group.files, names_it)) continue;
    if (found != nullptr && found->*of_group != group.*of_group) {
      return failure(ErrorCode::kInvalidArgument, "STAGE_GROUPS_DISAGREE",
                     script.path + " is of two groups of syzygy.toml, [stages.group." + found->name +
                         "] and [stages.group." + group.name +
                         "], which give it different stages; take it out of one of them, or say it of the migration "
                         "itself ([stages.override] \"" +
                         id.value + "\" = ...)",
                     {{"id", id.value}, {"file", script.path}});
    }
    found = &group;
  }
  if (found == nullptr) return Configured{all, ""};
  return Configured{found->*of_group, "group " + found->name};
}

struct Judged {
  Place place;
  Judgement judgement;
};

}  // namespace

Stage inverse(Stage stage) { return stage == Stage::kPreDeploy ? Stage::kPostDeploy : Stage::kPreDeploy; }

std::string_view to_string(StageSource source) {
  switch (source) {
    case StageSource::kMarker:
      return "given";
    case StageSource::kOverride:
      return "configured";
    case StageSource::kStatements:
      return "inferred";
    case StageSource::kFallback:
      return "configured as a fallback";
    case StageSource::kInverse:
      return "the inverse of the migration's own";
    case StageSource::kNoStatements:
      return "none: no statements";
  }
  return "inferred";
}

Result<StageDecision> decide_stage(const StepId& id, const Script& script, const std::vector<Statement>& statements,
                                   const std::vector<Meaning>& meanings, const StageRules& rules) {
  if (statements.empty()) return StageDecision{Stage::kPreDeploy, StageSource::kNoStatements, "no statements"};
  if (script.stage) {
    return StageDecision{*script.stage, StageSource::kMarker,
                         "given in " + script.path + ":" + std::to_string(script.stage_line)};
  }
  const auto overridden = configured(rules.overrides, &StageGroup::override_all, rules.override_all, id, script, rules);
  if (!overridden) return std::unexpected(overridden.error());
  if (overridden->stage) {
    return StageDecision{*overridden->stage, StageSource::kOverride,
                         "given in the configuration" + (overridden->by.empty() ? "" : ", " + overridden->by)};
  }

  Created created(meanings);
  std::vector<Judged> pre;
  std::vector<Judged> post;
  std::vector<Judged> unclear;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    Judged here{place_in(statements[i], meanings[i].stopped_at), judge(meanings[i], created, rules)};
    created.note(meanings[i]);
    auto& side = here.judgement.verdict == Verdict::kPreDeploy    ? pre
                 : here.judgement.verdict == Verdict::kPostDeploy ? post
                                                                  : unclear;
    if (here.judgement.verdict != Verdict::kNeutral) side.push_back(std::move(here));
  }
  const auto place = [&](const Judged& judged) { return at(script.path, judged.place); };
  if (unclear.empty() && (pre.empty() || post.empty())) {
    if (pre.empty() && post.empty()) {
      return StageDecision{Stage::kPreDeploy, StageSource::kStatements,
                           "inferred: nothing in it concerns code that runs"};
    }
    const Judged& by = pre.empty() ? post.front() : pre.front();
    return StageDecision{pre.empty() ? Stage::kPostDeploy : Stage::kPreDeploy, StageSource::kStatements,
                         "inferred: " + by.judgement.why + " (" + place(by) + ")"};
  }
  // A fallback settles a disagreement between statements, and what cannot be told.
  const auto fallback = configured(rules.fallbacks, &StageGroup::fallback_all, rules.fallback_all, id, script, rules);
  if (!fallback) return std::unexpected(fallback.error());
  if (fallback->stage) {
    return StageDecision{*fallback->stage, StageSource::kFallback,
                         "the configuration's fallback" + (fallback->by.empty() ? "" : " of " + fallback->by) +
                             (pre.empty() || post.empty() ? ", where it cannot be told from the statements"
                                                          : ", where statements disagree")};
  }
  // The statements of one side, each with its place.
  const auto all_of = [&](const std::vector<Judged>& side) {
    constexpr std::size_t kNamedMax = 5;
    std::string text;
    for (std::size_t i = 0; i < side.size() && i < kNamedMax; ++i) {
      text += (i == 0 ? "" : ", ") + place(side[i]) + " " + side[i].judgement.why;
    }
    return text + (side.size() > kNamedMax ? " and " + std::to_string(side.size() - kNamedMax) + " more" : "");
  };
  const bool both = !pre.empty() && !post.empty();
  std::string message;
  if (both) {
    message = "migration " + id.value + " belongs to both stages: " + all_of(pre) + " (pre_deploy), and " +
              all_of(post) + " (post_deploy)";
    if (!unclear.empty()) message += "; of others it cannot be told: " + all_of(unclear);
    message +=
        ". Put them into two migrations (syzygy split " + script.path + " writes the halves, or says why it cannot)";
  } else {
    message = "the stage of migration " + id.value + " cannot be told: " + all_of(unclear);
    if (const auto& other = pre.empty() ? post : pre; !other.empty()) {
      message += " (and " + all_of(other) + ", " + (pre.empty() ? "post_deploy" : "pre_deploy") + ")";
    }
    message += ". Say it yourself";
  }
  message += both ? ", or say which stage it is: write" : ": write";
  message +=
      " -- syzygy:stage pre_deploy or -- syzygy:stage post_deploy into the file, or set it in the configuration "
      "([stages.override] \"" +
      id.value + "\" = \"post_deploy\")";
  std::map<std::string, std::string> metadata{{"id", id.value}, {"file", script.path}};
  if (!pre.empty()) metadata["pre_deploy"] = place(pre.front());
  if (!post.empty()) metadata["post_deploy"] = place(post.front());
  if (!unclear.empty()) metadata["ambiguous"] = place(unclear.front());
  const std::vector<Judged>& first = !unclear.empty() ? unclear : post;
  metadata["line"] = std::to_string(first.front().place.line);
  return failure(ErrorCode::kFailedPrecondition, "STAGE_AMBIGUOUS", std::move(message), std::move(metadata));
}

}  // namespace syzygy
