#include "api/service.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "base/name.h"

namespace syzygy::api {
namespace {

Result<void> authorise(const Caller& caller) {
  if (caller.authorised) return {};
  return failure(ErrorCode::kUnauthenticated, "UNAUTHENTICATED",
                 "this daemon answers only with its bearer token; give it with --token-file (SYZYGY_TOKEN_FILE), or as "
                 "the header Authorization: Bearer TOKEN");
}

Result<void> check_prefix(const std::string& prefix) {
  if (prefix.size() <= kNameBytesMax) return {};
  return failure(ErrorCode::kInvalidArgument, "NAME_INVALID",
                 "the prefix is " + std::to_string(prefix.size()) + " bytes long; no target's name has more than " +
                     std::to_string(kNameBytesMax),
                 {{"field", "prefix"}});
}

std::size_t page(std::size_t limit) { return limit == 0 ? kPageSize : std::min(limit, kPageSizeMax); }

// A random UUID (version 4).
RoundId fresh_round() {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::array<unsigned char, 16> bytes{};
  // Never fails for so few bytes on Linux; without randomness two rounds could share an id, so nothing may go on.
  if (::getentropy(bytes.data(), bytes.size()) != 0) std::abort();
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.append({kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]});
  }
  return RoundId{std::move(text)};
}

}  // namespace

void Service::submit(const Caller& caller, const std::string& target, round::Command command,
                     Done<engine::TargetAnswer> done) {
  const TargetName name{target};
  auto ok = authorise(caller);
  if (ok) ok = check(name, command, engine_.options().rounds);
  if (!ok) return done(std::unexpected(std::move(ok.error())));
  if (auto* join = std::get_if<round::Join>(&command)) join->fresh_round = fresh_round();
  engine_.submit(name, std::move(command), std::move(done));
}

engine::WaitId Service::get(const Caller& caller, const std::string& target, const std::string& epoch, Revision after,
                            Duration wait, Done<engine::TargetStatePtr> done) {
  auto ok = authorise(caller);
  if (ok) ok = check_target(target);
  if (ok && wait.count() < 0) {
    ok = failure(ErrorCode::kInvalidArgument, "DURATION_INVALID", "wait is negative; give a duration of 0 or more",
                 {{"field", "wait"}});
  }
  if (!ok) {
    done(std::unexpected(std::move(ok.error())));
    return 0;
  }
  if (wait.count() == 0) {
    engine_.get(TargetName{target}, std::move(done));
    return 0;
  }
  return engine_.get_after(TargetName{target}, epoch, after, std::min(wait, kWaitMax), std::move(done));
}

Result<engine::SubscriptionPtr> Service::watch(const Caller& caller, const std::string& target,
                                               const std::string& epoch, Revision after,
                                               engine::Engine::OnUpdate sink) {
  if (auto ok = authorise(caller); !ok) return std::unexpected(std::move(ok.error()));
  if (auto ok = check_target(target); !ok) return std::unexpected(std::move(ok.error()));
  return engine_.watch(TargetName{target}, epoch, after, std::move(sink));
}

Result<engine::SubscriptionPtr> Service::watch_all(const Caller& caller, const std::string& prefix,
                                                   engine::Engine::OnUpdate sink) {
  if (auto ok = authorise(caller); !ok) return std::unexpected(std::move(ok.error()));
  if (auto ok = check_prefix(prefix); !ok) return std::unexpected(std::move(ok.error()));
  return engine_.watch_all(prefix, std::move(sink));
}

Result<std::vector<engine::TargetStatePtr>> Service::list(const Caller& caller, const std::string& prefix,
                                                          const std::string& after, std::size_t limit) {
  if (auto ok = authorise(caller); !ok) return std::unexpected(std::move(ok.error()));
  if (auto ok = check_prefix(prefix); !ok) return std::unexpected(std::move(ok.error()));
  if (!after.empty()) {
    if (auto ok = check_target(after); !ok) {
      ok.error().metadata["field"] = "page_token";
      return std::unexpected(std::move(ok.error()));
    }
  }
  // One more than a page: whoever shows a whole page asks for it to know whether there is another.
  return engine_.list(prefix, after, limit == kPageSizeMax + 1 ? limit : page(limit));
}

Result<std::vector<round::Event>> Service::events(const Caller& caller, const std::string& target, Revision after,
                                                  std::size_t limit) {
  if (auto ok = authorise(caller); !ok) return std::unexpected(std::move(ok.error()));
  if (auto ok = check_target(target); !ok) return std::unexpected(std::move(ok.error()));
  auto events = engine_.events(TargetName{target}, after, page(limit));
  if (!events || !events->empty()) return events;
  const auto known = engine_.list(target, "", 1);  // the name itself sorts first among those that begin with it
  if (!known) return std::unexpected(known.error());
  if (known->empty() || known->front()->record.target.value != target) {
    return std::unexpected(engine::target_unknown(TargetName{target}));
  }
  return events;
}

engine::WaitId Service::barrier(const Caller& caller, const std::string& name, barrier::Command command, Duration wait,
                                Done<engine::BarrierAnswer> done) {
  auto ok = authorise(caller);
  if (ok) ok = check(name, command, wait, engine_.options().barriers);
  if (!ok) {
    done(std::unexpected(std::move(ok.error())));
    return 0;
  }
  return engine_.submit(name, std::move(command), std::min(wait, kWaitMax), std::move(done));
}

}  // namespace syzygy::api
