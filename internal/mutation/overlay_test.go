package mutation

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// example is a module with functions of all shapes.
var example = map[string]string{
	"go.mod": "module example\n\ngo 1.26\n",
	"main.go": `package main

import (
	"fmt"
	"strings"
)

type number int

func (n number) plus(m number) number { return n + m }

func (number) name() string { return "number" }

type list[T any] struct{ elements []T }

// add has a comment.
func (l *list[T]) add(_ string, more ...T) {
	l.elements = append(l.elements, more...)
}

func biggest[T int | float64](values []T) (value T, ok bool) {
	for _, v := range values {
		if !ok || v > value {
			value, ok = v, true
		}
	}
	return value, ok
}

func shout(string, int) string { return strings.ToUpper("ok") }

func main() {
	l := new(list[int])
	l.add("", 1, 2)
	l.add("", 3)
	value, ok := biggest(l.elements)
	fmt.Println(number(1).plus(2), number(1).name(), l.elements, value, ok, shout("", 0))
}
`,
}

func exampleModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range example {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

// exampleMutation is of main.go.
func exampleMutation(id, function, find, replace string) Mutation {
	return Mutation{ID: id, File: "main.go", Func: function, Find: find, Replace: replace}
}

// One build runs with any mutation, several in a function too, and with none.
func TestOneBuildHoldsAllMutations(t *testing.T) {
	dir := exampleModule(t)
	overlay, err := NewOverlay(dir, t.TempDir(), []Mutation{
		exampleMutation("minus", "number.plus", "n + m", "n - m"),
		exampleMutation("times", "number.plus", "n + m", "n * m"),
		exampleMutation("letter", "number.name", `"number"`, `"letter"`),
		exampleMutation("once", "list.add", "more...", "more[0]"),
		exampleMutation("smallest", "biggest", "v > value", "v < value"),
		exampleMutation("first", "biggest", "!ok\t|| v >\nvalue", "!ok"), // white space does not matter
		exampleMutation("quiet", "shout", "strings.ToUpper", ""),
	})
	require.NoError(t, err)
	binary := filepath.Join(t.TempDir(), "example")
	require.NoError(t, overlay.Build(&Engine{Package: "."}, binary))
	for id, want := range map[string]string{
		"":         "3 number [1 2 3] 3 true OK\n",
		"minus":    "-1 number [1 2 3] 3 true OK\n",
		"times":    "2 number [1 2 3] 3 true OK\n",
		"letter":   "3 letter [1 2 3] 3 true OK\n",
		"once":     "3 number [1 3] 3 true OK\n",
		"smallest": "3 number [1 2 3] 1 true OK\n",
		"first":    "3 number [1 2 3] 1 true OK\n",
		"quiet":    "3 number [1 2 3] 3 true ok\n",
	} {
		cmd := exec.Command(binary)
		cmd.Env = append(os.Environ(), Variable+"="+id)
		output, err := cmd.Output()
		require.NoError(t, err, id)
		require.Equal(t, want, string(output), id)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), Variable+"=unheard-of")
	require.Error(t, cmd.Run())
}

// A mutation that a change of the code has left behind is an error that names
// it, and all such are in one error.
func TestMutationsThatDoNotApply(t *testing.T) {
	_, err := NewOverlay(exampleModule(t), t.TempDir(), []Mutation{
		exampleMutation("A", "number.plus", "n - m", ""),
		exampleMutation("B", "biggest", "value, ok", ""),
		exampleMutation("C", "smallest", "value", ""),
		exampleMutation("D", "biggest", "!ok", "ok"),
	})
	require.ErrorContains(t, err, "mutation A, of number.plus in main.go: this is not in the function any more: n - m")
	require.ErrorContains(t, err, "mutation B, of biggest in main.go: this is in the function 2 times: value, ok")
	require.ErrorContains(t, err, "mutation C, of smallest in main.go: there is no such function")
	require.NotContains(t, err.Error(), "mutation D")

	_, err = NewOverlay(exampleModule(t), t.TempDir(), []Mutation{
		exampleMutation("D", "biggest", "!ok", "ok"),
		exampleMutation("D", "biggest", "!ok", "ok"),
	})
	require.EqualError(t, err, "there are two mutations D")
}

// One that does not compile is named.
func TestMutationThatDoesNotCompile(t *testing.T) {
	overlay, err := NewOverlay(exampleModule(t), t.TempDir(), []Mutation{
		exampleMutation("A", "number.plus", "n + m", "n - m"),
		exampleMutation("B", "biggest", "v > value", "v > nothing"),
		exampleMutation("C", "shout", "strings", "strings"),
	})
	require.NoError(t, err)
	err = overlay.Build(&Engine{Package: "."}, filepath.Join(t.TempDir(), "example"))
	require.ErrorContains(t, err, "mutation B does not compile:")
	require.ErrorContains(t, err, "undefined: nothing")
}
