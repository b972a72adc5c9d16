package mutation

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
)

// source is a Go file that is being edited as text.
type source struct {
	set   *token.FileSet
	file  *ast.File
	bytes []byte
	edits []edit
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	by         string
}

func parseSource(path string) (*source, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &source{set: token.NewFileSet(), bytes: content}
	s.file, err = parser.ParseFile(s.set, path, content, parser.SkipObjectResolution)
	return s, err
}

func (s *source) offset(at token.Pos) int { return s.set.Position(at).Offset }

func (s *source) text(start, end token.Pos) string {
	return string(s.bytes[s.offset(start):s.offset(end)])
}

func (s *source) edit(start, end token.Pos, by string) {
	s.edits = append(s.edits, edit{s.offset(start), s.offset(end), by})
}

// edited returns the file with all edits, none of which overlap. No line of
// the original moves.
func (s *source) edited() []byte {
	slices.SortStableFunc(s.edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, e := range s.edits {
		out = append(out, s.bytes[at:e.start]...)
		out = append(out, e.by...)
		at = e.end
	}
	return append(out, s.bytes[at:]...)
}

// mutated returns the function that m is about, and its body with m.
func (s *source) mutated(m *Mutation) (f *ast.FuncDecl, body string, err error) {
	for _, d := range s.file.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && functionName(fn) == m.Func {
			f = fn
		}
	}
	if f == nil {
		return nil, "", fmt.Errorf("there is no such function")
	}
	body = s.text(f.Body.Pos(), f.Body.End())
	found := snippet(m.Find).FindAllStringIndex(body, -1)
	switch {
	case len(found) == 0:
		return nil, "", fmt.Errorf("this is not in the function any more: %s", m.Find)
	case len(found) > 1:
		return nil, "", fmt.Errorf("this is in the function %d times: %s", len(found), m.Find)
	}
	return f, body[:found[0][0]] + m.Replace + body[found[0][1]:], nil
}

// snippet matches code up to white space.
func snippet(code string) *regexp.Regexp {
	words := strings.Fields(code)
	for i := range words {
		words[i] = regexp.QuoteMeta(words[i])
	}
	return regexp.MustCompile(strings.Join(words, `\s+`))
}

// functionName is "name" or "Receiver.name".
func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	switch generic := t.(type) {
	case *ast.IndexExpr:
		t = generic.X
	case *ast.IndexListExpr:
		t = generic.X
	}
	return t.(*ast.Ident).Name + "." + f.Name.Name
}

// nameParameters gives the receiver and the parameters that have no name the
// ones that parameterNames says.
func (s *source) nameParameters(f *ast.FuncDecl) {
	names := parameterNames(f)
	lists := []*ast.FieldList{f.Type.Params}
	if f.Recv != nil {
		lists = []*ast.FieldList{f.Recv, f.Type.Params}
	}
	for _, list := range lists {
		for _, field := range list.List {
			if len(field.Names) == 0 {
				s.edit(field.Pos(), field.Pos(), names[0]+" ")
				names = names[1:]
			}
			for _, name := range field.Names {
				if name.Name == "_" {
					s.edit(name.Pos(), name.End(), names[0])
				}
				names = names[1:]
			}
		}
	}
}

// parameterNames returns the names of the receiver and the parameters.
func parameterNames(f *ast.FuncDecl) []string {
	var names []string
	fields := f.Type.Params.List
	if f.Recv != nil {
		fields = append(slices.Clone(f.Recv.List), fields...)
	}
	for _, field := range fields {
		if len(field.Names) == 0 {
			names = append(names, fmt.Sprintf("parameter%d__", len(names)))
		}
		for _, name := range field.Names {
			if name.Name == "_" {
				names = append(names, fmt.Sprintf("parameter%d__", len(names)))
			} else {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// call returns the statements with which f becomes a call of its copy.
func (s *source) call(f *ast.FuncDecl, copyName string) string {
	names := parameterNames(f)
	callee := copyName
	if f.Recv != nil {
		callee = names[0] + "." + callee
		names = names[1:]
	}
	if types := f.Type.TypeParams; types != nil {
		var arguments []string
		for _, field := range types.List {
			for _, name := range field.Names {
				arguments = append(arguments, name.Name)
			}
		}
		callee += "[" + strings.Join(arguments, ", ") + "]"
	}
	if params := f.Type.Params.List; len(params) > 0 {
		if _, variadic := params[len(params)-1].Type.(*ast.Ellipsis); variadic {
			names[len(names)-1] += "..."
		}
	}
	call := callee + "(" + strings.Join(names, ", ") + ")"
	if f.Type.Results != nil {
		return "return " + call
	}
	return call + "; return"
}
