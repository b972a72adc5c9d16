package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Tests that compare with stale generated code would prove nothing.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	committed, err := os.ReadFile("../../internal/oracle/raft.pb.go")
	require.NoError(t, err)
	output := filepath.Join(t.TempDir(), "raft.pb.go")

	require.NoError(t, run("../..", "raftpb/raft.proto", output))

	generated, err := os.ReadFile(output)
	require.NoError(t, err)
	require.Equal(t, string(committed), string(generated), "run go generate ./... at the repository's root")
}

func TestErrorsNameTheFile(t *testing.T) {
	root := t.TempDir()
	output := filepath.Join(root, "out.go")
	for name, source := range map[string]string{
		"syntax.proto":     "syntax = \"proto3\"; message {",
		"unimported.proto": "syntax = \"proto3\"; option go_package = \"x\"; import \"missing.proto\";",
		"nopackage.proto":  "syntax = \"proto3\"; message M {}",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(source), 0o600))
		require.ErrorContains(t, run(root, name, output), name)
	}
	require.ErrorContains(t, run(root, "absent.proto", output), "absent.proto")
	require.NoFileExists(t, output)
}
