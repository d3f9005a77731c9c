// ledger.h - our own tables in the target, as functions: the fence row, the history, the outcomes, the begun marks.
//
// The same SQL for every database (driver.h). A function that writes says in which transaction it must be called; none
// begins or ends one, except prepare(). The layout has a version (meta), and a newer one than ours is refused, not
// read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/target/driver.h"
#include "migration/target/target.h"

namespace syzygy::migration {

inline constexpr int kLedgerVersion = 2;

// The id as the key of a unique index: two ids are the same migration exactly if their keys are equal (source.h,
// same_id).
std::string step_key(const StepId& id);

class Ledger {
 public:
  Ledger(Driver& driver, std::string application) : db_(driver), application_(std::move(application)) {}

  // 0: nothing of ours is here.
  Sql<int> version();
  // Creates and upgrades, in a transaction of its own. False: another process is at it; look again.
  Sql<bool> prepare();
  // The row of this application stands. Outside a transaction, or in any.
  Sql<bool> has_row();

  // ---- reads. REQUIRES: version() has been asked, and is not 0; an older layout is read, too.
  struct Fence {
    std::string id;
    ClaimRow claim;
    ClaimRow previous;
    bool adopted = false;
    std::string kept_table;  // another tool's, that we write too
    std::string target;      // the name that the clusters share for it; empty: nobody has joined or claimed by name yet
  };
  Sql<std::optional<Fence>> fence();
  // As fence(), locked until the end of the transaction.
  Sql<std::optional<Fence>> lock_fence(bool nowait);
  Sql<std::vector<AppliedRow>> applied();
  Sql<std::vector<Step>> recent();
  Sql<std::vector<StepId>> applied_ids();
  Sql<bool> is_applied(const StepId& id);
  Sql<std::vector<BegunStep>> begun();
  Sql<std::optional<BegunStep>> begun(const StepId& id);
  Sql<std::optional<OutcomeRow>> last_outcome();
  Sql<std::optional<OutcomeRow>> outcome_of(const RoundId& round);
  Sql<std::vector<HistoryEntry>> history();
  Sql<std::vector<AuditEntry>> audit();

  // ---- writes. REQUIRES: a transaction that holds the fence row.
  Sql<void> write_claim(const ClaimRow& claim, const ClaimRow& previous);
  Sql<void> write_ended();
  Sql<void> write_target(std::string_view name);
  Sql<void> write_begun(const RunInfo& run, const Step& step);
  Sql<void> forget_begun(const StepId& id);
  Sql<void> write_begun_ended(const StepId& id, std::string_view words);
  // The step's row; a down also takes back the up that stood, and a new text of a repeatable one the text before.
  Sql<void> write_history(const RunInfo& run, const Step& step, Duration took);
  Sql<void> write_outcome(const RunInfo& run, Outcome outcome);
  Sql<void> write_adopted(const KnownStep& step, std::string_view who);
  Sql<void> write_adopted_revert(const StepId& id, std::string_view who);
  Sql<void> write_adoption(const std::string& kept_table);
  Sql<void> write_content(const StepId& id, const std::string& content);
  Sql<void> write_audit(const AuditEntry& entry);

 private:
  Sql<std::optional<Fence>> read_fence(const std::string& suffix);
  Sql<std::vector<BegunStep>> read_begun(const std::string& suffix, const std::vector<std::string>& params);
  [[nodiscard]] std::string t(std::string_view name) const { return db_.table(name); }
  Sql<void> write(std::string_view sql, const std::vector<std::string>& params = {});

  Driver& db_;
  std::string application_;
  int stands_ = kLedgerVersion;  // the layout that version() saw last
  bool found_ = false;           // it was there, and readable; looked for again after an error
};

}  // namespace syzygy::migration
