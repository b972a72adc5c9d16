package mutation

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Build builds a command of the module, or, if test is true, the tests of a
// package, with the overlay. An error that a mutation's copy causes names it.
func (o *Overlay) Build(e *Engine, binary string) error {
	args := []string{"build"}
	if e.isTest() {
		args = []string{"test", "-c", "-vet=off"} // vet looks for the files that are in the overlay only
	}
	args = append(args, "-overlay", o.path, "-o", binary, e.Package)
	cmd := exec.Command("go", args...)
	cmd.Dir = o.module
	output, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if guilty := o.blame(string(output)); len(guilty) > 0 {
		return fmt.Errorf("mutation %s does not compile:\n%s", strings.Join(guilty, ", "), output)
	}
	return errors.Join(fmt.Errorf("go %s: %w", strings.Join(args, " "), err), errors.New(string(output)))
}

var compilerError = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):\d+: `)

// blame returns the mutations in whose copies the compiler found errors.
func (o *Overlay) blame(output string) []string {
	var guilty []string
	for _, match := range compilerError.FindAllStringSubmatch(output, -1) {
		file := match[1]
		if !filepath.IsAbs(file) {
			file = filepath.Join(o.module, file)
		}
		line, _ := strconv.Atoi(match[2]) // digits
		for _, c := range o.copies {
			if c.file == file && c.first <= line && line <= c.last && !slices.Contains(guilty, c.id) {
				guilty = append(guilty, c.id)
			}
		}
	}
	return guilty
}
