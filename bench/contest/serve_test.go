package contest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// fake is a cluster that applies all but every third proposal, if it is broken.
type fake struct {
	broken   bool
	calls    int
	applied  uint64
	compacts int
	Cluster
}

func (f *fake) Leader() int            { return 1 }
func (f *fake) Interval() error        { return nil }
func (f *fake) Applied(int) uint64     { return f.applied }
func (f *fake) Messages() uint64       { return 3 * f.applied }
func (f *fake) Compact() error         { f.compacts++; return nil }
func (f *fake) Heartbeat() (err error) { return errors.New("no heartbeat") }

func (f *fake) Propose(_ int, _ []byte, calls, perCall int) error {
	if f.calls++; !f.broken || f.calls%3 != 0 {
		f.applied += uint64(calls * perCall)
	}
	return nil
}

// serve returns the replies to a case and to turns of a nanosecond.
func serve(t *testing.T, f *fake, about Case, turns int) []Reply {
	t.Helper()
	line, err := json.Marshal(about)
	if err != nil {
		t.Fatal(err)
	}
	in, out := strings.NewReader(string(line)+strings.Repeat("\n1", turns)), new(strings.Builder)
	c := Contender{Cluster: func(int, Wire) (Cluster, error) { return f, nil }}
	if err := Serve(in, out, c); err != nil {
		t.Fatal(err)
	}
	var replies []Reply
	for decoder := json.NewDecoder(strings.NewReader(out.String())); decoder.More(); {
		var r Reply
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		replies = append(replies, r)
	}
	return replies
}

func TestEachTurnIsAnswered(t *testing.T) {
	f := new(fake)
	replies := serve(t, f, Case{Kind: Propose, Calls: 4, PerCall: 8}, 3)
	if len(replies) != 4 {
		t.Fatalf("%d replies to a case and 3 turns", len(replies))
	}
	for _, r := range replies[1:] {
		if s := r.Sample; r.Error != "" || s.Ops != chunk*32 || s.Messages != 3*chunk*32 || s.Elapsed <= 0 {
			t.Errorf("got %+v", r)
		}
	}
	if f.compacts != 1 { // 1536 entries
		t.Errorf("compacted %d times", f.compacts)
	}
}

func TestWhatIsNotAppliedIsAnError(t *testing.T) {
	replies := serve(t, &fake{broken: true}, Case{Kind: Propose, Calls: 1, PerCall: 1}, 2)
	if len(replies) != 2 || !strings.Contains(replies[1].Error, "applied") {
		t.Fatalf("got %+v", replies)
	}
}

func TestAnErrorEndsTheTurns(t *testing.T) {
	replies := serve(t, new(fake), Case{Kind: Heartbeat}, 2)
	if len(replies) != 2 || replies[1].Error != "no heartbeat" {
		t.Fatalf("got %+v", replies)
	}
}

func TestUnknownKind(t *testing.T) {
	replies := serve(t, new(fake), Case{Kind: "what"}, 1)
	if len(replies) != 1 || replies[0].Error == "" {
		t.Fatalf("got %+v", replies)
	}
}
