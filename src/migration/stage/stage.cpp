#include "migration/stage/stage.h"

#include <algorithm>

namespace syzygy {
namespace {

std::optional<Stage> configured(const std::map<std::string, Stage>& exact, const std::optional<Stage>& all,
                                const StepId& id) {
  for (const auto& [name, stage] : exact) {
    if (compare_ids(name, id.value) == 0) return stage;
  }
  return all;
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
  if (const auto stage = configured(rules.overrides, rules.override_all, id)) {
    return StageDecision{*stage, StageSource::kOverride, "given in the configuration"};
  }

  Created created;
  std::optional<Judged> pre;
  std::optional<Judged> post;
  std::optional<Judged> unclear;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    Judged here{place_in(statements[i], meanings[i].stopped_at), judge(meanings[i], created, rules)};
    created.note(meanings[i]);
    auto& side = here.judgement.verdict == Verdict::kPreDeploy    ? pre
                 : here.judgement.verdict == Verdict::kPostDeploy ? post
                                                                  : unclear;
    if (here.judgement.verdict != Verdict::kNeutral && !side) side = std::move(here);
  }
  const auto place = [&](const Judged& judged) { return at(script.path, judged.place); };
  if (!unclear && !(pre && post)) {
    if (!pre && !post) {
      return StageDecision{Stage::kPreDeploy, StageSource::kStatements,
                           "inferred: nothing in it concerns code that runs"};
    }
    const Judged& by = pre ? *pre : *post;
    return StageDecision{pre ? Stage::kPreDeploy : Stage::kPostDeploy, StageSource::kStatements,
                         "inferred: " + by.judgement.why + " (" + place(by) + ")"};
  }
  // A fallback settles a disagreement between statements, and what cannot be told.
  if (const auto stage = configured(rules.fallbacks, rules.fallback_all, id)) {
    return StageDecision{*stage, StageSource::kFallback, "the configuration's fallback, where statements disagree"};
  }
  std::string message;
  if (pre && post) {
    message = "migration " + id.value + " belongs to both stages: " + place(*pre) + " " + pre->judgement.why +
              " (pre_deploy), and " + place(*post) + " " + post->judgement.why +
              " (post_deploy). Put them into two migrations";
  } else {
    message =
        "the stage of migration " + id.value + " cannot be told: " + place(*unclear) + " " + unclear->judgement.why;
    if (const auto& other = pre ? pre : post) {
      message +=
          " (and " + place(*other) + " " + other->judgement.why + ", " + (pre ? "pre_deploy" : "post_deploy") + ")";
    }
    message += ". Say it yourself";
  }
  message += pre && post ? ", or say which stage it is: write" : ": write";
  message +=
      " -- syzygy:stage pre_deploy or -- syzygy:stage post_deploy into the file, or set it in the configuration "
      "([stages.override] \"" +
      id.value + "\" = \"post_deploy\")";
  std::map<std::string, std::string> metadata{{"id", id.value}, {"file", script.path}};
  if (pre) metadata["pre_deploy"] = place(*pre);
  if (post) metadata["post_deploy"] = place(*post);
  if (unclear) metadata["ambiguous"] = place(*unclear);
  return failure(ErrorCode::kFailedPrecondition, "STAGE_AMBIGUOUS", std::move(message), std::move(metadata));
}

}  // namespace syzygy
