// Bytes that a store, a disk or a newer program may hand to the codec: what is accepted is exactly what encode()
// writes, and everything else is an error that names what is wrong.
#include "round/codec.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>

#include "base/encoding.h"
#include "commands.h"
#include "round/barrier.h"
#include "round/command.h"
#include "round/effect.h"
#include "round/fields.h"
#include "round/step.h"

namespace syzygy::round {
namespace {

// One kind of bytes: decoded and encoded again, or nothing where they are refused. A refusal is always DATA_LOSS, with
// a reason and words.
struct Kind {
  const char* name;
  std::function<std::optional<std::string>(std::string_view)> through;
  std::vector<std::string> examples;
};

template <class T>
std::optional<std::string> again(const Result<T>& decoded) {
  if (decoded) return encode(*decoded);
  EXPECT_EQ(decoded.error().code, ErrorCode::kDataLoss);
  EXPECT_TRUE(decoded.error().reason == "RECORD_CORRUPT" || decoded.error().reason == "RECORD_NEWER" ||
              decoded.error().reason == "RECORD_OLDER");
  EXPECT_FALSE(decoded.error().message.empty());
  return std::nullopt;
}

// Records, events and commands as random stories make them, the largest of each first seeds.
std::vector<Kind> kinds() {
  std::set<std::string> records;
  std::set<std::string> events;
  std::set<std::string> commands;
  std::set<std::size_t> seen_commands;
  std::set<EventKind> seen_events;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Chaos chaos(seed);
    Record record;
    record.target = TargetName{"orders"};
    Instant now{1'000'000};
    for (int i = 0; i < 60; ++i) {
      const std::vector<Command> batch = chaos.batch(record);
      Decision decision = step(record, batch, now, chaos.settings());
      now = chaos.later(now, decision.wake_at);
      for (const Command& command : batch) {
        if (seen_commands.insert(command.index()).second) commands.insert(encode(command));
      }
      for (const Event& event : decision.events) {
        if (seen_events.insert(event.kind).second) events.insert(encode(event));
      }
      record = std::move(decision.record);
      if (seed <= 4 && i == 30) records.insert(encode(record));
    }
  }
  barrier::Record waiting;
  waiting.name = "release-7";
  std::vector<barrier::Command> barriers;
  for (const char* party : {"a", "b", "c"}) {
    barriers.emplace_back(barrier::Enter{3, PartyName{party}, IncarnationId{party}, Duration{0}});
  }
  barriers.emplace_back(barrier::Enter{2, PartyName{"a"}, IncarnationId{"a2"}, Duration{0}});
  barriers.emplace_back(barrier::Sever{2, PartyName{"b"}, IncarnationId{"b2"}, "wrong image"});
  barriers.emplace_back(barrier::Await{Generation{1}, IncarnationId{"a"}});
  const auto folded = barrier::step(waiting, barriers, Instant{1'000'000}, {});
  EXPECT_GE(folded.record.past.size(), 1u);
  std::vector<std::string> barrier_commands;
  for (const barrier::Command& command : barriers) barrier_commands.push_back(barrier::encode(command));
  const auto listed = [](const std::set<std::string>& all) { return std::vector<std::string>(all.begin(), all.end()); };
  EXPECT_EQ(records.size(), 4u);
  EXPECT_EQ(seen_commands.size(), std::variant_size_v<Command>);
  return {
      {"record", [](std::string_view bytes) { return again(decode(bytes)); }, listed(records)},
      {"event", [](std::string_view bytes) { return again(decode_event(bytes)); }, listed(events)},
      {"command", [](std::string_view bytes) { return again(decode_command(bytes)); }, listed(commands)},
      {"barrier",
       [](std::string_view bytes) { return again(barrier::decode(bytes)); },
       {barrier::encode(folded.record)}},
      {"barrier command", [](std::string_view bytes) { return again(barrier::decode_command(bytes)); },
       barrier_commands},
  };
}

TEST(Codec, WhatItWritesItReads) {
  for (const Kind& kind : kinds()) {
    for (const std::string& bytes : kind.examples) EXPECT_EQ(kind.through(bytes), bytes) << kind.name;
  }
}

TEST(Codec, RefusesEveryTruncation) {
  for (const Kind& kind : kinds()) {
    for (const std::string& bytes : kind.examples) {
      for (std::size_t size = 0; size < bytes.size(); ++size) {
        ASSERT_EQ(kind.through(std::string_view(bytes).substr(0, size)), std::nullopt)
            << kind.name << " cut to " << size << " of " << bytes.size() << " bytes";
      }
      EXPECT_EQ(kind.through(bytes + '\0'), std::nullopt) << kind.name << " with a byte too many";
    }
  }
}

// A flipped bit may turn one valid value into another; what it may not is be read as a value that is written otherwise.
TEST(Codec, AcceptsOnlyWhatItWouldWriteItself) {
  for (const Kind& kind : kinds()) {
    std::size_t refused = 0;
    std::size_t tried = 0;
    for (const std::string& bytes : kind.examples) {
      for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
          std::string flipped = bytes;
          flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
          const auto through = kind.through(flipped);
          ++tried;
          if (!through) {
            ++refused;
          } else {
            ASSERT_EQ(*through, flipped) << kind.name << ", bit " << bit << " of byte " << at;
          }
        }
      }
    }
    std::printf("%-16s %zu of %zu flipped bits refused\n", kind.name, refused, tried);
    EXPECT_GT(refused, 0u);
  }
}

TEST(Codec, SurvivesAnyBytes) {
  std::mt19937_64 random(20'261'121);
  for (const Kind& kind : kinds()) {
    for (int i = 0; i < 20'000; ++i) {
      std::string bytes(random() % 200, '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
      // Half of them begin as the real thing does, so that they come further than the version.
      if (i % 2 == 0 && !bytes.empty()) bytes.front() = kind.examples.front().front();
      if (i % 4 == 0 && !bytes.empty()) {  // a piece of the real thing, and then anything
        const std::string& real = kind.examples[random() % kind.examples.size()];
        bytes = real.substr(0, random() % real.size()) + bytes;
      }
      const auto through = kind.through(bytes);
      if (through) ASSERT_EQ(*through, bytes) << kind.name;
    }
  }
}

TEST(Codec, RefusesANewerVersionAndNamesBoth) {
  for (const Kind& kind : kinds()) {
    std::string newer = kind.examples.front();
    for (const char version : {'\x07', '\x7f'}) {
      newer.front() = version;
      EXPECT_EQ(kind.through(newer), std::nullopt) << kind.name;
    }
  }
  std::string newer = encode(Record{});
  newer.front() = '\x7f';
  const auto refused = decode(newer);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "RECORD_NEWER");
  EXPECT_NE(refused.error().message.find("version 127"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("up to " + std::to_string(kRecordVersion)), std::string::npos);
}

// What a daemon of the version before wrote: it knew nothing of lives.
TEST(Codec, ReadsVersionOne) {
  Record record;
  record.target = TargetName{"orders"};
  Join visit;
  visit.request = {IncarnationId{"a1"}, 1};
  visit.party = PartyName{"a"};
  record = step(record, std::vector<Command>{visit}, Instant{1'000'000}, {}).record;
  ASSERT_EQ(record.visits.size(), 1u);
  Writer old;
  old.number(1);
  write_fields(old, record, 1);
  const auto read = decode(std::move(old).bytes());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, record);
  EXPECT_EQ(encode(*read).front(), '\x02');
}

// The encoding itself: one value, one way to write it.
TEST(Encoding, RefusesNumbersThatAreWrittenLongerThanNeeded) {
  for (const std::string& bytes : {std::string("\x80\x00", 2), std::string("\xff\x80\x00", 3)}) {
    Reader reader(bytes);
    reader.number();
    EXPECT_FALSE(reader.ok());
  }
  Reader zero(std::string_view("\x00", 1));
  EXPECT_EQ(zero.number(), 0u);
  EXPECT_TRUE(zero.ok() && zero.at_end());
}

}  // namespace
}  // namespace syzygy::round
