package raft

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// coreFiles are the files of the core, which is a function from (state, input)
// to (state, output).
var coreFiles = []string{
	"raft.go", "election.go", "replication.go", "progress.go", "durability.go", "log.go", "read.go", "lease.go", "snapshot.go",
	"membership.go", "change.go", "departure.go", "transfer.go", "ready.go", "watch.go", "status.go", "priority.go", "rest.go", "clone.go", "fingerprint.go",
	"internal/quorum/quorum.go", "internal/quorum/vote.go",
}

// coreImports is what they may import, and of those with impure parts what
// they may use.
var coreImports = map[string][]string{
	"cmp": nil, "errors": nil, "math/bits": nil, "slices": nil, "sort": nil, "strconv": nil, "unicode/utf8": nil,
	"fmt":                                  {"Sprintf", "Errorf"},
	"time":                                 {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
	"github.com/seed-6281cb22/raft/raftpb": nil,
	"github.com/seed-6281cb22/raft/internal/quorum": nil,
}

// No I/O, goroutine, lock, channel, clock, global randomness, log line, map or
// package variable in the core.
func TestCoreIsPure(t *testing.T) {
	for _, file := range coreFiles {
		for _, violation := range impurities(t, file, nil) {
			t.Errorf("%s", violation)
		}
	}
}

// Whatever is a method of the core is in one of its files.
func TestCoreFilesAreListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(coreFiles, file) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil {
				continue
			}
			receiver := fn.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			require.False(t, isNamed(receiver, "Raft"), "%s: %s is the core's; list the file in coreFiles", file, fn.Name.Name)
		}
	}
}

// The check itself finds each kind of impurity.
func TestImpuritiesAreFound(t *testing.T) {
	for name, source := range map[string]string{
		"os":            `import "os"; var _ = os.Args`,
		"net":           `import _ "net"`,
		"sync":          `import "sync"; type t struct{ sync.Mutex }`,
		"rand":          `import "math/rand/v2"; func f() int { return rand.Int() }`,
		"log":           `import "log"; func f() { log.Print() }`,
		"context":       `import "context"; func f(context.Context) {}`,
		"now":           `import "time"; func f() any { return time.Now() }`,
		"since":         `import clock "time"; func f(t clock.Time) any { return clock.Since(t) }`,
		"sleep":         `import clock "time"; func f() { clock.Sleep(1) }`,
		"timer":         `import "time"; func f() any { return time.NewTimer(1) }`,
		"print":         `import "fmt"; func f() { fmt.Println() }`,
		"dot import":    `import . "time"`,
		"goroutine":     `func f() { go f() }`,
		"channel":       `func f(c chan int) {}`,
		"send":          `func f() { c <- 1 }`,
		"receive":       `func f() { <-c }`,
		"select":        `func f() { select {} }`,
		"map":           `func f() { for range map[int]int{} {} }`,
		"made map":      `func f() { _ = make(map[int]int) }`,
		"builtin print": `func f() { println() }`,
		"global":        `var counter int`,
		"init":          `func init() {}`,
	} {
		require.NotEmpty(t, impurities(t, "x.go", "package x\n"+source+"\n"), name)
	}
	require.Empty(t, impurities(t, "x.go", "package x\nimport (\"errors\"; \"time\")\nvar errX = errors.New(\"x\")\nconst d = time.Second\n"))
}

func impurities(t *testing.T, file string, source any) (found []string) {
	set := token.NewFileSet()
	if source == nil {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		source = b
	}
	f, err := parser.ParseFile(set, file, source, 0)
	require.NoError(t, err)
	report := func(n ast.Node, what string) { found = append(found, set.Position(n.Pos()).String()+": "+what) }

	imported := map[string][]string{} // by the name in this file
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		uses, allowed := coreImports[path]
		if !allowed || spec.Name != nil && (spec.Name.Name == "." || spec.Name.Name == "_") {
			report(spec, "imports "+path)
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = uses
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			report(d, "init")
		}
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		for _, spec := range decl.Specs {
			values := spec.(*ast.ValueSpec).Values
			if len(values) != 1 || !isNewError(values[0]) {
				report(spec, "package variable")
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n, "goroutine")
		case *ast.SelectStmt:
			report(n, "select")
		case *ast.ChanType, *ast.SendStmt:
			report(n, "channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				report(n, "channel")
			}
		case *ast.MapType:
			report(n, "map")
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
				report(n, id.Name)
			}
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok {
				if uses := imported[id.Name]; uses != nil && !slices.Contains(uses, n.Sel.Name) {
					report(n, id.Name+"."+n.Sel.Name)
				}
			}
		}
		return true
	})
	return found
}

func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// isNewError: a sentinel error is the one kind of variable that never varies.
func isNewError(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	fn, ok := call.Fun.(*ast.SelectorExpr)
	return ok && fn.Sel.Name == "New" && isNamed(fn.X, "errors")
}
