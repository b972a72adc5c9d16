package mutation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// An Overlay is a set of files that the go command builds in place of those of
// a module, or beside them. In it, each mutated function begins by asking
// whether one of its mutations is selected, and if so calls that copy of it.
type Overlay struct {
	module string // directory
	dir    string // of the overlay's files
	path   string // of the file that the go command takes
	copies []copied
}

// copied is where a mutation's copy of a function is in the overlay.
type copied struct {
	id          string
	file        string
	first, last int // line
}

// mutantPackage is the package that exists in the overlay only.
const mutantPackage = "internal/mutant"

// NewOverlay writes an overlay with the mutations for the module in a directory
// into another directory. An error names the mutations that do not apply.
func NewOverlay(module, dir string, mutations []Mutation) (*Overlay, error) {
	module, err := filepath.Abs(module)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	modulePath, err := modulePath(module)
	if err != nil {
		return nil, err
	}
	o := &Overlay{module: module, dir: dir, path: filepath.Join(dir, "overlay.json")}
	if err := unique(mutations); err != nil {
		return nil, err
	}
	replace := map[string]string{}
	write := func(name string, content []byte) error {
		path := o.copyOf(name)
		replace[filepath.Join(module, filepath.FromSlash(name))] = path
		return os.WriteFile(path, content, 0o600)
	}
	var errs []error
	for _, file := range files(mutations) {
		content, err := o.mutate(file, modulePath, mutations)
		if err == nil {
			err = write(file, content)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := write(mutantPackage+"/mutant.go", mutantSource(mutations)); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	return o, os.WriteFile(o.path, encoded, 0o600)
}

// copyOf returns where the overlay has a file of the module.
func (o *Overlay) copyOf(name string) string {
	return filepath.Join(o.dir, strings.ReplaceAll(name, "/", "_"))
}

func unique(mutations []Mutation) error {
	seen := map[string]bool{}
	for _, m := range mutations {
		if seen[m.ID] {
			return fmt.Errorf("there are two mutations %s", m.ID)
		}
		seen[m.ID] = true
	}
	return nil
}

// files returns the files that are mutated, each once.
func files(mutations []Mutation) []string {
	var names []string
	for _, m := range mutations {
		names = append(names, m.File)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func modulePath(module string) (string, error) {
	content, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", err
	}
	match := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(content)
	if match == nil {
		return "", fmt.Errorf("%s/go.mod names no module", module)
	}
	return string(match[1]), nil
}

// mutantSource is the package that knows which mutation is selected.
func mutantSource(mutations []Mutation) []byte {
	b := new(bytes.Buffer)
	fmt.Fprintf(b, "package mutant\n\nimport \"os\"\n\nvar selected = func() int {\n\tswitch id := os.Getenv(%q); id {\n\tcase \"\":\n\t\treturn 0\n", Variable)
	for i, m := range mutations {
		fmt.Fprintf(b, "\tcase %q:\n\t\treturn %d\n", m.ID, i+1)
	}
	fmt.Fprintf(b, "\tdefault:\n\t\tpanic(\"there is no mutation \" + id)\n\t}\n}()\n\nfunc Is(n int) bool { return n == selected }\n")
	return b.Bytes()
}

// mutate returns a file with all of its mutations.
func (o *Overlay) mutate(name, modulePath string, mutations []Mutation) ([]byte, error) {
	s, err := parseSource(filepath.Join(o.module, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	s.edit(s.file.Name.End(), s.file.Name.End(), fmt.Sprintf("; import mutant__ %q", modulePath+"/"+mutantPackage))
	var errs []error
	var ids, copies []string
	dispatched := map[*ast.FuncDecl]string{} // looked up only
	var order []*ast.FuncDecl
	for i, m := range mutations {
		if m.File != name {
			continue
		}
		f, body, err := s.mutated(&m)
		if err != nil {
			errs = append(errs, fmt.Errorf("mutation %s, of %s in %s: %w", m.ID, m.Func, m.File, err))
			continue
		}
		if dispatched[f] == "" {
			order = append(order, f)
		}
		copyName := fmt.Sprintf("%s__%d", f.Name.Name, i+1)
		dispatched[f] += fmt.Sprintf(" if mutant__.Is(%d) { %s };", i+1, s.call(f, copyName))
		ids = append(ids, m.ID)
		copies = append(copies, s.text(f.Pos(), f.Name.Pos())+copyName+s.text(f.Name.End(), f.Body.Pos())+body)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, f := range order {
		s.nameParameters(f)
		s.edit(f.Body.Lbrace+1, f.Body.Lbrace+1, dispatched[f])
	}
	out := s.edited()
	for i, c := range copies {
		first := bytes.Count(out, []byte("\n")) + 2
		out = append(out, "\n"+c+"\n"...)
		o.copies = append(o.copies, copied{id: ids[i], file: o.copyOf(name), first: first, last: first + strings.Count(c, "\n")})
	}
	return out, nil
}
