#include "client/cli/narrator.h"

#include <cstdio>
#include <utility>

#include "base/shown.h"
#include "client/cli/words.h"

namespace syzygy::cli {
namespace {

constexpr std::chrono::seconds kSilenceMax{60};  // CI systems kill silent jobs

void put(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

Narrator::Narrator(bool terminal, int columns)
    : terminal_(terminal),
      columns_(columns > 20 ? static_cast<std::size_t>(columns) : 80),
      since_(BootClock::now()),
      spoke_(since_) {}

void Narrator::say(const std::string& line) {
  if (line == said_ && BootClock::now() - spoke_ < kSilenceMax) return;
  said_ = line;
  erase();
  put("syzygy: " + shown_lines(line) + "\n");
  spoke_ = BootClock::now();
  draw();
}

void Narrator::warn(const std::string& line) { say("warning: " + line); }

void Narrator::now(const std::string& line) {
  std::string fit = shown(line);
  if (fit == line_) return;
  line_ = std::move(fit);
  if (terminal_) {
    draw();
  } else if (!line_.empty()) {
    put("syzygy: " + line_ + "\n");
    spoke_ = BootClock::now();
    said_.clear();
  }
}

void Narrator::tick() {
  if (terminal_) return draw();
  if (!line_.empty() && BootClock::now() - spoke_ >= kSilenceMax) {
    put("syzygy: " + line_ + "; waiting " + waited() + "\n");
    spoke_ = BootClock::now();
    said_.clear();
  }
}

void Narrator::draw() {
  if (!terminal_ || line_.empty()) return;
  std::string text = line_ + "; waiting " + waited();
  if (text.size() >= columns_) {
    text.resize(columns_ - 4);
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80)
      text.pop_back();  // not half a character
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();
    text += "...";
  }
  put("\r\x1b[2K" + text);
  std::fflush(stderr);
  drawn_ = true;
}

void Narrator::erase() {
  if (!drawn_) return;
  put("\r\x1b[2K");
  drawn_ = false;
}

std::string Narrator::waited() const {
  return duration_text(std::chrono::duration_cast<Duration>(BootClock::now() - since_));
}

}  // namespace syzygy::cli
