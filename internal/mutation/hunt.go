package mutation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// What shows itself without a checker, after a number of events that is not
// known.
const (
	Hangs  = "hangs"
	Memory = "memory"
)

// A Report is what came of a hunt. The hunter prints it, as JSON.
type Report struct {
	Caught bool
	// Checker is the one that found the defect, and Detail what it said.
	Checker, Detail string
	// Seed is the one that failed, Seeds how many were tried, it included,
	// and Events how many events that took. A test has none.
	Seed          uint64
	Seeds, Events int
}

// Hunters are the engines' binaries, which can run with any of the mutations.
type Hunters struct {
	overlay  *Overlay
	dir      string
	binaries map[string]string // by package
}

// NewHunters writes the overlay and builds nothing yet. dir is where it
// works, module the directory of the module.
func NewHunters(module, dir string, mutations []Mutation) (*Hunters, error) {
	overlay, err := NewOverlay(module, dir, mutations)
	if err != nil {
		return nil, err
	}
	return &Hunters{overlay: overlay, dir: dir, binaries: map[string]string{}}, nil
}

// Build builds an engine's binary, unless it has been built.
func (h *Hunters) Build(e *Engine) error {
	if h.binaries[e.Package] != "" {
		return nil
	}
	binary := filepath.Join(h.dir, fmt.Sprintf("hunter%d", len(h.binaries)))
	if err := h.overlay.Build(e, binary); err != nil {
		return err
	}
	h.binaries[e.Package] = binary
	return nil
}

// Hunt runs an engine with the mutation of an ID, or with none if that is
// empty, until it finds something or the budget is used up.
func (h *Hunters) Hunt(e *Engine, id string, budget Budget) (Report, error) {
	// The command watches the time itself; a mutation may make it hang.
	ctx, cancel := context.WithTimeout(context.Background(), budget.Time+30*time.Second)
	defer cancel()
	args := []string{"-engine", e.Name, "-seeds", fmt.Sprint(budget.Seeds), "-time", budget.Time.String()}
	if e.isTest() {
		args = []string{"-test.run", e.Test, "-test.failfast", "-test.timeout", budget.Time.String()}
	}
	cmd := exec.CommandContext(ctx, h.binaries[e.Package], args...)
	cmd.Env = append(os.Environ(), Variable+"="+id)
	cmd.Dir = h.overlay.module
	if e.isTest() {
		cmd.Dir = filepath.Join(h.overlay.module, e.Package)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if e.isTest() {
		return testReport(stdout.String()+stderr.String(), err)
	}
	if ctx.Err() != nil {
		return Report{Caught: true, Checker: Hangs}, nil
	}
	var report Report
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), &report)
	}
	if err != nil {
		return Report{}, fmt.Errorf("%w\n%s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	return report, nil
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// testReport reads the output of a test binary.
func testReport(output string, err error) (Report, error) {
	var exit *exec.ExitError
	switch {
	case err == nil && strings.Contains(output, "no tests to run"):
		return Report{}, errors.New("there is no such test")
	case err == nil:
		return Report{}, nil
	case !errors.As(err, &exit):
		return Report{}, err
	}
	report := Report{Caught: true, Checker: "panic", Detail: output}
	if match := failedTest.FindStringSubmatch(output); match != nil {
		report.Checker = match[1]
	} else if strings.Contains(output, "test timed out") {
		report.Checker = Hangs
	}
	return report, nil
}
