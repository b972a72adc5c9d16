package history

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// written is the command of an operation: what it writes.
func written(in input) (string, bool) { return in.Value, in.Value != "" }

func TestCheckApplied(t *testing.T) {
	play := func() *script {
		s := newScript()
		s.do(1, put("x", "a"), "")
		s.do(1, put("x", "b"), "")
		s.do(2, get("x"), "b")
		s.failed(s.ask(2, put("x", "failed")))
		s.unknown(s.ask(2, put("x", "unknown")))
		s.ask(3, put("x", "pending"))
		s.do(1, put("x", "c"), "")
		return s
	}
	for _, c := range []struct {
		name    string
		applied []string
		want    string
	}{
		{"what was acknowledged", []string{"a", "b", "c"}, ""},
		{"unknown ones, late", []string{"a", "b", "c", "pending", "unknown"}, ""},
		{"an unknown one, in between", []string{"a", "b", "unknown", "c"}, ""},
		{"a lost command", []string{"a", "c"}, "command b, acknowledged to client 1 at 4s, is lost"},
		{"applied twice", []string{"a", "b", "b", "c"}, "command b is applied twice, as number 1 and number 2"},
		{"an unknown one twice", []string{"a", "b", "unknown", "c", "unknown"},
			"command unknown is applied twice, as number 2 and number 4"},
		{"a failed one", []string{"a", "b", "failed", "c"},
			"command failed is applied, as number 2, after client 2 was told that it failed"},
		{"from nowhere", []string{"a", "b", "x", "c"}, "command x is applied, as number 2, and nobody asked for it"},
		{"in another order", []string{"b", "a", "c"},
			"command b is applied before a, which was acknowledged before the former was asked for"},
		{"an unknown one too early", []string{"a", "unknown", "b", "c"},
			"command unknown is applied before b, which was acknowledged before the former was asked for"},
		{"early, with others in between", []string{"unknown", "a", "pending", "b", "c"},
			"command pending is applied before b, which was acknowledged before the former was asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckApplied(play().History, c.applied, written)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, c.want)
			}
		})
	}
}

func TestCheckAppliedOfConcurrentCommandsInAnyOrder(t *testing.T) {
	s := newScript()
	a, b := s.ask(1, put("x", "a")), s.ask(2, put("x", "b"))
	s.ok(a, "")
	s.ok(b, "a")
	require.NoError(t, CheckApplied(s.History, []string{"a", "b"}, written))
	require.NoError(t, CheckApplied(s.History, []string{"b", "a"}, written))
}

func TestCheckAppliedNeedsCommandsThatDiffer(t *testing.T) {
	s := newScript()
	s.do(1, put("x", "a"), "")
	s.do(1, put("x", "a"), "a")
	require.EqualError(t, CheckApplied(s.History, []string{"a"}, written),
		"command a is asked for by operations 0 and 1: it does not identify one")
}
