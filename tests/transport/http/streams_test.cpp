// What a slow reader is told.
#include "transport/http/streams.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace syzygy::http {
namespace {

engine::Update update(std::uint64_t revision) {
  auto state = std::make_shared<engine::TargetState>();
  state->epoch = "e-1";
  state->record.target = TargetName{"orders"};
  state->record.revision = Revision{revision};
  round::Event event;
  event.revision = Revision{revision};
  return {state, std::make_shared<const std::vector<round::Event>>(1, event), false};
}

std::string said(Stream& stream) {
  std::vector<Bytes> pieces;
  if (!stream.next(pieces)) return "";
  std::string out;
  for (const auto& piece : pieces) out += *piece;
  return out;
}

TEST(EventId, IsEpochAndRevision) {
  EXPECT_EQ(parse_event_id("abc-17")->epoch, "abc");
  EXPECT_EQ(parse_event_id("abc-17")->revision, Revision{17});
  EXPECT_EQ(parse_event_id("a-b-c-17")->epoch, "a-b-c");
  for (const char* id : {"", "17", "-17", "abc-", "abc-x", "abc-1-"}) EXPECT_FALSE(parse_event_id(id)) << id;
}

TEST(TargetStream, SaysEachUpdateInOrder) {
  StateCache cache;
  Counters counters;
  TargetStream stream(cache, counters);
  EXPECT_EQ(said(stream), "retry: 2000\n\n");
  EXPECT_EQ(said(stream), "");
  stream.add(update(1));
  const std::string first = said(stream);
  EXPECT_TRUE(first.starts_with("id: e-1-1\ndata: {\"target\":{\"name\":\"orders\"")) << first;
  EXPECT_TRUE(first.ends_with("}\n\n")) << first;
  EXPECT_EQ(std::ranges::count(first, '\n'), 3) << "the data is one line";
  stream.add(update(2));
  EXPECT_TRUE(said(stream).starts_with("id: e-1-2\n"));
  EXPECT_EQ(said(stream), "");
  EXPECT_EQ(counters.gaps.load(), 0U);
}

TEST(TargetStream, WhatComesWhileOneWaitsIsOneEvent) {
  StateCache cache;
  Counters counters;
  TargetStream stream(cache, counters);
  said(stream);
  for (std::uint64_t r = 1; r <= 9; ++r) stream.add(update(r));
  const std::string only = said(stream);
  EXPECT_TRUE(only.starts_with("id: e-1-9\n")) << only;
  std::size_t at = 0;
  for (const char* revision : {"1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
    at = only.find("{\"revision\":\"" + std::string(revision) + '"', at);
    EXPECT_NE(at, std::string::npos) << revision << ": " << only;
  }
  EXPECT_EQ(only.find("\"gap\""), std::string::npos) << only;
  EXPECT_EQ(said(stream), "");
  EXPECT_EQ(counters.gaps.load(), 0U);
}

TEST(TargetStream, SlowReaderGetsTheNewestAndAGap) {
  StateCache cache;
  Counters counters;
  TargetStream stream(cache, counters);
  said(stream);
  constexpr std::uint64_t kBeyond = wire::Backlog::kUpdatesMax + 1;
  for (std::uint64_t r = 1; r <= kBeyond; ++r) stream.add(update(r));
  const std::string only = said(stream);
  EXPECT_TRUE(only.starts_with("id: e-1-" + std::to_string(kBeyond) + "\n")) << only;
  EXPECT_NE(only.find("\"gap\":true"), std::string::npos) << only;
  EXPECT_EQ(said(stream), "");
  EXPECT_EQ(counters.gaps.load(), 1U);
}

TEST(SummaryStream, HoldsTheNewestOfEachTarget) {
  SummaryStream stream;
  said(stream);
  for (std::uint64_t r = 1; r <= 1'000; ++r) stream.add(update(r));
  EXPECT_TRUE(said(stream).starts_with("data: {\"target\":{\"name\":\"orders\",\"revision\":\"1000\""));
  EXPECT_EQ(said(stream), "");
}

}  // namespace
}  // namespace syzygy::http
