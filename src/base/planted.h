// planted.h - what the tables of deliberate bugs (round/planted.h, engine/planted.h) have in common: an enum of a
// table's names, and which of them is chosen. Only builds with SYZYGY_PLANTED_BUGS can choose one; everywhere else the
// choice is a constant, and a site costs nothing.
#pragma once

#ifdef SYZYGY_PLANTED_BUGS
#define SYZYGY_PLANTED_VARIABLE inline
#else
#define SYZYGY_PLANTED_VARIABLE inline constexpr
#endif

#define SYZYGY_PLANTED_NAME(name, guard, how) name,

// For a table X(name, guard, how): enum class Planted and planted_now, in the namespace where it stands.
#define SYZYGY_PLANTED_CHOICE(TABLE)                        \
  enum class Planted { kNone, TABLE(SYZYGY_PLANTED_NAME) }; \
  SYZYGY_PLANTED_VARIABLE Planted planted_now = Planted::kNone;
