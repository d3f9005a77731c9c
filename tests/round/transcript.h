// transcript.h - a protocol story as text: what is said to a target, and what follows from it.
//
// A line that starts with "> " is said; the lines below it, until the next, are what came of it. run() says the same
// lines again and gives the whole text as it comes out now. Lines that start with "#" tell the story and are kept. The
// words are listed in transcript.cpp; rounds are r1, r2, ... in the order of their opening, incarnations are party or
// party/2, party/3, ...
#pragma once

#include <string>

namespace syzygy::round {

std::string run_transcript(const std::string& text);

}  // namespace syzygy::round
