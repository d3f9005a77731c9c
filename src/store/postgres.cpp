#include "store/postgres.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "store/postgres_schema.h"
#include "store/postgres_session.h"
#include "store/server_clock.h"

namespace syzygy {
namespace {

// Commits and reads that run at once; the connection that listens comes on top.
constexpr std::size_t kConnectionsMax = 8;
// What one statement carries; beyond, a commit is more than one.
constexpr std::size_t kBlobBytesMax = 64UZ << 20;
// A record whose lock is taken: its other commit takes milliseconds. After this it is a conflict.
constexpr Duration kBusyMax{250};
constexpr std::chrono::milliseconds kHeartbeat{5'000};
constexpr std::chrono::milliseconds kListenAgainMin{50};
constexpr std::chrono::milliseconds kListenAgainMax{1'000};
constexpr std::chrono::milliseconds kPooledAgain{30'000};
constexpr std::size_t kCatchUpMax = 1'000;

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text.push_back(kDigits[value >> 4]);
    text.push_back(kDigits[value & 15]);
  }
  return text;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

std::string unhex(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1])));
  return bytes;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Up to the sign, which goes with it.
std::string_view take_until(std::string_view& text, char sign) {
  const auto end = std::min(text.find(sign), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

// "EPOCH:COUNTER:COMMIT:BYTES", the bytes in hexadecimal; nullopt: there is none.
std::optional<Loaded> loaded_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  Loaded loaded;
  loaded.version.epoch = take_until(text, ':');
  loaded.version.counter = number(take_until(text, ':'));
  loaded.version.commit = take_until(text, ':');
  loaded.bytes = unhex(text);
  return loaded;
}

// A PostgreSQL array in its text form.
class Array {
 public:
  void add(std::int64_t value) { element(std::to_string(value)); }
  void add(std::size_t value) { element(std::to_string(value)); }
  void add(bool value) { element(value ? "t" : "f"); }
  void add(const std::string& value) {
    std::string quoted = "\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    element(quoted + "\"");
  }
  [[nodiscard]] std::string text() const { return text_ + "}"; }

 private:
  void element(std::string_view text) {
    if (text_.size() > 1) text_ += ',';
    text_ += text;
  }
  std::string text_ = "{";
};

// The parameters of Statements::commit for some of the changes.
struct CommitParameters {
  std::string blob;
  Array locks, key_at, key_size, expected, commits, at, size, floors, hints, row_first, row_count;
  Array row_revision, row_at, row_size;
  std::size_t rows = 0;

  // Where a piece begins, counted from 1 as SQL does.
  std::size_t put(std::string_view piece) {
    blob.append(piece);
    return blob.size() - piece.size() + 1;
  }

  void add(const Change& change, const std::string& schema, const std::string& commit) {
    locks.add(pg::lock_of(schema, change.key));
    key_at.add(put(change.key));
    key_size.add(change.key.size());
    expected.add(change.expected ? fmt::format("{}:{}:{}", change.expected->epoch, change.expected->counter,
                                               change.expected->commit)
                                 : std::string());
    commits.add(commit);
    at.add(put(change.bytes));
    size.add(change.bytes.size());
    floors.add(static_cast<std::int64_t>(change.history_floor));
    hints.add(change.hint);
    row_first.add(rows + 1);
    row_count.add(change.history.size());
    rows += change.history.size();
    for (const HistoryRow& row : change.history) {
      row_revision.add(static_cast<std::int64_t>(row.revision));
      row_at.add(put(row.bytes));
      row_size.add(row.bytes.size());
    }
  }

  [[nodiscard]] std::vector<std::string> texts(const std::string& epoch, const std::string& handle) const {
    std::vector<std::string> texts = {std::to_string(pg::kSchemaVersion), epoch, handle};
    for (const Array* array : {&locks, &key_at, &key_size, &expected, &commits, &at, &size, &floors, &hints, &row_first,
                               &row_count, &row_revision, &row_at, &row_size})
      texts.push_back(array->text());
    return texts;
  }
};

std::size_t bytes_of(const Change& change) {
  std::size_t bytes = change.key.size() + change.bytes.size();
  for (const HistoryRow& row : change.history) bytes += row.bytes.size();
  return bytes;
}

// The connections, as many as are needed at once, kept for the next.
class Pool {
 public:
  Pool(const pg::Address& address, pg::Deadlines& deadlines) : address_(address), deadlines_(deadlines) {}

  // A connection on loan. Given back when it is destroyed, unless it was lost.
  class Loan {
   public:
    Loan(Pool& pool, std::unique_ptr<pg::Session> session, bool fresh)
        : pool_(&pool), session_(std::move(session)), fresh_(fresh) {}
    Loan(Loan&& other) noexcept : pool_(other.pool_), session_(std::move(other.session_)), fresh_(other.fresh_) {}
    Loan& operator=(Loan&&) = delete;
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() {
      if (session_) pool_->give_back(std::move(session_));
    }

    pg::Session& operator*() { return *session_; }
    pg::Session* operator->() { return session_.get(); }
    [[nodiscard]] bool fresh() const { return fresh_; }
    // It is of no use any more, and those that idle are likely not, either.
    void lost() {
      session_.reset();
      pool_->lost_one();
    }

   private:
    Pool* pool_;
    std::unique_ptr<pg::Session> session_;
    bool fresh_;
  };

  Result<Loan> take() {
    const auto until = std::chrono::steady_clock::now() + address_.timeout;
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!idle_.empty()) {
        auto session = std::move(idle_.back());
        idle_.pop_back();
        if (session->quiet()) return Loan(*this, std::move(session), false);
        --open_;
        continue;
      }
      if (open_ < kConnectionsMax) break;
      if (free_.wait_until(lock, until) == std::cv_status::timeout && idle_.empty() && open_ >= kConnectionsMax)
        return failure(ErrorCode::kUnavailable, "STORE_BUSY",
                       fmt::format("All {} connections to the store at {} are in use, and none got free in {} s. The "
                                   "server is slow, or stands still.",
                                   kConnectionsMax, address_.place, address_.timeout.count()),
                       {{"store", address_.place}});
    }
    ++open_;
    lock.unlock();
    auto session = pg::Session::open(address_, deadlines_);
    if (session) return Loan(*this, std::move(*session), true);
    lost_one();
    return std::unexpected(pg::error_of(session.error(), address_));
  }

 private:
  void give_back(std::unique_ptr<pg::Session> session) {
    {
      const std::lock_guard lock(mutex_);
      idle_.push_back(std::move(session));
    }
    free_.notify_one();
  }
  void lost_one() {
    std::vector<std::unique_ptr<pg::Session>> closed;
    {
      const std::lock_guard lock(mutex_);
      open_ -= 1 + idle_.size();
      closed.swap(idle_);
    }
    free_.notify_all();
  }

  const pg::Address& address_;
  pg::Deadlines& deadlines_;
  std::mutex mutex_;
  std::condition_variable free_;
  std::vector<std::unique_ptr<pg::Session>> idle_;
  std::size_t open_ = 0;  // idle or on loan
};

}  // namespace

class PostgresStore::Inside {
 public:
  explicit Inside(pg::Address address)
      : address_(std::move(address)), statements_(address_.schema), pool_(address_, deadlines_) {}
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  Result<void> open();
  Result<pg::Rows> ask(const pg::Statement& statement, const std::vector<std::string>& texts);
  Result<pg::Rows> ask_plainly(const std::string& sql, const std::vector<std::string>& texts);
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes);
  Result<Instant> now();
  Result<void> now_at_once();
  void watch(Hint hint) {
    const std::lock_guard lock(hinting_);
    hint_ = std::move(hint);
  }

  [[nodiscard]] const pg::Statements& statements() const { return statements_; }
  [[nodiscard]] const pg::Address& address() const { return address_; }
  [[nodiscard]] bool hears() const { return hears_; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] std::string epoch() const {
    const std::lock_guard lock(known_);
    return epoch_;
  }

 private:
  struct Step {
    std::vector<CommitResult> results;
    std::vector<std::size_t> busy;  // of the changes given
    bool unknown = false;
  };

  Result<void> learn(const pg::Row& row, Duration sent, Duration received);
  Result<Step> commit_once(std::span<const Change> changes, const std::vector<std::size_t>& which);
  void listen();
  Result<std::unique_ptr<pg::Session>> listening_session();
  void heard(const std::string& payload);
  void catch_up(pg::Session& session);
  void hint(const std::string& key, const Version& version);
  std::uint64_t hints_heard() {
    const std::lock_guard lock(hearing_);
    return hints_heard_;
  }
  void wait_for_hint(std::uint64_t heard_before, std::chrono::microseconds pause);
  void saw(std::uint64_t counter) {
    std::uint64_t highest = highest_;
    while (counter > highest && !highest_.compare_exchange_weak(highest, counter)) {
    }
  }
  bool sleep_unless_stopped(std::chrono::milliseconds time) const;

  const pg::Address address_;
  const pg::Statements statements_;
  pg::Deadlines deadlines_;
  Pool pool_;

  ServerClock clock_;
  mutable std::mutex known_;  // guards epoch_
  std::string epoch_;
  std::atomic<bool> read_only_ = false;
  std::atomic<std::uint64_t> highest_ = 0;  // counter that was seen

  std::mutex hearing_;  // guards hints_heard_
  std::condition_variable heard_one_;
  std::uint64_t hints_heard_ = 0;
  std::mutex hinting_;  // held while a hint runs: watch() waits for it
  Hint hint_;
  std::atomic<bool> hears_ = false;
  int wake_ = -1;  // becomes readable when the listener has to stop
  std::unique_ptr<pg::Session> first_listener_;
  std::thread listener_;
};

PostgresStore::Inside::~Inside() {
  if (listener_.joinable()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
    listener_.join();
  }
  first_listener_.reset();
  if (wake_ >= 0) ::close(wake_);
}

Result<void> PostgresStore::Inside::open() {
  auto session = pool_.take();
  if (!session) return std::unexpected(session.error());
  if (auto migrated = pg::migrate(**session, address_); !migrated) return migrated;
  {
    const auto known = (*session)->run(statements_.now, {});
    if (!known) return std::unexpected(pg::error_of(known.error(), address_));
    const std::lock_guard lock(known_);
    epoch_ = (*known)[0][1];
  }
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0)
    return failure(ErrorCode::kResourceExhausted, "STORE_FULL", "No descriptor is left for the store's listener.");
  // Before anybody looks at a record: what moves from then on is told.
  auto listening = listening_session();
  if (!listening) return std::unexpected(listening.error());
  first_listener_ = std::move(*listening);
  listener_ = std::thread([this] { listen(); });
  return {};
}

// What every answer begins with.
Result<void> PostgresStore::Inside::learn(const pg::Row& row, Duration sent, Duration received) {
  if (row[0] != std::to_string(pg::kSchemaVersion)) return std::unexpected(pg::store_newer(address_, row[0]));
  clock_.learn(Instant{static_cast<std::int64_t>(number(row[2]))}, sent, received);
  read_only_ = row[3] == "on";
  const std::lock_guard lock(known_);
  epoch_ = row[1];
  return {};
}

// For what only reads: an idle connection that turns out to be dead is replaced once.
Result<pg::Rows> PostgresStore::Inside::ask(const pg::Statement& statement, const std::vector<std::string>& texts) {
  for (;;) {
    auto session = pool_.take();
    if (!session) return std::unexpected(session.error());
    const Duration sent = ServerClock::boot();
    auto rows = (*session)->run(statement, texts);
    if (rows) {
      if (rows->empty())
        return std::unexpected(pg::error_of({pg::Failure::Kind::kRefused, "42P01", "meta is empty"}, address_));
      if (auto known = learn(rows->front(), sent, ServerClock::boot()); !known) return std::unexpected(known.error());
      return *std::move(rows);
    }
    const bool again = rows.error().kind == pg::Failure::Kind::kLost && !rows.error().late && !session->fresh();
    // A statement that was prepared for another shape of the schema goes with its connection.
    const bool keep = rows.error().kind == pg::Failure::Kind::kRefused && rows.error().state != "25006" &&
                      rows.error().state != "0A000";
    if (!keep) session->lost();
    if (!again) return std::unexpected(pg::error_of(rows.error(), address_));
  }
}

Result<pg::Rows> PostgresStore::Inside::ask_plainly(const std::string& sql, const std::vector<std::string>& texts) {
  auto session = pool_.take();
  if (!session) return std::unexpected(session.error());
  auto rows = (*session)->run({"", sql}, texts);
  if (rows) return *std::move(rows);
  if (rows.error().kind == pg::Failure::Kind::kLost) session->lost();
  return std::unexpected(pg::error_of(rows.error(), address_));
}

Result<Instant> PostgresStore::Inside::now() {
  if (const auto known = clock_.now()) return *known;
  const auto rows = ask(statements_.now, {});
  if (!rows) return std::unexpected(rows.error());
  return Instant{static_cast<std::int64_t>(number(rows->front()[2]))};
}

Result<void> PostgresStore::Inside::now_at_once() {
  const auto rows = ask(statements_.now, {});
  if (!rows) return std::unexpected(rows.error());
  return {};
}

// ---- Committing ----

// One statement for the changes that `which` names. Error: nothing of it happened.
Result<PostgresStore::Inside::Step> PostgresStore::Inside::commit_once(std::span<const Change> changes,
                                                                       const std::vector<std::size_t>& which) {
  CommitParameters parameters;
  std::vector<std::string> commits;
  for (const std::size_t i : which) {
    commits.push_back(mint_commit());
    parameters.add(changes[i], address_.schema, commits.back());
  }
  const std::string epoch = this->epoch();
  auto session = pool_.take();
  if (!session) return std::unexpected(session.error());
  const Duration sent = ServerClock::boot();
  const auto rows = (*session)->run(statements_.commit, parameters.texts(epoch, address_.handle), &parameters.blob);
  const Duration received = ServerClock::boot();

  Step step;
  step.results.resize(which.size());
  if (!rows) {
    const pg::Failure& said = rows.error();
    if (said.kind == pg::Failure::Kind::kLost) {
      session->lost();
      step.unknown = true;
      return step;
    }
    if (said.state == "25006" || said.state == "0A000") session->lost();
    // Two isolation levels above the one that is meant, where a setting demands them: somebody else was faster.
    if (said.state == "40001" || said.state == "40P01" || said.state == "23505") {
      for (CommitResult& result : step.results) result.outcome = CommitOutcome::kConflict;
      return step;
    }
    if (said.state == pg::kStateHistory) {
      const auto last = said.words.rfind(' ');
      const auto change = said.words.rfind(' ', last - 1);
      const std::size_t index = number(std::string_view(said.words).substr(change + 1, last - change - 1));
      if (index >= 1 && index <= which.size()) {
        auto rises = check_history_rises(changes[which[index - 1]], number(said.words.substr(last + 1)));
        if (!rises) return std::unexpected(std::move(rises.error()));
      }
    }
    return std::unexpected(pg::error_of(said, address_));
  }

  const pg::Row& row = rows->front();
  if (auto known = learn(row, sent, received); !known) return std::unexpected(known.error());
  std::string_view counters = row[5];
  std::string_view held = row[6];
  for (std::size_t i = 0; i < which.size(); ++i) {
    const std::uint64_t counter = number(take_until(counters, ','));
    const char outcome = i < row[4].size() ? row[4][i] : 'x';
    if (outcome == 'c') {
      step.results[i] = {CommitOutcome::kCommitted, {epoch, counter, commits[i]}};
      saw(counter);
    } else {
      step.results[i].outcome = CommitOutcome::kConflict;
      if (outcome == 'b') step.busy.push_back(i);
      if (outcome == 'x') step.results[i].held = loaded_of(take_until(held, ','));
    }
  }
  return step;
}

Result<std::vector<CommitResult>> PostgresStore::Inside::commit(std::span<const Change> changes) {
  std::vector<CommitResult> results(changes.size());
  for (CommitResult& result : results) result.outcome = CommitOutcome::kConflict;
  bool something_happened = false;
  std::size_t next = 0;
  std::vector<std::size_t> which;
  std::chrono::microseconds waited{0};
  int round = 0;  // of waiting
  while (next < changes.size() || !which.empty()) {
    std::size_t bytes = 0;
    for (const std::size_t i : which) bytes += bytes_of(changes[i]);
    while (next < changes.size() && (which.empty() || bytes + bytes_of(changes[next]) <= kBlobBytesMax)) {
      bytes += bytes_of(changes[next]);
      which.push_back(next++);
    }
    const std::uint64_t heard_before = hints_heard();
    auto step = commit_once(changes, which);
    // What was not tried conflicts, so that its caller looks again; only where nothing was done may this be an error.
    if (!step && !something_happened) return std::unexpected(std::move(step.error()));
    if (!step) return results;
    for (std::size_t i = 0; i < which.size(); ++i) {
      if (step->unknown) step->results[i] = {CommitOutcome::kUnknown, {}};
      something_happened = something_happened || step->results[i].outcome != CommitOutcome::kConflict;
      results[which[i]] = std::move(step->results[i]);
    }
    if (step->unknown) return results;
    std::vector<std::size_t> again;
    for (const std::size_t i : step->busy) again.push_back(which[i]);
    which = std::move(again);
    if (which.empty()) continue;
    if (waited >= kBusyMax) {
      which.clear();
      continue;
    }
    thread_local std::minstd_rand random{std::random_device{}()};
    // A commit takes as long as the disk, mostly a millisecond or two: who comes back soon loses little of it.
    const std::chrono::microseconds pause{std::uniform_int_distribution<int>(400, 1'000)(random)
                                          << std::min(round / 4, 3)};
    wait_for_hint(heard_before, pause);
    waited += pause;
    ++round;
  }
  return results;
}

// ---- Listening ----

// Whoever is in the way says so when he is done: at the latest after `pause` somebody has to look.
void PostgresStore::Inside::wait_for_hint(std::uint64_t heard_before, std::chrono::microseconds pause) {
  std::unique_lock lock(hearing_);
  heard_one_.wait_for(lock, pause, [&] { return hints_heard_ != heard_before; });
}

void PostgresStore::Inside::hint(const std::string& key, const Version& version) {
  saw(version.counter);
  {
    const std::lock_guard lock(hearing_);
    ++hints_heard_;
  }
  heard_one_.notify_all();
  const std::lock_guard lock(hinting_);
  if (hint_) hint_(key, version);
}

// "HANDLE EPOCH COUNTER COMMIT KEY". Anybody may notify on any channel: what is not of this shape is nobody's hint.
void PostgresStore::Inside::heard(const std::string& payload) {
  std::vector<std::string_view> words;
  for (std::string_view rest = payload; words.size() < 6;) {
    const auto end = std::min(rest.find(' '), rest.size());
    words.push_back(rest.substr(0, end));
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (words.size() != 5 || words[0] == address_.handle) return;
  hint(unhex(words[4]), {std::string(words[1]), number(words[2]), std::string(words[3])});
}

// Null: a pooler stands between, so there is nothing to hear.
Result<std::unique_ptr<pg::Session>> PostgresStore::Inside::listening_session() {
  auto session = pg::Session::open(address_, deadlines_);
  if (!session) return std::unexpected(pg::error_of(session.error(), address_));
  if ((*session)->pooled()) return nullptr;
  const auto listening =
      (*session)->listen(pg::channel_of(address_.schema), [this](const std::string& p) { heard(p); });
  if (!listening) return std::unexpected(pg::error_of(listening.error(), address_));
  hears_ = true;
  return std::move(*session);
}

// What was committed while nobody listened. The caller's poll finds what this does not.
void PostgresStore::Inside::catch_up(pg::Session& session) {
  const auto rows = session.run(statements_.since, {std::to_string(highest_.load()), std::to_string(kCatchUpMax)});
  if (!rows) return;
  for (const pg::Row& row : *rows) {
    if (!row[4].empty()) hint(unhex(row[4]), {row[5], number(row[6]), row[7]});
  }
}

bool PostgresStore::Inside::sleep_unless_stopped(std::chrono::milliseconds time) const {
  pollfd wake = {wake_, POLLIN, 0};
  ::poll(&wake, 1, static_cast<int>(time.count()));
  return wake.revents == 0;
}

void PostgresStore::Inside::listen() {
  std::unique_ptr<pg::Session> session = std::move(first_listener_);
  bool pooled = session == nullptr;
  auto pause = kListenAgainMin;
  while (sleep_unless_stopped(session ? std::chrono::milliseconds{0} : (pooled ? kPooledAgain : pause))) {
    if (!session) {
      auto opened = listening_session();
      pooled = opened && *opened == nullptr;
      if (opened) session = std::move(*opened);
      pause = opened ? kListenAgainMin : std::min(pause * 2, kListenAgainMax);
      if (session) catch_up(*session);
      continue;
    }
    if (!session->wait(wake_, kHeartbeat)) {
      hears_ = false;
      session.reset();
    }
  }
  hears_ = false;
}

// ---- The store ----

PostgresStore::PostgresStore(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
PostgresStore::~PostgresStore() = default;

Result<void> PostgresStore::check(std::string_view url) {
  const auto address = pg::read_address(url);
  if (!address) return std::unexpected(address.error());
  return {};
}

Result<std::unique_ptr<PostgresStore>> PostgresStore::open(std::string_view url) {
  auto address = pg::read_address(url);
  if (!address) return std::unexpected(std::move(address.error()));
  auto inside = std::make_unique<Inside>(*std::move(address));
  if (auto opened = inside->open(); !opened) return std::unexpected(std::move(opened.error()));
  return std::unique_ptr<PostgresStore>(new PostgresStore(std::move(inside)));
}

Result<std::optional<Loaded>> PostgresStore::load(const std::string& key) {
  const auto rows = inside_->ask(inside_->statements().load, {hex(key)});
  if (!rows) return std::unexpected(rows.error());
  const pg::Row& row = rows->front();
  if (row[4].empty()) return std::nullopt;
  return Loaded{{row[4], number(row[5]), row[6]}, unhex(row[7])};
}

Result<std::vector<Listed>> PostgresStore::scan(std::string_view prefix, std::string_view after, std::size_t limit) {
  // The least key after `after` is `after` and a zero byte.
  const std::string from = std::max(std::string(prefix), std::string(after) + '\0');
  const auto rows =
      inside_->ask(inside_->statements().scan,
                   {hex(from), hex(prefix_end(prefix)), std::to_string(std::min<std::uint64_t>(limit, kColumnMax))});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Listed> page;
  for (const pg::Row& row : *rows) {
    if (!row[4].empty()) page.push_back({unhex(row[4]), {row[5], number(row[6]), row[7]}});
  }
  return page;
}

Result<std::vector<HistoryRow>> PostgresStore::history(const std::string& key, std::uint64_t after, std::size_t limit) {
  const auto rows =
      inside_->ask(inside_->statements().history, {hex(key), std::to_string(std::min(after, kColumnMax)),
                                                   std::to_string(std::min<std::uint64_t>(limit, kColumnMax))});
  if (!rows) return std::unexpected(rows.error());
  std::vector<HistoryRow> page;
  for (const pg::Row& row : *rows) {
    if (!row[4].empty()) page.push_back({number(row[4]), unhex(row[5])});
  }
  return page;
}

Result<std::vector<CommitResult>> PostgresStore::commit(std::span<const Change> changes) {
  if (auto checked = check_changes(changes); !checked) return std::unexpected(std::move(checked.error()));
  return inside_->commit(changes);
}

void PostgresStore::watch(Hint hint) { inside_->watch(std::move(hint)); }
Result<Instant> PostgresStore::now() { return inside_->now(); }
std::string PostgresStore::epoch() const { return inside_->epoch(); }
std::string PostgresStore::describe() const { return inside_->address().place; }

std::string PostgresStore::refuses_writes() const {
  if (!inside_->read_only()) return {};
  return pg::error_of({pg::Failure::Kind::kRefused, "25006", "transaction_read_only is on"}, inside_->address())
      .message;
}

Result<std::vector<std::string>> PostgresStore::others() {
  // Each of them asks every few seconds. What idles longer is a pooler's session, which keeps the name of who had it
  // last.
  const auto rows = inside_->ask_plainly(
      "SELECT DISTINCT application_name, coalesce(host(client_addr), 'this machine') FROM pg_stat_activity WHERE "
      "datname = "
      "current_database() AND application_name LIKE 'syzygyd ' || $1 || ' %' AND application_name NOT LIKE '%' || $2 "
      "AND "
      "state_change > clock_timestamp() - interval '15 s'",
      {inside_->address().schema, inside_->address().handle});
  if (!rows) return std::unexpected(rows.error());
  std::vector<std::string> others;
  others.reserve(rows->size());
  for (const pg::Row& row : *rows) others.push_back("a syzygyd on " + row[1]);
  return others;
}

Result<std::vector<StoreFinding>> PostgresStore::examine() {
  using Verdict = StoreFinding::Verdict;
  const auto rows = inside_->ask_plainly(
      "SELECT current_setting('server_version'), current_setting('server_version_num'), current_setting('fsync'), "
      "current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), "
      "current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client "
      "backend'), coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), "
      "coalesce(host(inet_client_"
      "addr()), ''), (SELECT count(*) FROM pg_stat_replication), current_setting('full_page_writes')",
      {});
  if (!rows) return std::unexpected(rows.error());
  const pg::Row& row = rows->front();
  std::vector<StoreFinding> found;
  const auto say = [&](Verdict verdict, std::string about, std::string text) {
    found.push_back({verdict, std::move(about), std::move(text)});
  };
  const bool old = number(row[1]) < 120000;
  say(old ? Verdict::kWarning : Verdict::kGood, "version",
      fmt::format("PostgreSQL {}, schema {} of version {}{}", row[0], inside_->address().schema, pg::kSchemaVersion,
                  old ? "; tested are 12 and later" : ""));
  if (row[2] == "off" || row[9] == "off") {
    say(Verdict::kBad, "durability",
        "fsync or full_page_writes is off: a loss of power loses what was acknowledged. Turn both on");
  } else if (row[3] == "off" || row[3] == "local") {
    say(Verdict::kGood, "durability",
        "synchronous_commit is " + row[3] +
            (row[3] == "off" ? "; commits of the store turn it on for themselves" : ""));
  } else {
    say(Verdict::kGood, "durability", "fsync is on, synchronous_commit is " + row[3]);
  }
  if (row[4].empty() || row[3] == "local") {
    say(number(row[8]) > 0 ? Verdict::kWarning : Verdict::kGood, "replication",
        number(row[8]) > 0
            ? "the replicas are not synchronous: a failover may lose the last commits, and then only the fence "
              "in the target keeps plans from being applied twice. Set synchronous_standby_names"
            : "none: the server's disk is the only copy");
  } else {
    say(Verdict::kGood, "replication", "synchronous (" + row[4] + "): a failover loses nothing that was acknowledged");
  }
  const std::uint64_t free = row[5].starts_with('-') ? 0 : number(row[5]);
  say(free < 3 * (kConnectionsMax + 1) ? Verdict::kWarning : Verdict::kGood, "connections",
      fmt::format("{} are free; a daemon takes up to {}", free, kConnectionsMax + 1));
  const bool remote = !row[7].empty() && !row[7].starts_with("127.") && row[7] != "::1";
  say(remote && row[6] != "t" ? Verdict::kWarning : Verdict::kGood, "encryption",
      row[6] == "t" ? "TLS"
                    : (remote ? "none, and the server is not on this machine: add sslmode=verify-full"
                              : "none, on this machine"));
  say(inside_->hears() ? Verdict::kGood : Verdict::kWarning, "hints",
      inside_->hears()
          ? "pushed by LISTEN"
          : "polled: a pooler stands between, which forbids LISTEN, so others hear of a transition up to 2 s "
            "late. Name the server itself in --store");
  return found;
}

Result<void> PostgresStore::live_as(const std::string& epoch) {
  // The schema's name is plain: see read_address().
  const auto updated =
      inside_->ask_plainly("UPDATE \"" + inside_->address().schema + "\".meta SET epoch = $1", {epoch});
  if (!updated) return std::unexpected(updated.error());
  return inside_->now_at_once();
}

bool PostgresStore::hears() const { return inside_->hears(); }

}  // namespace syzygy
