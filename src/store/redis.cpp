#include "store/redis.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <utility>

#include "base/name.h"
#include "store/redis_scripts.h"
#include "store/redis_version.h"

namespace syzygy {
namespace {

// What stands before the epoch in its key: how the keys are laid out.
constexpr std::string_view kFormat = "1:";
constexpr std::size_t kEpochDigits = 32;
// Redis closes a connection whose command is beyond a gibibyte; far below, so that one commit never stops the server
// for long.
constexpr std::size_t kCommitBytesMax = 256UZ << 20;
// While it takes no writes: how soon to try one again.
constexpr Duration kLookAgain{500};

std::string sha1_of(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The least key that sorts after all that start with `prefix`, as ZRANGEBYLEX has it.
std::string lex_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return "+";
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return "(" + end;
}

// Once the store is open, a server that asks for another password is one that does not answer: whoever asked the daemon
// must not take it for a word about his own.
Error while_running(Error error) {
  switch (error.code) {
    case ErrorCode::kUnauthenticated:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kFailedPrecondition:
      error.code = ErrorCode::kUnavailable;
      break;
    default:
      break;
  }
  return error;
}

std::unexpected<Error> failed(Error error) { return std::unexpected(while_running(std::move(error))); }

// A record's version and bytes; nullopt: they are not ours.
std::optional<Loaded> loaded_of(const redisReply& record) {
  auto version = redis_version_of(text_of(*record.element[0]));
  if (!version || !is_text(*record.element[1])) return std::nullopt;
  return Loaded{*std::move(version), std::string(text_of(*record.element[1]))};
}

// The value of one setting in a reply to CONFIG GET; nullopt: it is not told.
std::optional<std::string> setting_of(const redisReply& reply) {
  if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 2) return std::nullopt;
  return std::string(text_of(*reply.element[1]));
}

std::vector<CommitResult> all_alike(std::size_t count, CommitOutcome outcome) {
  return std::vector<CommitResult>(count, CommitResult{outcome, {}});
}

}  // namespace

std::string redis_text_of(const Version& version) {
  return fmt::format("{}:{}:{}", version.epoch, version.counter, version.commit);
}

std::optional<Version> redis_version_of(std::string_view text) {
  const auto first = text.find(':');
  const auto second = text.rfind(':');
  if (first == std::string_view::npos || second == first) return std::nullopt;
  const auto counter = number_of(text.substr(first + 1, second - first - 1));
  if (!counter || first != kEpochDigits || !is_hex(text.substr(0, first)) || !is_hex(text.substr(second + 1)))
    return std::nullopt;
  return Version{std::string(text.substr(0, first)), *counter, std::string(text.substr(second + 1))};
}

// ---- opening ----

RedisStore::RedisStore(std::unique_ptr<RedisRoute> route) : route_(std::move(route)) {}

RedisStore::~RedisStore() = default;

Result<std::unique_ptr<RedisStore>> RedisStore::open(const RedisUrl& url) {
  auto route = RedisRoute::make(url);
  if (!route) return std::unexpected(std::move(route.error()));
  std::unique_ptr<RedisStore> store(new RedisStore(*std::move(route)));
  const std::string epoch_key = store->key_of("epoch");
  const std::vector<RedisCommand> commands = {{"GET", epoch_key}};
  auto epoch = store->read(commands);
  if (!epoch) return std::unexpected(std::move(epoch.error()));
  auto checked_server = store->check_server();
  if (!checked_server) return std::unexpected(std::move(checked_server.error()));
  store->findings_ = *std::move(checked_server);
  if (auto checked = store->check_permissions(); !checked) return std::unexpected(std::move(checked.error()));
  if (auto learned = store->learn_epoch(text_of(*epoch->front())); !learned)
    return std::unexpected(std::move(learned.error()));
  return store;
}

// What may cost us what was acknowledged. An evicting policy is refused.
Result<std::vector<StoreFinding>> RedisStore::check_server() {
  const RedisUrl& url = route_->url();
  const RedisServer server = route_->server();
  const std::string where = route_->where();
  if (!at_least(server.version, 6, 2)) {
    return failure(
        ErrorCode::kFailedPrecondition, "STORE_TOO_OLD",
        fmt::format("Redis at {} is version {}; the store needs 6.2 or later.", where, printable(server.version, 40)),
        {{"server", where}, {"version", server.version}});
  }
  const std::vector<RedisCommand> commands = {
      {"CONFIG", "GET", "maxmemory-policy"}, {"CONFIG", "GET", "appendfsync"}, {"CONFIG", "GET", "appendonly"}};
  const auto replies = route_->ask(commands, true);
  if (!replies) return std::unexpected(replies.error().error);
  const std::string policy = setting_of(*(*replies)[0]).value_or(server.eviction_policy);
  const std::optional<std::string> sync = setting_of(*(*replies)[1]);
  const bool append_only = setting_of(*(*replies)[2]).value_or(server.append_only ? "yes" : "no") == "yes";

  std::vector<StoreFinding> found;
  const auto good = [&](std::string about, std::string text) {
    found.push_back({StoreFinding::Verdict::kGood, std::move(about), std::move(text)});
  };
  const auto warn = [&](std::string about, std::string text) {
    found.push_back({StoreFinding::Verdict::kWarning, std::move(about), std::move(text)});
  };
  good("version", fmt::format("Redis {}{}", printable(server.version, 40), server.cluster ? ", a cluster" : ""));
  // The volatile-* policies evict only keys with a time to live, and ours have none.
  if (policy.starts_with("allkeys-")) {
    if (!url.allow_eviction) {
      return failure(
          ErrorCode::kFailedPrecondition, "STORE_EVICTS",
          fmt::format("Redis at {} has maxmemory-policy {}: it throws away any key when memory is short, also "
                      "rounds that are under way. Set maxmemory-policy noeviction, use another Redis, or "
                      "accept it with ?allow-eviction=true.",
                      where, printable(policy, 40)),
          {{"server", where}, {"maxmemory-policy", policy}});
    }
    warn("eviction", fmt::format("Redis at {} may evict rounds that are under way (maxmemory-policy {}); it was told "
                                 "to be accepted with allow-eviction=true.",
                                 where, printable(policy, 40)));
  } else {
    good("eviction", fmt::format("maxmemory-policy {}: it throws nothing of ours away", printable(policy, 40)));
  }
  if (!append_only) {
    warn("durability", fmt::format("Redis at {} writes no append-only file: what it acknowledged since its last "
                                   "snapshot is lost when it stops. Set appendonly yes and appendfsync always.",
                                   where));
  } else if (!sync) {
    warn("durability", fmt::format("Redis at {} does not tell its appendfsync. With any other than always, what it "
                                   "acknowledged in the last second may be lost when its machine fails.",
                                   where));
  } else if (*sync != "always") {
    warn("durability", fmt::format("Redis at {} has appendfsync {}: what it acknowledged in the last second may be "
                                   "lost when its machine fails. Set appendfsync always.",
                                   where, printable(*sync, 20)));
  } else {
    good("durability", "appendonly yes, appendfsync always");
  }
  if (server.replicas > 0 || server.cluster || url.sentinel) {
    warn("replication",
         fmt::format("Redis at {} copies to its replicas after it has answered: a failover may lose what was "
                     "acknowledged just before. Then nothing is applied twice (the fence in the target sees to that), "
                     "but rounds may have to gather again. {}",
                     where,
                     url.wait_replicas > 0 ? "wait-replicas makes that rarer."
                                           : "?wait-replicas=1 and min-replicas-to-write make that rarer."));
  } else {
    good("replication", "none: the server's disk is the only copy");
  }
  return found;
}

std::vector<std::string> RedisStore::warnings() const {
  std::vector<std::string> texts;
  for (const StoreFinding& finding : findings_) {
    if (finding.verdict != StoreFinding::Verdict::kGood) texts.push_back(finding.text);
  }
  return texts;
}

Result<std::vector<StoreFinding>> RedisStore::examine() {
  auto found = check_server();
  if (!found) return failed(std::move(found.error()));
  const RedisUrl& url = route_->url();
  const std::string where = route_->where();
  const bool here = where.starts_with("127.") || where.starts_with("localhost:") || where.starts_with("[::1]");
  found->push_back(
      {url.tls || here ? StoreFinding::Verdict::kGood : StoreFinding::Verdict::kWarning, "encryption",
       url.tls ? "TLS"
               : (here ? "none, on this machine" : "none, and the server is not on this machine: use rediss://")});
  return found;
}

// By the names of the connections that the server has.
Result<std::vector<std::string>> RedisStore::others() {
  const std::vector<RedisCommand> commands = {{"CLIENT", "LIST"}};
  auto replies = read(commands);
  if (!replies) return failed(std::move(replies.error()));
  std::map<std::string, std::string, std::less<>> hosts;  // by handle
  std::string_view rest = text_of(*replies->front());
  const std::string wanted = " name=" + route_->name_of_all() + "/";
  while (!rest.empty()) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto name = line.find(wanted);
    const auto address = line.find(" addr=");
    if (name == std::string_view::npos || address == std::string_view::npos) continue;
    const std::string_view handle = line.substr(name + wanted.size(), route_->handle().size());
    if (handle == route_->handle()) continue;
    const std::string_view from = line.substr(address + 6);
    hosts.emplace(handle, from.substr(0, from.substr(0, from.find(' ')).rfind(':')));
  }
  std::vector<std::string> others;
  others.reserve(hosts.size());
  for (const auto& [handle, host] : hosts) others.push_back("a syzygyd on " + host);
  return others;
}

Result<void> RedisStore::live_as(const std::string& epoch) {
  const std::string key = key_of("epoch");
  const std::string value = std::string(kFormat) + epoch;
  const std::vector<RedisCommand> commands = {{"SET", key, value}, {"GET", key}};
  auto replies = read(commands);
  if (!replies) return failed(std::move(replies.error()));
  return learn_epoch(text_of(*replies->back()));
}

// One of everything that a commit does, on keys of its own: what its user may not do must show now, and not in the
// middle of a commit.
Result<void> RedisStore::check_permissions() {
  const std::vector<std::string> keys = {key_of("probe:counter"), key_of("probe:record"), key_of("probe:history"),
                                         key_of("probe:index")};
  const std::string channel = key_of("hints");
  const std::vector<std::string_view> arguments = {channel};
  auto reply = run(kRedisProbe, keys, arguments, true);
  if (!reply) return std::unexpected(std::move(reply.error().error));
  const redisReply& errors = **reply;
  if (is_error(errors)) return std::unexpected(redis_error(text_of(errors), route_->where()));
  if (errors.type == REDIS_REPLY_ARRAY && errors.elements > 0)
    return std::unexpected(redis_error(text_of(*errors.element[0]), route_->where()));
  return {};
}

// ---- words ----

// In a cluster the part in braces alone decides on which node a key is.
std::string RedisStore::key_of(std::string_view kind, std::string_view key) const {
  std::string name = "{" + route_->url().prefix + "}:";
  name += kind;
  if (!key.empty()) {
    name += ':';
    name += key;
  }
  return name;
}

Error RedisStore::foreign(std::string_view key) const {
  return Error{
      ErrorCode::kDataLoss,
      "STORE_FOREIGN",
      fmt::format("What Redis at {} has for record '{}' was not written by this store. Restore it from a backup, "
                  "or choose another prefix: --store redis://HOST/?prefix=NAME.",
                  route_->where(), printable(key)),
      {{"key", printable(key)}},
      std::nullopt};
}

// Replies without any error among them.
Result<RedisStore::Replies> RedisStore::read(std::span<const RedisCommand> commands) {
  if (unconfirmed_) {
    if (auto confirmed = confirm_replicas(); !confirmed) return std::unexpected(std::move(confirmed.error()));
  }
  auto replies = route_->ask(commands, true);
  if (!replies) return std::unexpected(replies.error().error);
  if (const redisReply* error = first_error(*replies))
    return std::unexpected(redis_error(text_of(*error), route_->where()));
  return *std::move(replies);
}

// By its hash; with its text where the server does not have it: a new one, or one that lost it.
std::expected<RedisReply, RedisRoute::Failed> RedisStore::run(const char* script, std::span<const std::string> keys,
                                                              std::span<const std::string_view> arguments,
                                                              bool repeatable) {
  const std::string hash = sha1_of(script);
  const std::string count = std::to_string(keys.size());
  RedisCommand command = {"EVALSHA", hash, count};
  command.reserve(3 + keys.size() + arguments.size());
  command.insert(command.end(), keys.begin(), keys.end());
  command.insert(command.end(), arguments.begin(), arguments.end());
  for (int attempt = 0;; ++attempt) {
    auto replies = route_->ask({&command, 1}, repeatable);
    if (!replies) return std::unexpected(std::move(replies.error()));
    if (attempt > 0 || !text_of(*replies->front()).starts_with("NOSCRIPT")) return std::move(replies->front());
    command[0] = "EVAL";
    command[1] = script;
  }
}

// ---- the epoch ----

std::string RedisStore::epoch() const {
  const std::lock_guard lock(epoch_mutex_);
  return epoch_;
}

// `value`: of the key that has it; empty: this store was never used, or somebody emptied it.
Result<void> RedisStore::learn_epoch(std::string_view value) {
  std::string text(value);
  if (text.empty()) {
    const std::string key = key_of("epoch");
    const std::string fresh = std::string(kFormat) + mint_epoch();
    const std::vector<RedisCommand> commands = {{"SET", key, fresh, "NX"}, {"GET", key}};
    auto replies = route_->ask(commands, true);
    if (!replies) return std::unexpected(replies.error().error);
    if (const redisReply* error = first_error(*replies))
      return std::unexpected(redis_error(text_of(*error), route_->where()));
    text = text_of(*replies->back());
  }
  const std::string_view digits = std::string_view(text).substr(std::min(text.size(), kFormat.size()));
  if (text.starts_with(kFormat) && digits.size() == kEpochDigits && is_hex(digits)) {
    const std::lock_guard lock(epoch_mutex_);
    epoch_ = digits;
    return {};
  }
  const auto colon = text.find(':');
  const auto format = number_of(std::string_view(text).substr(0, colon));
  if (colon == std::string::npos || !format) return std::unexpected(foreign("epoch"));
  return failure(ErrorCode::kDataLoss, "STORE_NEWER",
                 fmt::format("The store in Redis at {} is of version {}, written by a newer syzygyd; this one knows 1. "
                             "Run the newer syzygyd.",
                             route_->where(), *format),
                 {{"version", std::to_string(*format)}});
}

// Returns what it was when the server said so.
Result<Instant> RedisStore::learn_time(const redisReply& seconds, const redisReply& micros, Duration sent) {
  const auto s = number_of(text_of(seconds));
  const auto us = number_of(text_of(micros));
  if (!s || !us) return std::unexpected(redis_error("TIME is not understood", route_->where()));
  const Instant told{static_cast<std::int64_t>(*s * 1'000 + *us / 1'000)};
  clock_.learn(told, sent, ServerClock::boot());
  return told;
}

// The answers to TIME, and to GET of the epoch.
Result<Instant> RedisStore::learn(const redisReply& time, const redisReply& epoch, Duration sent) {
  if (time.type != REDIS_REPLY_ARRAY || time.elements != 2)
    return std::unexpected(redis_error("TIME is not understood", route_->where()));
  auto told = learn_time(*time.element[0], *time.element[1], sent);
  if (auto learned = learn_epoch(text_of(epoch)); told && !learned) return std::unexpected(std::move(learned.error()));
  return told;
}

std::string RedisStore::lineage() const {
  const RedisServer server = route_->server();
  return server.run_id + "/" + server.replication_id;
}

std::string RedisStore::describe() const {
  const RedisUrl& url = route_->url();
  std::string text = fmt::format("redis{}{}://", url.tls ? "s" : "", url.sentinel ? "+sentinel" : "");
  for (std::size_t i = 0; i < url.hosts.size(); ++i) text += (i > 0 ? "," : "") + to_string(url.hosts[i]);
  text += "/" + (url.database == 0 ? std::string() : std::to_string(url.database));
  char sign = '?';
  if (url.sentinel) text += fmt::format("{}master={}", std::exchange(sign, '&'), printable(url.master, 100));
  if (url.prefix != RedisUrl().prefix) text += fmt::format("{}prefix={}", sign, url.prefix);
  return text;
}

// ---- reading ----

// The epoch is read along with everything: a store that was emptied is noticed by whoever looks first.
Result<std::optional<Loaded>> RedisStore::load(const std::string& key) {
  const std::string epoch_key = key_of("epoch");
  const std::string record_key = key_of("record", key);
  const std::vector<RedisCommand> commands = {{"TIME"}, {"GET", epoch_key}, {"HMGET", record_key, "version", "bytes"}};
  const Duration sent = ServerClock::boot();
  auto replies = read(commands);
  if (!replies) return failed(std::move(replies.error()));
  if (auto learned = learn(*(*replies)[0], *(*replies)[1], sent); !learned) return failed(std::move(learned.error()));
  const redisReply& record = *replies->back();
  if (record.type != REDIS_REPLY_ARRAY || record.elements != 2) return failed(foreign(key));
  if (!is_text(*record.element[0]) && !is_text(*record.element[1])) return std::nullopt;
  auto loaded = loaded_of(record);
  if (!loaded) return failed(foreign(key));
  return loaded;
}

Result<std::vector<Listed>> RedisStore::scan(std::string_view prefix, std::string_view after, std::size_t limit) {
  std::vector<Listed> page;
  if (limit == 0) return page;
  if (unconfirmed_) {
    if (auto confirmed = confirm_replicas(); !confirmed) return failed(std::move(confirmed.error()));
  }
  const std::string lowest = after < prefix ? "[" + std::string(prefix) : "(" + std::string(after);
  const std::string highest = lex_end(prefix);
  const std::string count = std::to_string(std::min(limit, std::size_t{1} << 30));
  const std::string records = key_of("record") + ":";
  const std::vector<std::string> keys = {key_of("epoch"), key_of("index")};
  const std::vector<std::string_view> arguments = {after.empty() && prefix.empty() ? "-" : std::string_view(lowest),
                                                   highest, count, records, route_->server().cluster ? "1" : "0"};
  const Duration sent = ServerClock::boot();
  auto reply = run(kRedisScan, keys, arguments, true);
  if (!reply) return failed(std::move(reply.error().error));
  const redisReply& listed = **reply;
  if (is_error(listed)) return failed(redis_error(text_of(listed), route_->where()));
  if (listed.type != REDIS_REPLY_ARRAY || listed.elements < 3 || listed.elements % 2 == 0)
    return failed(foreign("index"));
  if (auto learned = learn_time(*listed.element[0], *listed.element[1], sent); !learned)
    return failed(std::move(learned.error()));
  if (auto learned = learn_epoch(text_of(*listed.element[2])); !learned) return failed(std::move(learned.error()));
  for (std::size_t i = 3; i < listed.elements; i += 2) {
    const std::string key(text_of(*listed.element[i]));
    auto version = redis_version_of(text_of(*listed.element[i + 1]));
    if (!version) return failed(foreign(key));
    page.push_back({key, *std::move(version)});
  }
  return page;
}

Result<std::vector<HistoryRow>> RedisStore::history(const std::string& key, std::uint64_t after, std::size_t limit) {
  std::vector<HistoryRow> rows;
  if (limit == 0 || after >= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return rows;
  const std::string history_key = key_of("history", key);
  const std::string first = fmt::format("{}-0", after + 1);
  const std::string count = std::to_string(std::min(limit, std::size_t{1} << 30));
  const std::vector<RedisCommand> commands = {{"XRANGE", history_key, first, "+", "COUNT", count}};
  auto replies = read(commands);
  if (!replies) return failed(std::move(replies.error()));
  const redisReply& entries = *replies->front();
  if (entries.type != REDIS_REPLY_ARRAY) return failed(foreign(key));
  rows.reserve(entries.elements);
  for (std::size_t i = 0; i < entries.elements; ++i) {
    const redisReply& entry = *entries.element[i];
    if (entry.type != REDIS_REPLY_ARRAY || entry.elements != 2 || entry.element[1]->type != REDIS_REPLY_ARRAY ||
        entry.element[1]->elements != 2)
      return failed(foreign(key));
    const std::string_view id = text_of(*entry.element[0]);
    const auto revision = number_of(id.substr(0, id.find('-')));
    if (!revision) return failed(foreign(key));
    rows.push_back({*revision, std::string(text_of(*entry.element[1]->element[1]))});
  }
  return rows;
}

Result<Instant> RedisStore::now() {
  look_whether_it_takes_writes();
  if (const auto known = clock_.now()) return *known;
  const std::string epoch_key = key_of("epoch");
  const std::vector<RedisCommand> commands = {{"TIME"}, {"GET", epoch_key}};
  const Duration sent = ServerClock::boot();
  auto replies = read(commands);
  if (!replies) return failed(std::move(replies.error()));
  auto told = learn(*(*replies)[0], *(*replies)[1], sent);
  if (!told) return failed(std::move(told.error()));
  return clock_.now().value_or(*told);
}

// ---- committing ----

// What a commit of ours left unconfirmed: a write after it that enough replicas have says that they have it too.
Result<void> RedisStore::confirm_replicas() {
  const RedisUrl& url = route_->url();
  const std::string key = key_of("confirm");
  const std::string wanted = std::to_string(url.wait_replicas);
  const std::string timeout = std::to_string(url.timeout.count() / 2);
  const std::vector<RedisCommand> commands = {{"INCR", key}, {"WAIT", wanted, timeout}};
  auto replies = route_->ask(commands, true);
  if (!replies) return std::unexpected(replies.error().error);
  if (const redisReply* error = first_error(*replies))
    return std::unexpected(redis_error(text_of(*error), route_->where()));
  if (replies->back()->integer >= static_cast<long long>(url.wait_replicas)) {
    unconfirmed_ = false;
    return {};
  }
  return failure(
      ErrorCode::kUnavailable, "STORE_TOO_FEW_REPLICAS",
      fmt::format("Redis at {} has {} replicas that keep up, and wait-replicas demands {}. Bring the replicas "
                  "back, or lower wait-replicas.",
                  route_->where(), replies->back()->integer, url.wait_replicas));
}

Result<std::vector<CommitResult>> RedisStore::commit(std::span<const Change> changes) {
  auto results = send(changes);
  if (!results && takes_no_writes(results.error())) {
    const std::lock_guard lock(refusal_mutex_);
    refusal_ = results.error().message;
    look_at_ = ServerClock::boot() + kLookAgain;
  } else if (results &&
             std::ranges::find(*results, CommitOutcome::kCommitted, &CommitResult::outcome) != results->end()) {
    const std::lock_guard lock(refusal_mutex_);
    refusal_.clear();
  }
  return results;
}

// A read shows nothing of it, and where nobody writes, nobody else would notice that it is over.
void RedisStore::look_whether_it_takes_writes() {
  {
    const std::lock_guard lock(refusal_mutex_);
    if (refusal_.empty() || ServerClock::boot() < look_at_) return;
    look_at_ = ServerClock::boot() + kLookAgain;
  }
  const auto written = check_permissions();
  if (!written && !takes_no_writes(written.error())) return;
  const std::lock_guard lock(refusal_mutex_);
  refusal_ = written ? std::string() : written.error().message;
}

std::string RedisStore::refuses_writes() const {
  const std::lock_guard lock(refusal_mutex_);
  return refusal_;
}

Result<std::vector<CommitResult>> RedisStore::send(std::span<const Change> changes) {
  if (auto checked = check_changes(changes); !checked) return std::unexpected(std::move(checked.error()));
  if (changes.empty()) return std::vector<CommitResult>();
  if (unconfirmed_) {
    if (auto confirmed = confirm_replicas(); !confirmed) return failed(std::move(confirmed.error()));
  }

  const std::string epoch = this->epoch();
  std::vector<std::string> keys = {key_of("epoch"), key_of("counter"), key_of("index")};
  std::vector<std::string> words;  // what the arguments show, where nobody else keeps it
  words.reserve(4 + 6 * changes.size());
  std::vector<std::string_view> arguments;
  std::size_t bytes = 0;
  const auto say = [&](std::string word) { arguments.emplace_back(words.emplace_back(std::move(word))); };
  std::size_t rows = 0;
  for (const Change& change : changes) rows += change.history.size();
  std::vector<std::string> revisions;
  revisions.reserve(rows);
  say(std::string(kFormat) + epoch);
  say(key_of("hints"));
  arguments.emplace_back(route_->handle());
  say(std::to_string(changes.size()));
  std::vector<CommitResult> results(changes.size());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const Change& change = changes[i];
    results[i].version = {epoch, 0, mint_commit()};
    keys.push_back(key_of("record", change.key));
    keys.push_back(key_of("history", change.key));
    arguments.emplace_back(change.key);
    say(change.expected ? redis_text_of(*change.expected) : std::string());
    arguments.emplace_back(results[i].version.commit);
    arguments.emplace_back(change.bytes);
    say(std::to_string(change.history_floor));
    arguments.emplace_back(change.hint ? "1" : "0");
    say(std::to_string(change.history.size()));
    bytes += change.bytes.size();
    for (const HistoryRow& row : change.history) {
      arguments.emplace_back(revisions.emplace_back(std::to_string(row.revision)));
      arguments.emplace_back(row.bytes);
      bytes += row.bytes.size();
    }
  }
  if (bytes > kCommitBytesMax) {
    return failure(ErrorCode::kInvalidArgument, "STORE_CHANGE_INVALID",
                   fmt::format("{} changes of together more than {} MiB were not stored: commit fewer at a time.",
                               changes.size(), kCommitBytesMax >> 20));
  }

  const Duration sent = ServerClock::boot();
  auto reply = run(kRedisCommit, keys, arguments, false);
  if (!reply) {
    if (reply.error().sent) return all_alike(changes.size(), CommitOutcome::kUnknown);
    return failed(std::move(reply.error().error));
  }
  const redisReply& answer = **reply;
  if (is_error(answer)) return failed(redis_error(text_of(answer), route_->where()));
  if (answer.type != REDIS_REPLY_ARRAY || answer.elements < 3 ||
      !learn_time(*answer.element[0], *answer.element[1], sent))
    return all_alike(changes.size(), CommitOutcome::kUnknown);
  const std::string_view verdict = text_of(*answer.element[2]);
  const std::span<redisReply* const> rest(answer.element + 3, answer.elements - 3);
  if (verdict == "epoch" && rest.size() == 1) {
    if (auto learned = learn_epoch(text_of(*rest[0])); !learned) return failed(std::move(learned.error()));
    return all_alike(changes.size(), CommitOutcome::kConflict);
  }
  if (verdict == "falls" && rest.size() == 2) {
    const auto at = static_cast<std::size_t>(rest[0]->integer - 1);
    const auto newest = number_of(text_of(*rest[1]));
    if (at >= changes.size() || !newest) return failed(foreign("history"));
    auto rises = check_history_rises(changes[at], *newest);
    if (rises) return failed(foreign(changes[at].key));
    return std::unexpected(std::move(rises.error()));
  }
  if (verdict == "denied" && rest.size() == 1) {
    Error error = redis_error(text_of(*rest[0]), route_->where());
    if (error.reason == "STORE_READ_ONLY") route_->forget_master();
    return failed(std::move(error));
  }
  if (verdict != "done" || rest.size() != changes.size()) return all_alike(changes.size(), CommitOutcome::kUnknown);
  bool any = false;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const auto counter = number_of(text_of(*rest[i]));
    results[i].outcome = counter ? CommitOutcome::kCommitted : CommitOutcome::kConflict;
    any = any || counter;
    if (counter) {
      results[i].version.counter = *counter;
      continue;
    }
    results[i].version = {};
    if (rest[i]->type == REDIS_REPLY_ARRAY && rest[i]->elements == 2) results[i].held = loaded_of(*rest[i]);
  }
  if (any && route_->url().wait_replicas > 0) {
    unconfirmed_ = true;
    if (!confirm_replicas()) return all_alike(changes.size(), CommitOutcome::kUnknown);
  }
  return results;
}

// ---- hints ----

void RedisStore::watch(Hint hint) {
  const std::lock_guard lock(hints_mutex_);
  if (!hints_) {
    if (!hint) return;
    hints_ = std::make_unique<RedisHints>(*route_, key_of("hints"), route_->handle());
  }
  const bool wanted = static_cast<bool>(hint);
  hints_->set(std::move(hint));
  if (wanted) hints_->wait_until_heard(route_->deadline());
}

}  // namespace syzygy
