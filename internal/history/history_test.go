package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// input asks to put Value, or to append it, or, without one, to get.
type input struct {
	Key, Value string
	Append     bool
}

func (in input) String() string {
	switch {
	case in.Value == "":
		return "get " + in.Key
	case in.Append:
		return "append " + in.Key + " " + in.Value
	}
	return "put " + in.Key + " " + in.Value
}

func get(key string) input        { return input{Key: key} }
func put(key, value string) input { return input{Key: key, Value: value} }
func add(key, value string) input { return input{Key: key, Value: value, Append: true} }

// model is a map of strings; a write's output is the value before it.
var model = Model[string, input, string]{
	Init: func() string { return "" },
	Apply: func(state string, in input) (string, string) {
		switch {
		case in.Value == "":
			return state, state
		case in.Append:
			return state + in.Value, state
		}
		return in.Value, state
	},
	Key: func(in input) string { return in.Key },
}

// script plays a history at one operation or answer per second.
type script struct {
	*History[input, string]
	now time.Duration
}

func newScript() *script { return &script{History: new(History[input, string])} }

func (s *script) tick() time.Duration {
	s.now += time.Second
	return s.now
}

func (s *script) ask(client int, in input) int    { return s.Invoke(client, s.tick(), in) }
func (s *script) ok(operation int, output string) { s.OK(operation, s.tick(), output) }
func (s *script) failed(operation int)            { s.Failed(operation, s.tick()) }
func (s *script) unknown(operation int)           { s.Unknown(operation, s.tick()) }

// do is an operation that nothing happens beside.
func (s *script) do(client int, in input, output string) { s.ok(s.ask(client, in), output) }

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(s *script)
		want Verdict
	}{
		{"nothing", func(*script) {}, Linearizable},
		{"one after another", func(s *script) {
			s.do(1, put("x", "a"), "")
			s.do(2, add("x", "b"), "a")
			s.do(1, get("x"), "ab")
		}, Linearizable},
		{"keys are independent", func(s *script) {
			s.do(1, put("x", "a"), "")
			s.do(1, get("y"), "")
		}, Linearizable},
		{"a stale read", func(s *script) {
			s.do(1, put("x", "a"), "")
			s.do(1, put("x", "b"), "a")
			s.do(2, get("x"), "a")
		}, NotLinearizable},
		{"a read beside a write, before or after it", func(s *script) {
			w := s.ask(1, put("x", "a"))
			s.do(2, get("x"), "")
			s.do(3, get("x"), "a")
			s.ok(w, "")
		}, Linearizable},
		{"reads go backwards beside a write", func(s *script) {
			w := s.ask(1, put("x", "a"))
			s.do(2, get("x"), "a")
			s.do(3, get("x"), "")
			s.ok(w, "")
		}, NotLinearizable},
		{"a lost write", func(s *script) {
			s.do(1, add("x", "a"), "")
			s.do(2, add("x", "b"), "")
			s.do(1, get("x"), "b")
		}, NotLinearizable},
		{"a write applied twice", func(s *script) {
			s.do(1, add("x", "a"), "")
			s.do(2, get("x"), "aa")
		}, NotLinearizable},
		{"a failed write has no effect", func(s *script) {
			s.failed(s.ask(1, put("x", "a")))
			s.do(2, get("x"), "")
		}, Linearizable},
		{"a failed write is seen", func(s *script) {
			s.failed(s.ask(1, put("x", "a")))
			s.do(2, get("x"), "a")
		}, NotLinearizable},
		{"a failed write is seen before it fails", func(s *script) {
			w := s.ask(1, put("x", "a"))
			s.do(2, get("x"), "a")
			s.failed(w)
		}, NotLinearizable},
		{"an unknown write has no effect", func(s *script) {
			s.unknown(s.ask(1, put("x", "a")))
			s.do(2, get("x"), "")
		}, Linearizable},
		{"an unknown write takes effect late", func(s *script) {
			s.unknown(s.ask(1, put("x", "a")))
			s.do(2, get("x"), "")
			s.do(1, put("x", "b"), "")
			s.do(2, get("x"), "b")
			s.do(2, get("x"), "a")
		}, Linearizable},
		{"an unknown write takes effect twice", func(s *script) {
			s.unknown(s.ask(1, add("x", "a")))
			s.do(2, get("x"), "a")
			s.do(2, get("x"), "aa")
		}, NotLinearizable},
		{"an unknown write takes effect and is undone", func(s *script) {
			s.unknown(s.ask(1, put("x", "a")))
			s.do(2, get("x"), "a")
			s.do(2, get("x"), "")
		}, NotLinearizable},
		{"an unknown write takes effect before it is asked for", func(s *script) {
			s.do(2, get("x"), "a")
			s.unknown(s.ask(1, put("x", "a")))
		}, NotLinearizable},
		{"a pending write is seen", func(s *script) {
			s.ask(1, put("x", "a"))
			s.do(2, get("x"), "a")
		}, Linearizable},
		{"what happens at one instant has an order", func(s *script) {
			s.OK(s.Invoke(1, 0, put("x", "a")), 0, "")
			s.OK(s.Invoke(2, 0, get("x")), 0, "")
		}, NotLinearizable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript()
			c.play(s)
			result := Check(model, s.History, DefaultSteps)
			require.Equal(t, c.want, result.Verdict, "%v", result.Err())
			require.Equal(t, c.want == Linearizable, result.Err() == nil)

			result = Check(withoutKeys(), s.History, DefaultSteps)
			require.Equal(t, c.want, result.Verdict, "without keys: %v", result.Err())
		})
	}
}

// withoutKeys is model with a map for its state.
func withoutKeys() Model[map[string]string, input, string] {
	return Model[map[string]string, input, string]{
		Init: func() map[string]string { return nil },
		Apply: func(state map[string]string, in input) (map[string]string, string) {
			value, output := model.Apply(state[in.Key], in)
			next := map[string]string{in.Key: value}
			for k, v := range state {
				if k != in.Key {
					next[k] = v
				}
			}
			return next, output
		},
	}
}

func TestModelMaySayWhatIsTheSame(t *testing.T) {
	s := newScript()
	s.do(1, put("x", "a"), "")
	s.do(2, get("x"), "A")
	loose := model
	loose.SameOutput = strings.EqualFold
	require.Equal(t, NotLinearizable, Check(model, s.History, DefaultSteps).Verdict)
	require.Equal(t, Linearizable, Check(loose, s.History, DefaultSteps).Verdict)

	compared := 0
	loose.SameState = func(a, b string) bool { compared++; return a == b }
	for range 3 { // orders of these differ, and give the same state
		s.unknown(s.ask(3, put("x", "b")))
	}
	s.do(1, get("x"), "c")
	require.Equal(t, NotLinearizable, Check(loose, s.History, DefaultSteps).Verdict)
	require.Positive(t, compared)
}

func TestResultSaysWhatIsWrong(t *testing.T) {
	s := newScript()
	s.do(1, put("y", "other"), "")
	s.do(1, put("x", "a"), "")
	s.unknown(s.ask(1, put("x", "u")))
	s.do(1, put("x", "b"), "a")
	s.do(2, get("x"), "b")
	s.do(2, get("x"), "a")
	s.do(2, get("z"), "")
	result := Check(model, s.History, DefaultSteps)
	require.Equal(t, "x", result.Key)
	require.EqualError(t, result.Err(), `history not linearizable: key "x": at most 4 of 5 operations can be put in order
  in order:    client 1, 7s to 8s: put x b -> a
  in order:    client 2, 9s to 10s: get x -> b
  in order:    client 1, 5s to 6s: put x u -> (unknown)
  unexplained: client 2, 11s to 12s: get x -> a`)
	require.Equal(t, 6, result.Operations)

	path := filepath.Join(t.TempDir(), "history.html")
	require.NoError(t, result.VisualizePath(path))
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, text := range []string{"put x u -\\u003e (unknown)", "client 2, 11s to 12s"} {
		require.Contains(t, string(page), text)
	}
	require.NotContains(t, string(page), "put y other", "only the key in question")
	require.ErrorContains(t, result.VisualizePath(filepath.Join(path, "x")), "history: visualize: ")
	require.ErrorContains(t, Check(model, new(History[input, string]), 1).VisualizePath(path), "nothing to show")
}

// hard returns a history of many unknown writes, of which every subset and
// order must be tried to refute the last read.
func hard(unknown int) *script {
	s := newScript()
	for i := range unknown {
		s.unknown(s.ask(i, add("x", fmt.Sprint(i%10))))
	}
	s.do(99, get("x"), "impossible")
	return s
}

func TestCheckGivesUpAndSaysSo(t *testing.T) {
	s := hard(20)
	result := Check(model, s.History, 10_000)
	require.Equal(t, Undecided, result.Verdict)
	require.Equal(t, 10_000, result.Steps)
	require.ErrorContains(t, result.Err(), `history undecided: key "x": given up after 10000 steps with `)
	require.NoError(t, result.VisualizePath(filepath.Join(t.TempDir(), "history.html")))
	require.Equal(t, result.Err().Error(), Check(model, s.History, 10_000).Err().Error(), "each time the same")

	require.Equal(t, NotLinearizable, Check(model, hard(4).History, 10_000).Verdict, "an easier one")

	s.do(1, get("y"), "never written")
	result = Check(model, s.History, 10_000)
	require.Equal(t, NotLinearizable, result.Verdict, "one key is undecided, another one is wrong")
	require.Equal(t, "y", result.Key)
}

func TestCheckNamesTheFirstOfTwoUndecidedKeys(t *testing.T) {
	s := hard(20)
	for i := range 20 {
		s.unknown(s.ask(i, add("w", "0")))
	}
	s.do(1, get("w"), "impossible")
	result := Check(model, s.History, 50)
	require.Equal(t, Undecided, result.Verdict)
	require.Equal(t, "x", result.Key)
	require.Equal(t, 100, result.Steps)
}

func TestCheckBoundsComparisonsToo(t *testing.T) {
	counting, compared := model, 0
	counting.SameState = func(a, b string) bool { compared++; return a == b }
	require.Equal(t, Undecided, Check(counting, hard(20).History, 10_000).Verdict)
	require.Less(t, compared, 100_000)
}

func TestTheReasonIsTheSameEachTime(t *testing.T) {
	s := newScript()
	a, b := s.ask(1, put("x", "a")), s.ask(2, put("x", "b"))
	c, d := s.ask(3, put("x", "c")), s.ask(4, put("x", "d"))
	for _, op := range []int{a, c, b, d} {
		s.ok(op, "") // it was the first, as it says
	}
	for range 20 {
		require.EqualError(t, Check(model, s.History, DefaultSteps).Err(),
			`history not linearizable: key "x": at most 1 of 4 operations can be put in order
  in order:    client 1, 1s to 5s: put x a -> 
  unexplained: client 3, 3s to 6s: put x c -> `)
	}
}

func TestAnOperationEndsOnce(t *testing.T) {
	s := newScript()
	op := s.ask(1, put("x", "a"))
	s.unknown(op)
	require.PanicsWithValue(t, "history: operation 0 ends as ok after it ended as unknown", func() { s.ok(op, "") })
}

func TestOperations(t *testing.T) {
	s := newScript()
	s.ok(s.ask(1, get("x")), "v")
	s.failed(s.ask(2, put("x", "a")))
	s.ask(3, put("x", "b"))
	ops := s.Operations()
	require.Equal(t, []Outcome{OK, Failed, Pending}, []Outcome{ops[0].Outcome, ops[1].Outcome, ops[2].Outcome})
	require.Equal(t, "v", ops[0].Output)
	require.Equal(t, 3*time.Second, ops[1].Invoked)
	require.Equal(t, 4*time.Second, ops[1].Answered)
}

func TestLanes(t *testing.T) {
	s := newScript()
	s.do(2, get("x"), "")
	s.unknown(s.ask(1, put("x", "a")))
	s.do(1, get("x"), "")
	s.do(2, get("x"), "")
	s.do(1, get("x"), "")
	require.Equal(t, []int{2, 0, 1, 2, 1}, lanes(s.History, s.Operations()))
}
