package raftpb

// The oracle that the tests hold the codec against. No protoc is needed.
//go:generate go run -C ../tools ./protogen .. raftpb/raft.proto ../internal/oracle/raft.pb.go
