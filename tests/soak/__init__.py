"""A long test of integrity, for scripts/soak.sh: kills, failing writes, and a corpus of damaged inputs."""
