package modelcheck

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"
)

func TestExplore(t *testing.T) {
	spec := os.Getenv("MC")
	if spec == "" {
		t.Skip()
	}
	o := Options{}
	if err := json.Unmarshal([]byte(spec), &o); err != nil {
		t.Fatal(err)
	}
	last := time.Now()
	r, err := Check(context.Background(), o, func(p Progress) {
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			t.Logf("%+v", p)
		}
	})
	t.Logf("%+v complete %v %v", r.Progress, r.Complete, err)
	if r.Violation != nil {
		t.Logf("%s", r.Violation.Broken)
		for _, l := range r.Violation.Transcript {
			t.Log(l)
		}
	}
}
