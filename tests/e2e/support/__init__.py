"""Real servers for end-to-end tests: each on a port of its own, each gone with the test, also when that is killed."""
