module github.com/seed-6281cb22/raft/bench/contest

go 1.26.0
