package raft_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's quickstart is the text of the Example, from its imports on.
func TestReadmeQuickstartIsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)

	_, quickstart, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok, "README.md has no block of Go")
	quickstart, _, ok = strings.Cut(quickstart, "```\n")
	require.True(t, ok, "the block has no end")
	_, want, ok := strings.Cut(string(example), "package raft_test\n\n")
	require.True(t, ok)
	require.Equal(t, want, quickstart, "copy example_test.go, from its imports on, to README.md")
}
