package tape

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A File is a recording with all that is needed to replay it. As text:
//
//	raft tape 1
//	seed=42
//	engine=rafttest
//	nodes=3
//
//	5 (3 42)(7 (10 1) 0*57)
//	end 63
//
// which is a version, the header, an empty line, the decisions, with spans in
// parentheses and v*n for n times v, and how many decisions there are.
type File struct {
	Seed uint64
	// Header says what else replaying takes, such as the engine and its
	// options. A key is made of letters, digits, '-', '_' and '.', a value is
	// one line.
	Header    map[string]string
	Recording *Recording
}

const (
	fileVersion = "raft tape 1"
	// maxDecisions bounds what a short malformed file can make Decode
	// allocate.
	maxDecisions = 1 << 24
	lineWidth    = 100
)

// Encode writes f as text.
func Encode(w io.Writer, f File) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nseed=%d\n", fileVersion, f.Seed)
	for _, key := range slices.Sorted(maps.Keys(f.Header)) {
		value := f.Header[key]
		if err := checkHeader(key, value); err != nil {
			return fmt.Errorf("tape: encode: %w", err)
		}
		fmt.Fprintf(&b, "%s=%s\n", key, value)
	}
	b.WriteByte('\n')
	if err := encodeDecisions(&b, f.Recording); err != nil {
		return fmt.Errorf("tape: encode: %w", err)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("tape: encode: %w", err)
	}
	return nil
}

func checkHeader(key, value string) error {
	odd := func(c rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", c)
	}
	switch {
	case key == "" || strings.ContainsFunc(key, odd):
		return fmt.Errorf("%q is no key for a header", key)
	case key == "seed":
		return errors.New(`the header "seed" is given twice`)
	case strings.ContainsAny(value, "\r\n"):
		return fmt.Errorf("the header %q is more than one line: %q", key, value)
	}
	return nil
}

// encodeDecisions writes the decisions and the line at the end.
func encodeDecisions(b *strings.Builder, r *Recording) error {
	if len(r.Decisions) > maxDecisions {
		return fmt.Errorf("%d decisions are more than the %d that a file may hold", len(r.Decisions), maxDecisions)
	}
	e := encoder{b: b, decisions: r.Decisions, lineStart: b.Len()}
	for i, s := range settled(r) {
		if s.Start < e.at || s.Start > len(r.Decisions) {
			return fmt.Errorf("span %d begins at decision %d, before the last one or after the end", i, s.Start)
		}
		e.advance(s.Start)
		if s.End < s.Start || s.End > e.around() {
			return fmt.Errorf("span %d ends at decision %d, before it begins or after the one around it", i, s.End)
		}
		e.token("(")
		e.ends = append(e.ends, s.End)
	}
	e.advance(len(r.Decisions))
	fmt.Fprintf(b, "\nend %d\n", len(r.Decisions))
	return nil
}

type encoder struct {
	b         *strings.Builder
	decisions []uint64
	at        int   // in decisions
	ends      []int // of the spans that are open
	lineStart int   // in b
	last      string
}

// around is where the innermost open span ends.
func (e *encoder) around() int {
	if len(e.ends) == 0 {
		return len(e.decisions)
	}
	return e.ends[len(e.ends)-1]
}

// advance writes the decisions before to, and closes the spans that end there.
func (e *encoder) advance(to int) {
	for {
		for len(e.ends) > 0 && e.around() == e.at {
			e.token(")")
			e.ends = e.ends[:len(e.ends)-1]
		}
		if e.at == to {
			return
		}
		e.numbers(min(to, e.around()))
	}
}

// numbers writes the decisions before to.
func (e *encoder) numbers(to int) {
	for e.at < to {
		value, start := e.decisions[e.at], e.at
		for e.at < to && e.decisions[e.at] == value {
			e.at++
		}
		number, times := strconv.FormatUint(value, 10), e.at-start
		if times > 2 {
			number, times = fmt.Sprintf("%s*%d", number, times), 1
		}
		for range times {
			e.token(number)
		}
	}
}

// token writes a parenthesis or a number, on a new line if it does not fit.
func (e *encoder) token(token string) {
	switch {
	case e.b.Len()-e.lineStart+len(token) >= lineWidth:
		e.b.WriteByte('\n')
		e.lineStart = e.b.Len()
	case e.last != "" && e.last != "(" && token != ")" && !(e.last == ")" && token == "("):
		e.b.WriteByte(' ')
	}
	e.b.WriteString(token)
	e.last = token
}

// Decode reads what Encode has written. Its errors name the line.
func Decode(r io.Reader) (File, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return File{}, fmt.Errorf("tape: decode: %w", err)
	}
	d := decoder{lines: strings.Split(string(text), "\n"), recording: new(Recording)}
	f, err := d.file()
	if err != nil {
		return File{}, fmt.Errorf("tape: decode: line %d: %w", d.line, err)
	}
	return f, nil
}

type decoder struct {
	lines     []string
	line      int // the number of the last one that was read, from 1
	recording *Recording
}

// next returns the next line.
func (d *decoder) next() (string, error) {
	if d.line == len(d.lines) {
		return "", errors.New("the file ends too early")
	}
	d.line++
	return d.lines[d.line-1], nil
}

func (d *decoder) file() (File, error) {
	version, err := d.next()
	if err != nil {
		return File{}, err
	}
	if version != fileVersion {
		return File{}, fmt.Errorf("%.40q instead of %q: another version, or no tape", version, fileVersion)
	}
	f := File{Header: make(map[string]string), Recording: d.recording}
	if f.Seed, err = d.seed(); err != nil {
		return File{}, err
	}
	if err := d.header(f.Header); err != nil {
		return File{}, err
	}
	return f, d.body()
}

func (d *decoder) seed() (uint64, error) {
	line, err := d.next()
	if err != nil {
		return 0, err
	}
	number, found := strings.CutPrefix(line, "seed=")
	if !found {
		return 0, fmt.Errorf("%.40q instead of the seed", line)
	}
	return parseNumber(number)
}

// header reads the header and the empty line after it.
func (d *decoder) header(header map[string]string) error {
	for {
		line, err := d.next()
		if err != nil || line == "" {
			return err
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return fmt.Errorf("%.40q is no key=value", line)
		}
		if err := checkHeader(key, value); err != nil {
			return err
		}
		if _, twice := header[key]; twice {
			return fmt.Errorf("the header %q is given twice", key)
		}
		header[key] = value
	}
}

// body reads the decisions and the line at the end.
func (d *decoder) body() error {
	for {
		line, err := d.next()
		if err != nil {
			return err
		}
		if count, found := strings.CutPrefix(line, "end "); found {
			return d.end(count)
		}
		if err := d.decisions(line); err != nil {
			return err
		}
	}
}

// decisions reads a line of them.
func (d *decoder) decisions(line string) error {
	r := d.recording
	for line != "" {
		switch line[0] {
		case ' ':
			line = line[1:]
		case '(':
			r.open = append(r.open, len(r.Spans))
			r.Spans = append(r.Spans, Span{Start: len(r.Decisions)})
			line = line[1:]
		case ')':
			last := len(r.open) - 1
			if last < 0 {
				return errors.New("a ')' too many")
			}
			r.Spans[r.open[last]].End = len(r.Decisions)
			r.open = r.open[:last]
			line = line[1:]
		default:
			end := strings.IndexAny(line, " ()")
			if end < 0 {
				end = len(line)
			}
			if err := d.number(line[:end]); err != nil {
				return err
			}
			line = line[end:]
		}
	}
	return nil
}

// number reads v, or v*n.
func (d *decoder) number(token string) error {
	number, times, repeated := strings.Cut(token, "*")
	value, err := parseNumber(number)
	if err != nil {
		return err
	}
	count := uint64(1)
	if repeated {
		if count, err = parseNumber(times); err != nil {
			return err
		}
	}
	r := d.recording
	if count > uint64(maxDecisions-len(r.Decisions)) {
		return fmt.Errorf("more than the %d decisions that a file may hold", maxDecisions)
	}
	for range count {
		r.Decisions = append(r.Decisions, value)
	}
	return nil
}

// end checks that the decisions are complete and that nothing follows.
func (d *decoder) end(count string) error {
	want, err := parseNumber(count)
	switch {
	case err != nil:
		return err
	case want != uint64(len(d.recording.Decisions)):
		return fmt.Errorf("%d decisions instead of %d", len(d.recording.Decisions), want)
	case len(d.recording.open) > 0:
		return fmt.Errorf("%d ')' are missing", len(d.recording.open))
	}
	if rest := strings.Join(d.lines[d.line:], "\n"); strings.TrimSpace(rest) != "" {
		d.line++
		return fmt.Errorf("%.40q after the end", rest)
	}
	d.recording.open = nil
	return nil
}

func parseNumber(s string) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no number, or too large a one", s)
	}
	return v, nil
}
