// service.h - what both transports serve: validates, authorises, and hands commands to the engine. No wire types here.
//
// Every function checks its input first (validation.h) and answers a bad one without reaching the engine. A refusal by
// the machines themselves is in the answer's reply (reply.error), together with the state; whoever shows it decides
// how. `done` is called exactly once, perhaps before the call returns, else on an engine thread; it must not block.
// Threads: any. list() and events() read the store and may block for as long as it does.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/validation.h"
#include "engine/engine.h"

namespace syzygy::api {

// Who asks, as the transport found out.
struct Caller {
  std::string address;      // for logs
  bool authorised = false;  // the bearer token was right, or none is configured
};

inline constexpr std::size_t kRequestBytesMax = 8 << 20;  // one request, on either port
inline constexpr std::size_t kPageSize = 100;             // of a list, where none is asked for
inline constexpr std::size_t kPageSizeMax = 1'000;

template <class T>
using Done = std::function<void(Result<T>)>;

class Service {
 public:
  explicit Service(engine::Engine& engine) : engine_(engine) {}

  // Every mutating command of round/command.h. A Join's fresh_round is filled in here.
  void submit(const Caller& caller, const std::string& target, round::Command command, Done<engine::TargetAnswer> done);

  // With a wait of 0: the present state. Else the answer once the target has moved beyond (epoch, after).
  engine::WaitId get(const Caller& caller, const std::string& target, const std::string& epoch, Revision after,
                     Duration wait, Done<engine::TargetStatePtr> done);
  Result<engine::SubscriptionPtr> watch(const Caller& caller, const std::string& target, const std::string& epoch,
                                        Revision after, engine::Engine::OnUpdate sink);
  Result<engine::SubscriptionPtr> watch_all(const Caller& caller, const std::string& prefix,
                                            engine::Engine::OnUpdate sink);
  // A limit of 0 stands for kPageSize; more than kPageSizeMax + 1 for kPageSizeMax (the one more tells whether there is
  // another page).
  Result<std::vector<engine::TargetStatePtr>> list(const Caller& caller, const std::string& prefix,
                                                   const std::string& after, std::size_t limit);
  // kNotFound TARGET_UNKNOWN where there is no such target.
  Result<std::vector<round::Event>> events(const Caller& caller, const std::string& target, Revision after,
                                           std::size_t limit);

  // An Enter without a lease of its own that waits gets one that lasts beyond the wait.
  engine::WaitId barrier(const Caller& caller, const std::string& name, barrier::Command command, Duration wait,
                         Done<engine::BarrierAnswer> done);

  // The caller of a pending get() or barrier() is gone: its `done` gets kCancelled, unless it was called already.
  void cancel(engine::WaitId wait) { engine_.cancel(wait); }

  [[nodiscard]] engine::Health health() const { return engine_.health(); }
  [[nodiscard]] engine::Stats stats() const { return engine_.stats(); }

 private:
  engine::Engine& engine_;
};

// One line for people about a target: "2 of 3 here: eu-west, us-east; missing 1". Pure; used by lists, dashboard and
// logs.
std::string summary(const round::Record& record);

}  // namespace syzygy::api
