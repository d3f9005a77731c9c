#include "tests/sim/client.h"

#include <algorithm>
#include <utility>

#include "transport/wire/response.h"

namespace syzygy::sim {
namespace {

constexpr Ms kAttempt = 5'000;
constexpr Ms kConnect = 30'000;
constexpr Ms kLeaveBound = 2'000;
constexpr Ms kReportBound = 600'000;
constexpr Ms kReportAfterStop = 10'000;
constexpr Ms kReread = 30'000;
constexpr Ms kPoll = 250;

Error no_answer() { return Error{ErrorCode::kUnavailable, "NO_ANSWER", "nothing came back in time", {}, std::nullopt}; }

bool may_heal(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kResourceExhausted;
}

// A refusal by the machine is an error for whoever asked.
Result<engine::TargetAnswer> accepted(Result<engine::TargetAnswer> answer) {
  if (answer && answer->reply.error) return std::unexpected(*answer->reply.error);
  return answer;
}

const round::Round* find(const engine::TargetState& state, const RoundId& id) {
  const auto found = std::ranges::find(state.record.rounds, id, &round::Round::id);
  return found == state.record.rounds.end() ? nullptr : &*found;
}

}  // namespace

std::shared_ptr<const v1::Target> Views::of(const engine::TargetStatePtr& state) {
  for (const auto& [known, view] : recent_) {
    if (known == state) return view;
  }
  auto view = std::make_shared<const v1::Target>(wire::to_proto(*state));
  recent_.insert(recent_.begin(), {state, view});
  if (recent_.size() > 8) recent_.pop_back();
  return view;
}

Caller::Caller(Surroundings& around, Node node, std::string name)
    : Process(around.world, node, std::move(name)),
      around_(around),
      endpoint_(around.world.chance().below(around.daemons.size())) {}

Client::Client(Surroundings& around, Node node, std::string name, Job job,
               std::function<void(const std::string&)> on_end)
    : Caller(around, node, std::move(name)),
      job_(std::move(job)),
      on_end_(std::move(on_end)),
      rejoin_(Duration{50}, Duration{3'000}) {
  self_.incarnation = IncarnationId{this->name()};
}

Client::~Client() = default;

void Client::begin() {
  deadline_ = world_.now() + job_.timeout;
  astray_since_ = unshown_since_ = world_.now();
  stories_.reserve(3);
  stories_.push_back(live());
  stories_.front().start();
}

void Client::kill() {
  if (!alive_) return;
  world_.tell(name() + " is killed");
  alive_ = false;
  stories_.clear();
  around_.database.end_soon(session_);
  for (const SessionPtr& child : children_) around_.database.end_soon(child);
  if (stream_) {
    // The daemon notices in its own time.
    world_.after(world_.chance().between(0, 8'000), [at = stream_at_, stream = stream_] { at->unwatch(stream); });
  }
  on_end_("killed");
}

void Client::tell_to_stop() {
  if (!alive_ || stop_wanted_) return;
  world_.tell(name() + " is told to stop");
  stop_wanted_ = true;
  wake();
}

void Client::check(Ms now) {
  if (!alive_) return;
  if (running()) ran_until_ = now;  // its deadline bounds waiting, never a claim or a run
  // Once nothing goes wrong any more, whoever waits is somewhere waited for.
  constexpr Ms kAstray = 20'000;
  const bool calm = world_.is_calm() && now > world_.calm_since() + kAstray;
  if (!calm || !member_ || running() || stopped() || now > deadline_ || is_known()) astray_since_ = now;
  if (now > astray_since_ + kAstray) {
    return world_.broke("20: " + name() + " waits for round " + self_.round.value +
                        ", and for 20 s no round that goes on has known of it");
  }
  if (!member_ || running() || stopped() || is_shown()) unshown_since_ = now;
  if (now > unshown_since_ + 2'000) {
    return world_.broke("20: " + name() + " waits for round " + self_.round.value +
                        ", and what it was shown 2 s ago says that it is not in it");
  }
  if (running() || stopped()) return;
  const Ms since = std::max(deadline_, ran_until_);
  if (now > since + stopped_in_all() + 12'000) {
    world_.broke("20: " + name() + " has not returned, and its deadline is over for " + std::to_string(now - since) +
                 " ms");
  }
}

// By what it sees of the round, as far as that goes on.
bool Client::is_shown() const {
  const round::Round* r = state_ ? find(*state_, self_.round) : nullptr;
  if (r == nullptr || self_.settling || round::is_final(r->state)) return true;
  return std::ranges::any_of(r->members, [this](const round::Member& member) {
    return member.incarnation == self_.incarnation && member.standing != round::Standing::kLeft;
  });
}

bool Client::is_known() const {
  const round::Record& record = around_.checker.record();
  const auto me = [this](const round::Member& member) {
    return member.incarnation == self_.incarnation && member.standing != round::Standing::kLeft;
  };
  return std::ranges::any_of(record.guests, me) || std::ranges::any_of(record.rounds, [&](const round::Round& r) {
           return !round::is_final(r.state) && std::ranges::any_of(r.members, me);
         });
}

void Client::end(const std::string& how) {
  if (ended_) return;
  ended_ = true;
  alive_ = false;
  world_.tell(name() + " ends: " + how);
  world_.saw("end " + how.substr(0, how.find(' ')));
  around_.database.end(session_);
  if (stream_) stream_at_->unwatch(stream_);
  // Its stories are on the stack: they go when the world does not look.
  auto stories = std::make_shared<std::vector<Task<>>>(std::move(stories_));
  stories_.clear();
  world_.after(0, [stories] { stories->clear(); });
  on_end_(how);
}

void Client::finish(round::State state, const RoundId& id) {
  if (state == round::State::kSucceeded || state == round::State::kFailed) around_.checker.told(name(), id, state);
  if (state == round::State::kFailed && state_) {
    if (const round::Round* r = find(*state_, id); r != nullptr && r->outcome) to_acknowledge_ = r->outcome->revision;
  }
}

// ---- waiting ----

Later<bool> Caller::timer(Ms until) {
  Later<bool> later;
  world_.at(until, [this, setter = later.setter()] { deliver([setter] { setter.set(true); }); });
  return later;
}

Later<bool> Client::woken_or(Ms until) {
  Later<bool> later = timer(until);
  main_ = later.setter();
  return later;
}

void Client::wake() {
  if (!main_) return;
  const auto setter = *main_;
  later(0, [setter] { setter.set(false); });
}

// ---- asking ----

Task<Caller::Answer> Caller::call(round::Command command, Ms timeout) {
  Later<Answer> later;
  const auto setter = later.setter();
  Daemon& daemon = endpoint();
  const auto reply = [this, setter](Answer answer) {
    deliver([setter, answer = std::move(answer)] { setter.set(answer); });
  };
  const auto arrive = [this, &daemon, command, reply] { daemon.ask(node(), command, false, reply); };
  const std::string what =
      world_.traced() ? name() + " asks " + daemon.name() + " (" + std::to_string(command.index()) + ")" : "";
  if (world_.traced()) world_.tell("   > " + what);
  world_.send(node(), daemon.node(), what, arrive);
  // Somebody repeats its words, with another meaning. What comes first counts, so it comes once that is executed.
  const auto alter = [&](auto forged) {
    if (!world_.strikes(Fault::kRequestAltered, what)) return;
    world_.after(world_.chance().between(5, 3'000), [this, &daemon, forged] {
      if (!around_.checker.executed(forged.request)) return;
      daemon.ask(node(), round::Command{forged}, true, [](const Answer&) {});
    });
  };
  if (const auto* report = std::get_if<round::Report>(&command)) {
    round::Report forged = *report;
    forged.message += " (altered)";
    alter(forged);
  }
  if (const auto* leave = std::get_if<round::Leave>(&command)) {
    round::Leave forged = *leave;
    forged.reason += " (altered)";
    alter(forged);
  }
  world_.after(timeout, [this, setter] { deliver([setter] { setter.set(std::unexpected(no_answer())); }); });
  Answer answer = co_await later;
  if (answer) merge(answer->state);
  co_return accepted(std::move(answer));
}

Task<Caller::Answer> Caller::insist(round::Command command, Ms until, bool heeds_stop) {
  Backoff backoff(Duration{50}, Duration{3'000});
  std::size_t tries = 0;
  Ms patience = kAttempt;
  for (;;) {
    const Ms left = until - world_.now();
    if (left <= 0) co_return std::unexpected(no_answer());
    if (heeds_stop && stop_wanted_) {
      co_return std::unexpected(Error{ErrorCode::kCancelled, "STOPPED", "stopped", {}, std::nullopt});
    }
    Answer answer = co_await call(command, std::min(left, patience));
    if (answer || !may_heal(answer.error())) co_return answer;
    ++endpoint_;
    patience = std::min(patience + kAttempt, 6 * kAttempt);
    if (++tries % around_.daemons.size() == 0) {
      const Ms pause = backoff.pause(world_.chance().unit(), answer.error().retry_after).count();
      co_await timer(std::min(until, world_.now() + pause));
    }
  }
}

template <class R>
Task<std::optional<R>> Client::query(Fault loses, std::function<R()> at_server) {
  if (!session_ || !session_->alive) session_ = around_.database.connect();
  Later<std::optional<R>> later;
  const auto setter = later.setter();
  const SessionPtr session = session_;
  const auto lose = [this, setter, session](Ms after) {
    around_.database.end_soon(session);
    this->later(after, [setter] { setter.set(std::nullopt); });
  };
  Database& database = around_.database;
  if (database.away() || !world_.open(node(), kDatabaseNode)) {
    lose(world_.chance().between(10, 2'000));
  } else {
    const bool lost = world_.strikes(loses, name());
    // A commit's answer is lost after the commit; another's at any time.
    const bool before = lost && loses != Fault::kDatabaseCommitLost && world_.chance().chance(500);
    if (before) {
      lose(world_.chance().between(1, 300));
    } else {
      world_.after(world_.latency(), [this, &database, lost, lose, setter, session, at_server = std::move(at_server)] {
        if (!session->alive) return lose(1);
        R result = at_server();
        if (lost || database.away() || !world_.open(kDatabaseNode, node()))
          return lose(world_.chance().between(1, 2'000));
        this->later(world_.latency(), [setter, result = std::move(result)] { setter.set(result); });
      });
    }
  }
  std::optional<R> result = co_await later;
  if (!result && session_ == session) session_ = nullptr;
  co_return result;
}

// ---- what it knows ----

void Client::merge(const engine::TargetStatePtr& state) {
  if (!state || state->record.revision == Revision{}) return;
  auto view = around_.views.of(state);
  if (!is_newer(view_.get(), *view)) return;
  if (view_ != nullptr && view_->epoch() != view->epoch()) self_.dealt = self_.running;
  view_ = std::move(view);
  state_ = state;
  remember();
  wake();
}

// As client/cpp/session.cpp does, which keeps protobuf messages.
void Client::remember() {
  const RoundId& own = self_.running != Token{} ? self_.running_round : self_.round;
  if (!own.empty()) own_round_ = own;
  const round::Round* r = find(*state_, own_round_);
  if (r != nullptr && r->grant) {
    applier_of_ = own_round_;
    applier_ = *r->grant;
  }
  const bool another = remembered_ && remembered_->epoch != state_->epoch;
  if (another && (state_->record.resync || state_->record.token < remembered_->record.token)) return;
  remembered_ = state_;
}

std::optional<round::Memory> Client::memory(bool with_round) const {
  if (!remembered_) return std::nullopt;
  const round::Record& seen = remembered_->record;
  round::Memory out{remembered_->epoch, seen.revision, seen.token, std::nullopt};
  const round::Round* r = find(*remembered_, own_round_);
  const bool needed = with_round || memory_refused_ || remembered_ != state_ || state_->record.resync;
  if (r == nullptr || !needed || r->state == round::State::kGathering) return out;
  round::RememberedRound& was = out.round.emplace();
  was.id = r->id;
  was.plan = r->plan;
  was.quorum = r->effective;
  was.state = r->state;
  if (applier_of_ != own_round_) return out;
  was.applier = applier_.incarnation;
  was.applier_party = applier_.party;
  was.token = applier_.token;
  was.fenced = applier_.fenced || (self_.fenced && self_.running == applier_.token);
  return out;
}

void Client::set_lease(Ms sent_at, Duration left) {
  if (sent_at < lease_sent_) return;
  lease_sent_ = sent_at;
  lease_until_ = sent_at + left.count();
}

bool Client::lease_is_over() const {
  return confirmed_ && !self_.fenced && (token_refused_ || world_.now() >= lease_until_);
}

Client::Why Client::must_stop() const {
  if (stop_wanted_) return Why::kRequested;
  if (!running()) return Why::kNo;
  if (lease_is_over()) return Why::kLeaseOver;
  if (view_ == nullptr) return Why::kNo;
  const Move move = next_move(*view_, self_);
  const auto* stop = std::get_if<moves::Stop>(&move);
  if (stop == nullptr) return Why::kNo;
  return stop->why == moves::Stop::Why::kSevered ? Why::kSevered : Why::kTokenLost;
}

Plan Client::plan_of(const std::vector<Step>& steps) const {
  Plan plan;
  plan.target = kTarget;
  plan.steps = steps;
  return plan;
}

Plan Client::pending_plan() const {
  if (!job_.opaque.empty()) return opaque_plan(kTarget, PlanStage::kAll, job_.opaque, job_.on_lost);
  std::vector<Step> pending;
  for (const Step& step : job_.directory) {
    if (!around_.database.is_applied(step.id)) pending.push_back(step);
  }
  return plan_of(pending);
}

round::Finding Client::finding(const Plan& plan, const RoundId& id, const migration::Snapshot& snapshot,
                               const migration::ClaimRow& last_run) const {
  round::Finding found;
  for (const auto& row : snapshot.applied) {
    if (row.round == id) found.committed.push_back(row.step.id);
  }
  using Kind = round::Finding::Kind;
  const auto comparison = migration::compare(plan, id, snapshot, last_run);
  if (std::holds_alternative<migration::OutcomeInTarget>(comparison)) {
    found.kind = Kind::kOutcome;
    found.outcome = round::TargetOutcome{snapshot.outcome->round, snapshot.outcome->token, round::State::kSucceeded};
  } else if (std::holds_alternative<migration::NothingLeft>(comparison)) {
    found.kind = Kind::kNothing;
  } else if (const auto* left = std::get_if<migration::SuffixLeft>(&comparison)) {
    found.kind = left->from == 0 ? Kind::kWhole : Kind::kSuffix;
    found.from_step = left->from;
  } else if (const auto* begun = std::get_if<migration::BegunUnfinished>(&comparison)) {
    found.kind = Kind::kBegun;
    found.step = begun->step;
    found.begun_by = begun->by;
  } else if (std::holds_alternative<migration::CannotJudge>(comparison)) {
    found.kind = Kind::kUnknown;
  } else {
    found.kind = Kind::kOther;
  }
  world_.saw("finding " + std::to_string(static_cast<int>(found.kind)));
  return found;
}

// ---- its life ----

Task<> Client::live() {
  bool first = true;
  for (;;) {
    // What is pending, read in one snapshot.
    struct Read {
      Plan plan;
      round::Snapshot snapshot;
    };
    std::optional<Read> read;
    if (job_.has_database) {
      for (int attempt = 0; attempt < 3 && !read; ++attempt) {
        read = co_await query<Read>(Fault::kDatabaseLost, [this] {
          read_at_ = world_.now();
          const std::string last = job_.directory.empty() ? "" : job_.directory.back().id.value;
          return Read{pending_plan(), around_.database.seen_by_join(last)};
        });
        if (!read) co_await timer(world_.now() + 100);
      }
      if (!read) {
        if (ever_joined_) co_await goodbye();
        end("unread");
        co_return;
      }
    } else {
      read_at_ = world_.now();
      read = Read{pending_plan(), {}};
    }
    around_.database.end(session_);  // nothing is held open while waiting
    plan_ = read->plan.steps.empty() ? std::nullopt : std::optional(read->plan);

    round::Join join;
    join.request = next_request();
    join.party = job_.party;
    join.plan = plan_;
    join.quorum = job_.quorum;
    join.timeout = Duration{std::max<Ms>(deadline_ - world_.now(), 1)};
    join.may_apply = !job_.voter_only;
    join.checked = false;
    if (job_.has_database) {
      join.binding = round::Binding{"minted", "system", "database", "default"};
      join.snapshot = read->snapshot;
    }
    join.host = name();
    join.memory = memory(true);
    const bool visit = !plan_;
    const Ms began = world_.now();
    const Ms give_up = visit          ? std::min(deadline_, began + kLeaveBound)
                       : ever_joined_ ? deadline_
                                      : std::min(deadline_, began + kConnect);
    const Ms sent_at = world_.now();
    Answer answer = co_await insist(round::Command{join}, give_up, true);
    if (!answer) {
      if (answer.error().reason == "STOPPED") {
        co_await goodbye();
        end("stopped");
      } else if (visit) {
        end("nothing-pending unheard");
      } else if (!may_heal(answer.error())) {
        end("refused " + answer.error().reason);
      } else if (world_.now() >= deadline_) {
        if (ever_joined_) co_await goodbye();
        end("deadline");
      } else {
        end("unreachable");
      }
      co_return;
    }
    const RoundId round = answer->reply.round.value_or(RoundId{});
    const round::Verdict verdict = answer->reply.verdict;
    const bool waits = verdict == round::Verdict::kWait || verdict == round::Verdict::kSettle;
    self_.round = round;
    self_.settling = verdict == round::Verdict::kSettle;
    member_ = waits;
    unknown_to_daemon_ = false;
    ever_joined_ = true;
    if (!waits) {
      switch (verdict) {
        case round::Verdict::kNothingPending:
          end("nothing-pending");
          break;
        case round::Verdict::kApplied:
          if (!round.empty()) finish(round::State::kSucceeded, round);
          if (plan_) around_.checker.told_applied(name(), *plan_, read_at_);
          end("already-applied");
          break;
        case round::Verdict::kFailed:
          finish(round::State::kFailed, round);
          co_await acknowledge();
          end("failed");
          break;
        default:
          end("indeterminate");
      }
      co_return;
    }
    set_lease(sent_at, answer->lease_left);
    if (answer->renew_after.count() > 0) renew_after_ = answer->renew_after.count();
    decided_ = nullptr;
    if (first) {
      first = false;
      stories_.push_back(keep_lease());
      stories_.back().start();
      stories_.push_back(keep_watch());
      stories_.back().start();
    }
    if (keeper_) keeper_->set(true);
    const Ms joined_at = world_.now();
    const bool again = co_await wait_for_outcome();
    if (!again) co_return;
    member_ = false;
    self_.round = RoundId{};
    self_.settling = false;
    if (world_.now() - joined_at >= 5'000) {
      rejoin_.reset();
    } else {
      co_await timer(std::min(deadline_, world_.now() + rejoin_.pause(world_.chance().unit()).count()));
    }
    if (world_.now() >= deadline_) {
      end("deadline");
      co_return;
    }
  }
}

// True: join again. False: it has ended.
Task<bool> Client::wait_for_outcome() {
  Ms reread_at = world_.now() + kReread;
  Ms reread_last = 0;
  for (;;) {
    if (stop_wanted_) {
      if (!left_) co_await goodbye();
      end("stopped");
      co_return false;
    }
    if (std::exchange(unknown_to_daemon_, false) && !left_) co_return true;
    const Move move = view_ ? next_move(*view_, self_) : Move{moves::Wait{}};
    if (const auto* claim = std::get_if<moves::Claim>(&move); claim != nullptr && !left_) {
      co_await apply(*claim);
      if (ended_) co_return false;
      continue;
    }
    if (const auto* done = std::get_if<moves::Finish>(&move)) {
      const bool elsewhere = done->round != self_.round;
      if (done->state == v1::ROUND_STATE_SUCCEEDED) {
        finish(round::State::kSucceeded, done->round);
        if (plan_) around_.checker.told_applied(name(), *plan_, read_at_);
        end("applied");
      } else if (done->state == v1::ROUND_STATE_FAILED) {
        finish(round::State::kFailed, done->round);
        co_await acknowledge();
        end("failed");
      } else {
        if (elsewhere) co_await goodbye();
        end(done->state == v1::ROUND_STATE_DISSOLVED ? "dissolved" : "indeterminate");
      }
      co_return false;
    }
    if (std::holds_alternative<moves::Rejoin>(move) && !left_) co_return true;
    if (world_.now() >= deadline_) {
      if (!left_) co_await goodbye();
      end("deadline");
      co_return false;
    }
    // What is pending may have changed while its round gathers.
    const round::Round* own = state_ ? find(*state_, self_.round) : nullptr;
    const bool gathers = own != nullptr && own->state == round::State::kGathering && !self_.settling && !left_;
    const auto before = std::exchange(decided_, view_);
    if (gathers && before != view_ && hints_at_change(before.get(), *view_, self_.round)) {
      reread_at = std::min(reread_at, reread_last + 1'000);
    }
    if (gathers && job_.has_database && world_.now() >= reread_at) {
      reread_last = world_.now();
      reread_at = reread_last + kReread;
      const auto now_pending = co_await query<Plan>(Fault::kDatabaseLost, [this] { return pending_plan(); });
      around_.database.end(session_);
      if (now_pending && plan_ && now_pending->steps != plan_->steps) {
        if (co_await goodbye()) co_return true;
        reread_at = world_.now() + kLeaveBound;
      }
      continue;
    }
    co_await woken_or(gathers && job_.has_database ? std::min(deadline_, reread_at) : deadline_);
  }
}

Task<bool> Client::goodbye() {
  round::Leave leave;
  leave.request = next_request();
  leave.reason = "it waits no longer";
  Answer left = co_await insist(round::Command{leave}, world_.now() + kLeaveBound, false);
  const bool told = left.has_value() || !may_heal(left.error());
  if (told) member_ = false;
  co_return told;
}

Task<> Client::acknowledge() {
  if (to_acknowledge_ == Revision{}) co_return;
  round::Leave leave;
  leave.request = next_request();
  leave.reason = "the failure was told";
  leave.acknowledge = to_acknowledge_;
  leave.party = job_.party;
  co_await insist(round::Command{leave}, world_.now() + kLeaveBound, false);
}

Task<> Client::keep_lease() {
  Backoff backoff(Duration{50}, Duration{3'000});
  Ms retry_at = 0;
  Token renewed;
  for (;;) {
    const bool changed = self_.running != renewed;
    const Ms due = std::max(changed ? 0 : lease_sent_ + renew_after_, retry_at);
    if (!member_ || world_.now() < due) {
      Later<bool> later = timer(member_ ? due : world_.now() + 60'000);
      keeper_ = later.setter();
      co_await later;
      continue;
    }
    const round::Renew renew{self_.incarnation, self_.running, memory(false)};
    const Ms sent_at = world_.now();
    Answer answer = co_await call(round::Command{renew}, std::clamp<Ms>(renew_after_, 250, kAttempt));
    if (answer) {
      backoff.reset();
      memory_refused_ = false;
      retry_at = 0;
      renewed = renew.token;
      set_lease(sent_at, answer->lease_left);
      if (answer->renew_after.count() > 0) renew_after_ = std::max<Ms>(answer->renew_after.count(), 20);
      if (renew.token != Token{} && self_.running == renew.token && answer->reply.token == Token{})
        token_refused_ = true;
      if (lease_is_over()) wake();
      continue;
    }
    if (answer.error().code == ErrorCode::kNotFound || answer.error().code == ErrorCode::kFailedPrecondition) {
      unknown_to_daemon_ = member_;
      memory_refused_ = true;
      wake();
    } else {
      ++endpoint_;
    }
    retry_at = world_.now() + backoff.pause(world_.chance().unit(), answer.error().retry_after).count();
  }
}

Task<> Client::keep_watch() {
  Backoff backoff(Duration{50}, Duration{3'000});
  std::size_t at = world_.chance().below(around_.daemons.size());
  for (;;) {
    Later<bool> broken;
    const auto setter = broken.setter();
    auto stream = std::make_shared<Stream>();
    stream->number = world_.next_number();
    stream->client = node();
    stream->on_update = [this, &backoff](const engine::Update& update) {
      deliver([this, &backoff, update] {
        backoff.reset();
        merge(update.state);
      });
    };
    stream->on_broken = [this, setter] { deliver([setter] { setter.set(true); }); };
    Daemon& daemon = *around_.daemons[at++ % around_.daemons.size()];
    stream_ = stream;
    stream_at_ = &daemon;
    const std::string epoch = state_ ? state_->epoch : "";
    const Revision after = state_ ? state_->record.revision : Revision{};
    // A connection that cannot be made is noticed.
    if (!world_.open(node(), daemon.node()) || !world_.open(daemon.node(), node())) {
      stream->broken = true;
      later(world_.chance().between(50, 3'000), [stream] { stream->on_broken(); });
    } else {
      world_.after(world_.latency(), [&daemon, stream, epoch, after] {
        if (!stream->broken) daemon.watch(stream, epoch, after);
      });
    }
    co_await broken;
    stream->broken = true;
    world_.after(world_.latency(), [&daemon, stream] { daemon.unwatch(stream); });
    co_await timer(world_.now() + backoff.pause(world_.chance().unit()).count());
  }
}

// ---- applying ----

Task<> Client::apply(moves::Claim chosen) {
  self_.dealt = self_.running = chosen.token;
  self_.running_round = chosen.round;
  self_.fenced = false;
  confirmed_ = false;
  token_refused_ = false;
  if (keeper_) keeper_->set(true);
  const round::Round r = *find(*state_, chosen.round);
  auto confirm = co_await claim(r, chosen.token);
  if (!confirm) {
    self_.running = Token{};
    co_return;
  }
  const bool fenced = confirm->fenced;
  const Ms sent_at = world_.now();
  Answer answer =
      co_await insist(round::Command{*confirm}, std::max(lease_until_, world_.now()) + kReportBound, !stop_wanted_);
  if (answer) set_lease(sent_at, answer->lease_left);
  const bool proceeds = answer && answer->reply.verdict == round::Verdict::kProceed;
  if (!proceeds) {
    const bool stopped = !answer && answer.error().reason == "STOPPED";
    if (stopped) {
      // Nothing runs: it leaves as one who has not begun.
      Database::Run none{r.id, chosen.token, self_.incarnation, fenced};
      co_await leave_running(r.plan, none, r.plan.opaque);
      co_return;
    }
    self_.running = Token{};
    co_return;
  }
  self_.fenced = fenced;
  confirmed_ = true;
  Database::Run as{r.id, chosen.token, self_.incarnation, fenced && !r.plan.opaque};
  co_await run(r, as, answer->reply.from_step);
}

// nullopt: it has nothing to say (a stop is dealt with by the caller).
Task<std::optional<round::Confirm>> Client::claim(const round::Round& r, Token token) {
  round::Confirm confirm;
  confirm.request = next_request();
  confirm.round = r.id;
  confirm.token = token;
  const bool outside = std::ranges::any_of(r.plan.steps, [](const Step& step) { return !step.atomic; });
  confirm.fenced = job_.has_database && !r.plan.opaque && !(outside && job_.pooler);
  if (!job_.has_database) {
    confirm.finding.kind = round::Finding::Kind::kUnknown;
    co_return confirm;
  }
  const Database::Run as{r.id, token, self_.incarnation, confirm.fenced};
  std::optional<migration::ClaimRow> previous;
  int losses = 0;
  const auto decline = [&](const std::string& why) {
    confirm.claim = round::Claim::kDeclined;
    confirm.reason = why;
    return confirm;
  };
  for (;;) {
    const Why why = must_stop();
    if (why != Why::kNo) co_return decline("stopped while it claimed");
    Database& database = around_.database;
    if (!previous) {
      const auto taken = co_await query<std::variant<migration::ClaimRow, migration::ClaimRefused, Database::NotGiven>>(
          Fault::kDatabaseCommitLost, [&database, as] { return database.try_claim(as); });
      if (!taken) {
        if (++losses >= 5) co_return decline("the database cannot be reached");
        co_await timer(world_.now() + kPoll);
        continue;
      }
      if (const auto* refused = std::get_if<migration::ClaimRefused>(&*taken)) {
        confirm.claim = round::Claim::kRefused;
        confirm.row_token = refused->row.token;
        co_return confirm;
      }
      if (std::holds_alternative<Database::NotGiven>(*taken)) {
        co_await timer(world_.now() + kPoll);
        continue;
      }
      previous = std::get<migration::ClaimRow>(*taken);
    }
    const auto seen = co_await query<std::variant<migration::Snapshot, migration::ClaimRefused, Database::NotGiven>>(
        Fault::kDatabaseLost, [&database, as] { return database.complete(as); });
    if (!seen) {
      if (++losses >= 5) co_return decline("the database cannot be reached");
      co_await timer(world_.now() + kPoll);
      continue;
    }
    if (const auto* refused = std::get_if<migration::ClaimRefused>(&*seen)) {
      confirm.claim = round::Claim::kRefused;
      confirm.row_token = refused->row.token;
      co_return confirm;
    }
    if (std::holds_alternative<Database::NotGiven>(*seen)) {
      co_await timer(world_.now() + kPoll);
      continue;
    }
    const auto& snapshot = std::get<migration::Snapshot>(*seen);
    if (r.plan.opaque) {
      confirm.finding.kind = round::Finding::Kind::kUnknown;
      if (r.last_run && !previous->ended) {
        const auto left = co_await query<bool>(Fault::kDatabaseLost, [&database, last = *previous] {
          return database.child_sessions(last.round, last.token);
        });
        confirm.finding.sessions_gone = left.has_value() && !*left;
      } else {
        confirm.finding.sessions_gone = previous->ended;
      }
      co_return confirm;
    }
    confirm.finding = finding(r.plan, r.id, snapshot, *previous);
    // What is applied is what is pending here now, or nothing.
    const bool whole = confirm.finding.kind == round::Finding::Kind::kWhole;
    if (!r.last_run && whole && pending_plan().steps != r.plan.steps) {
      confirm.finding.kind = round::Finding::Kind::kOther;
    }
    co_return confirm;
  }
}

Task<> Client::run(const round::Round& r, Database::Run as, std::size_t from) {
  bool left = false;
  bool by_hand = false;  // the last step, while the connection was lost: then no outcome stands
  const std::size_t steps = r.plan.steps.size();
  for (std::size_t i = from; i < steps; ++i) {
    round::Progressed progressed{r.id, self_.incarnation, as.token, static_cast<std::uint32_t>(i), r.plan.steps[i].id,
                                 ""};
    world_.send(node(), endpoint().node(), "progress", [this, &daemon = endpoint(), progressed] {
      daemon.ask(node(), round::Command{progressed}, false, [](const Answer&) {});
    });
    std::optional<round::Report> over;
    if (r.plan.opaque) {
      over = co_await run_command(r.plan, as, left);
    } else {
      over = co_await run_step(r.plan, i, as, left, by_hand);
    }
    if (ended_) co_return;
    if (left) {
      co_await leave_running(r.plan, as, r.plan.opaque);
      co_return;
    }
    if (over) {
      over->round = r.id;
      over->token = as.token;
      co_await report(*over);
      co_return;
    }
  }
  round::Report done;
  done.round = r.id;
  done.token = as.token;
  done.result = round::RunResult::kSucceeded;
  done.steps_done = static_cast<std::uint32_t>(steps);
  done.in_target = !r.plan.opaque && !by_hand;
  done.session_ended = true;
  co_await report(done);
}

// nullopt: the step stands in the history (or `left`: it was told to stop, and nothing of it is left running).
Task<std::optional<round::Report>> Client::run_step(const Plan& plan, std::size_t index, const Database::Run& as,
                                                    bool& left, bool& by_hand) {
  by_hand = false;
  const Step step = plan.steps[index];
  const bool last = index + 1 == plan.steps.size();
  Database& database = around_.database;
  round::Report report;
  report.failed_step = step.id;
  report.steps_done = static_cast<std::uint32_t>(index);
  report.session_ended = true;
  const auto heeds = [this, &as] { return heeds_stop(as); };
  const auto fenced_out = [&] {
    report.result = round::RunResult::kFencedOut;
    report.row_token = database.token();
    world_.saw("fenced out");
    return report;
  };
  for (;;) {
    if (heeds()) {
      left = true;
      co_return std::nullopt;
    }
    if (!session_ || !session_->alive) session_ = database.connect();
    const SessionPtr session = session_;
    using Begun = Database::Begun;
    const auto begun = co_await query<Begun>(Fault::kDatabaseLost, [&database, session, as, step] {
      return step.atomic ? database.begin(session, as, step) : database.begin_outside(session, as, step);
    });
    bool lost = !begun.has_value();
    if (begun == Begun::kBusy) {
      co_await timer(world_.now() + kPoll);
      continue;
    }
    if (begun == Begun::kFencedOut) co_return fenced_out();
    if (begun == Begun::kChanged) {
      report.result = round::RunResult::kChanged;
      world_.saw("changed");
      co_return report;
    }
    const Ms takes = world_.chance().between(1, 2 * job_.step_takes);
    if (!lost && step.atomic) {
      const Ms until = world_.now() + takes;
      while (world_.now() < until && !heeds()) co_await timer(std::min(until, world_.now() + 200));
      if (heeds()) {
        (void)co_await query<bool>(Fault::kDatabaseLost, [&database, session] {
          database.rollback(session);
          return true;
        });
        database.end(session);
        left = true;
        co_return std::nullopt;
      }
      if (world_.strikes(Fault::kStepFails, step.id.value)) {
        database.rollback(session);
        report.result = round::RunResult::kFailed;
        report.message = "the database refuses it";
        co_return report;
      }
      const auto committed = co_await query<bool>(Fault::kDatabaseCommitLost, [&database, session, as, step, last] {
        return database.commit(session, as, step, last);
      });
      if (committed == true) co_return std::nullopt;
      lost = true;
    } else if (!lost) {
      // The statement ends at the server; whoever is cut off hears nothing of it.
      Later<bool> ended;
      const auto setter = ended.setter();
      const bool goes = world_.strikes(Fault::kDatabaseLost, name());
      database.run_outside(session, as, step, takes, [this, setter, goes] {
        if (goes || around_.database.away() || !world_.open(kDatabaseNode, node())) return;
        this->later(world_.latency(), [setter] { setter.set(true); });
      });
      later(takes + 3'000, [setter] { setter.set(false); });
      if (!co_await ended) {
        database.end_soon(session);
        if (session_ == session) session_ = nullptr;
        lost = true;
      } else {
        const auto finished = co_await query<Begun>(Fault::kDatabaseCommitLost, [&database, session, as, step, last] {
          return database.finish_outside(session, as, step, last);
        });
        if (finished == Begun::kYes) co_return std::nullopt;
        if (finished == Begun::kFencedOut) co_return fenced_out();
        lost = true;
      }
    }
    if (!lost) continue;
    Known known = Known::kNotKnown;
    auto over = co_await settle(plan, index, as, known);
    by_hand = known == Known::kAppliedByHand;
    if (known == Known::kApplied || by_hand || over) co_return over;
    if (known == Known::kNotKnown) {
      // It cannot know what became of it: it says nothing, and confirms nothing.
      self_.running = Token{};
      confirmed_ = false;
      end("lost");
      co_return std::nullopt;
    }
  }
}

bool Client::heeds_stop(const Database::Run& as) const {
  const Why why = must_stop();
  return why != Why::kNo && (why != Why::kLeaseOver || !as.fenced);
}

// After a lost connection: what became of the step, as far as it is known without a report.
Task<std::optional<round::Report>> Client::settle(const Plan& plan, std::size_t index, const Database::Run& as,
                                                  Known& known) {
  const Step step = plan.steps[index];
  Database& database = around_.database;
  round::Report report;
  report.failed_step = step.id;
  report.steps_done = static_cast<std::uint32_t>(index);
  for (;;) {
    if (heeds_stop(as)) co_return std::nullopt;
    const auto seen = co_await query<std::optional<Database::Settled>>(
        Fault::kDatabaseLost, [&database, as, step] { return database.settle(as, step); });
    if (!seen || !*seen) {
      co_await timer(world_.now() + kPoll);
      continue;
    }
    switch (**seen) {
      case Database::Settled::kApplied:
        known = Known::kApplied;
        co_return std::nullopt;
      case Database::Settled::kAppliedByHand:
        known = Known::kAppliedByHand;
        co_return std::nullopt;
      case Database::Settled::kNotApplied:
        known = Known::kNotApplied;
        co_return std::nullopt;
      case Database::Settled::kBegun:
        report.result = round::RunResult::kIndeterminate;
        report.message = "begun, and nobody knows how far it came";
        co_return report;
      case Database::Settled::kFencedOut:
        report.result = round::RunResult::kFencedOut;
        report.row_token = database.token();
        report.session_ended = true;
        world_.saw("fenced out");
        co_return report;
    }
  }
}

Task<std::optional<round::Report>> Client::run_command(const Plan&, const Database::Run& as, bool& left) {
  round::Report report;
  report.session_ended = true;
  if (must_stop() != Why::kNo) {  // it stood still since it was told to run
    if (job_.has_database) around_.database.mark_ended(as);
    left = true;
    co_return std::nullopt;
  }
  Later<bool> ended;
  const auto setter = ended.setter();
  const SessionPtr child = around_.database.run_child(as, world_.chance().between(100, 100 + 4 * job_.step_takes),
                                                      [this, setter] { deliver([setter] { setter.set(true); }); });
  children_.push_back(child);
  const bool fails = world_.strikes(Fault::kStepFails, "the command");
  while (!setter.is_set() && must_stop() == Why::kNo) {
    Later<bool> tick = timer(world_.now() + 100);
    co_await tick;
  }
  Database& database = around_.database;
  if (setter.is_set()) {
    std::erase(children_, child);
    if (job_.has_database) {
      (void)co_await query<bool>(Fault::kDatabaseLost, [&database, as] {
        database.mark_ended(as);
        return true;
      });
    }
    if (!fails) co_return std::nullopt;
    report.result = round::RunResult::kFailed;
    report.message = "the command ended with code 1";
    report.exit_code = 1;
    co_return report;
  }
  // A stopped child is not an ended one: its session may go on.
  database.end_soon(child);
  co_await timer(world_.now() + world_.chance().between(10, 3'000));
  if (job_.has_database) {
    const Ms until = world_.now() + 5'000;
    for (;;) {
      const auto there = co_await query<bool>(Fault::kDatabaseLost,
                                              [&database, as] { return database.child_sessions(as.round, as.token); });
      if (there == false) {
        database.mark_ended(as);
        left = true;
        co_return std::nullopt;
      }
      if (world_.now() >= until) break;
      co_await timer(world_.now() + kPoll);
    }
  }
  report.result = round::RunResult::kIndeterminate;
  report.session_ended = false;
  report.message = "stopped, and whether its sessions have ended cannot be seen";
  co_return report;
}

// A running applier goes: its transaction is rolled back, its session has ended, and this is what then stands.
Task<> Client::leave_running(const Plan& plan, const Database::Run& as, bool opaque) {
  round::Leave leave;
  leave.request = next_request();
  leave.reason = "stopped";
  leave.token = as.token;
  leave.session_ended = true;
  if (opaque) {
    leave.finding = round::Finding{};
    leave.finding->sessions_gone = true;
  } else if (job_.has_database) {
    Database& database = around_.database;
    const auto snapshot = co_await query<migration::Snapshot>(Fault::kDatabaseLost,
                                                              [&database, as] { return database.snapshot(as.round); });
    if (snapshot) leave.finding = finding(plan, as.round, *snapshot, snapshot->claim);
  }
  Answer answer = co_await insist(round::Command{leave}, world_.now() + kLeaveBound, false);
  self_.running = Token{};
  confirmed_ = false;
  member_ = false;
  left_ = true;
}

Task<> Client::report(round::Report what) {
  what.request = next_request();
  what.memory = memory(true);
  const Ms until = world_.now() + (stop_wanted_ ? kReportAfterStop : kReportBound);
  Answer answer = co_await insist(round::Command{what}, until, !stop_wanted_);
  if (!answer && answer.error().reason == "STOPPED") {
    answer = co_await insist(round::Command{what}, world_.now() + kReportAfterStop, false);
  }
  self_.running = Token{};
  confirmed_ = false;
  if (!answer && may_heal(answer.error())) end("undelivered");
}

// ---- who only looks ----

void Onlooker::look() {
  auto stream = std::make_shared<Stream>();
  stream->number = world_.next_number();
  stream->client = node();
  stream->on_update = [this](const engine::Update& update) { state_ = update.state; };
  stream->on_broken = [] {};
  if (world_.open(node(), daemon_.node())) {
    daemon_.watch(stream, state_ ? state_->epoch : "", state_ ? state_->record.revision : Revision{});
  } else {
    stream->broken = true;
  }
  follow(stream);
}

// It finds out in its own time that the stream is broken, and begins anew.
void Onlooker::follow(const std::shared_ptr<Stream>& stream) {
  world_.after(1'000, [this, stream] {
    if (!stream->broken) return follow(stream);
    daemon_.unwatch(stream);
    look();
  });
}

// ---- the operator ----

Operator::Operator(Surroundings& around, Node node, std::function<void(const RoundId&)> stop_appliers)
    : Caller(around, node, "operator"), stop_appliers_(std::move(stop_appliers)) {}

void Operator::begin(Task<> story) {
  std::erase_if(stories_, [](const Task<>& old) { return old.done(); });
  stories_.push_back(std::move(story));
  stories_.back().start();
}

Task<> Operator::say(round::Command command) { co_await insist(std::move(command), world_.now() + 60'000, false); }

void Operator::look() {
  if (busy_) return;
  for (const round::Round& r : around_.checker.record().rounds) {
    if (r.state != round::State::kIndeterminate) continue;
    busy_ = true;
    begin(resolve(r.id));
    return;
  }
}

Task<> Operator::resolve(RoundId id) {
  Database& database = around_.database;
  const IncarnationId me{"operator-" + std::to_string(++acts_)};
  co_await timer(world_.now() + world_.chance().between(500, 8'000));
  round::ResolveBegin begun;
  begun.request = {me, 1};
  begun.round = id;
  begun.seen = around_.checker.record().revision;
  begun.actor = "ops";
  begun.reason = "the run was lost";
  const Answer answer = co_await insist(round::Command{begun}, world_.now() + 30'000, false);
  if (answer) {
    world_.saw("resolve");
    const Database::Run as{id, answer->reply.token, me, true};
    bool claimed = false;
    for (int look = 0; look < 200 && !claimed; ++look) {
      const auto taken = database.try_claim(as);
      if (std::holds_alternative<migration::ClaimRefused>(taken)) break;
      claimed = std::holds_alternative<migration::ClaimRow>(taken);
      if (!claimed) co_await timer(world_.now() + kPoll);
    }
    if (claimed) {
      // Who attests that it has stopped has looked.
      stop_appliers_(id);
      const auto& rounds = around_.checker.record().rounds;
      const auto r = std::ranges::find(rounds, id, &round::Round::id);
      database.stop_everything();
      database.put_in_order(id, r == rounds.end() ? Plan{} : r->plan);
      (void)database.complete(as);
      const auto snapshot = database.snapshot(id);
      round::ResolveFinish finish;
      finish.request = {me, 2};
      finish.round = id;
      finish.token = as.token;
      finish.claimed = true;
      finish.attest_stopped = true;
      if (snapshot.outcome) {
        finish.found = round::TargetOutcome{id, snapshot.outcome->token, round::State::kSucceeded};
      }
      const bool stands = r != rounds.end() && database.stands(r->plan, id);
      finish.verdict = stands ? round::State::kSucceeded : round::State::kFailed;
      finish.actor = "ops";
      finish.reason = "looked at it";
      co_await insist(round::Command{finish}, world_.now() + 30'000, false);
    }
  }
  busy_ = false;
}

void Operator::interfere() {
  const IncarnationId me{"operator-" + std::to_string(++acts_)};
  switch (world_.chance().below(4)) {
    case 0:
    case 1: {
      round::SeverRound sever;
      sever.request = {me, 1};
      sever.actor = "ops";
      sever.reason = "stop it";
      return begin(say(round::Command{sever}));
    }
    case 2: {
      round::SetTarget set;
      set.request = {me, 1};
      set.actor = "ops";
      set.change_pin = true;
      if (world_.chance().chance(600)) {
        set.pin = round::Quorum{1 + static_cast<std::uint32_t>(world_.chance().below(world_.shape.parties)), {}};
      }
      return begin(say(round::Command{set}));
    }
    default: {
      round::SetTarget set;
      set.request = {me, 1};
      set.actor = "ops";
      set.excuse = PartyName{"party-" + std::to_string(world_.chance().below(world_.shape.parties))};
      set.excuse_for = Duration{world_.chance().between(1'000, 40'000)};
      excused_.push_back(*set.excuse);
      return begin(say(round::Command{set}));
    }
  }
}

void Operator::put_right() {
  round::SetTarget set;
  set.request = {IncarnationId{"operator-" + std::to_string(++acts_)}, 1};
  set.actor = "ops";
  set.change_pin = true;
  begin(say(round::Command{set}));
  for (const PartyName& party : excused_) {
    round::SetTarget end;
    end.request = {IncarnationId{"operator-" + std::to_string(++acts_)}, 1};
    end.actor = "ops";
    end.excuse = party;
    begin(say(round::Command{end}));
  }
}

}  // namespace syzygy::sim
