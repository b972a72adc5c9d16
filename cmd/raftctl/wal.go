package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/wal"
)

// inspect reads a directory, which must hold a log, and warns if it is in use.
func inspect(dir string, errs io.Writer) (*wal.Inspection, error) {
	i, err := wal.Inspect(dir)
	if err != nil {
		return nil, err
	}
	if !holdsLog(i) {
		return nil, fmt.Errorf("%s holds no log", dir)
	}
	if i.InUse {
		fmt.Fprintf(errs, "raftctl: %s is in use by a process: what is read may be of different moments, and damage may be none; stop the process to be sure\n", dir)
	}
	return i, nil
}

func holdsLog(i *wal.Inspection) bool {
	for _, f := range i.Others {
		if f.Kind != "not of the log" {
			return true
		}
	}
	return len(i.Segments) > 0
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows of cells, the first one a heading, if there are others.
func table(out io.Writer, rows [][]any) error {
	if len(rows) < 2 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = fmt.Sprint(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func info(args []string, out, errs io.Writer) (int, error) {
	flags := newFlags("info", errs)
	asJSON := flags.Bool("json", false, "for programs")
	dir, err := parse(flags, args)
	if err != nil {
		return 0, err
	}
	i, err := inspect(dir, errs)
	if err != nil {
		return 0, err
	}
	if *asJSON {
		for n := range i.Segments {
			i.Segments[n].Frames = nil // dump has them
		}
		return clean, writeJSON(out, i)
	}
	fmt.Fprintf(out, "%s: %s, %s, %s\n", i.Dir, count(len(i.Segments), "segment"), count(len(i.Groups), "group"), damage(i))
	if err := table(out, segmentRows(i)); err != nil {
		return 0, err
	}
	if err := table(out, groupRows(i)); err != nil {
		return 0, err
	}
	rows := [][]any{{"FILE", "BYTES", "KIND"}}
	for _, f := range i.Others {
		rows = append(rows, []any{f.Name, f.Bytes, f.Kind})
	}
	return clean, table(out, rows)
}

func segmentRows(i *wal.Inspection) [][]any {
	rows := [][]any{{"SEGMENT", "BYTES", "USED", "LSN", "DURABLE", "AFTER", "FRAMES", "RECORDS", "GAPS", "NEEDED"}}
	for _, s := range i.Segments {
		lsn, records := "-", 0
		if n := len(s.Frames); n > 0 {
			lsn = fmt.Sprintf("%d..%d", s.Frames[0].LSN, s.Frames[n-1].LSN)
		}
		for _, f := range s.Frames {
			records += len(f.Records)
		}
		after := "-"
		if s.Prev > 0 {
			after = fmt.Sprintf("%08x at %d", s.Prev, s.PrevEnd)
		}
		rows = append(rows, []any{s.Name, s.Bytes, s.End, lsn, s.DurableLSN, after, len(s.Frames), records, len(s.Gaps), yes(s.Needed)})
	}
	return rows
}

func groupRows(i *wal.Inspection) [][]any {
	rows := [][]any{{"GROUP", "CLUSTER", "NODE", "TERM", "VOTE", "COMMIT", "ENTRIES", "BYTES", "SNAPSHOT", "STATE"}}
	for _, g := range i.Groups {
		s, snapshot, state := g.State, "-", "ok"
		if s.Snapshot.Index > 0 {
			snapshot = fmt.Sprintf("%d of term %d", s.Snapshot.Index, s.Snapshot.Term)
		}
		if g.Refused != "" {
			state = "REFUSED"
		}
		rows = append(rows, []any{g.Group, cell(s.Identity.Cluster), s.Identity.Node, s.HardState.Term, s.HardState.Vote,
			s.HardState.Commit, indexes(s.First, s.Last), g.Bytes, snapshot, state})
	}
	return rows
}

func dump(args []string, out, errs io.Writer) (int, error) {
	flags := newFlags("dump", errs)
	asJSON := flags.Bool("json", false, "for programs")
	var only *raft.GroupID
	flags.Func("group", "show the records of this group alone", func(arg string) error {
		n, err := strconv.ParseUint(arg, 10, 64)
		only = (*raft.GroupID)(&n)
		return err
	})
	dir, err := parse(flags, args)
	if err != nil {
		return 0, err
	}
	i, err := inspect(dir, errs)
	if err != nil {
		return 0, err
	}
	if only != nil {
		keepGroup(i, *only)
	}
	if *asJSON {
		return clean, writeJSON(out, i)
	}
	for n := range i.Segments {
		s := &i.Segments[n]
		fmt.Fprintf(out, "%s: number %d, salt %016x, version %d, %d bytes\n", s.Name, s.Number, s.Salt, s.Version, s.Bytes)
		if err := table(out, recordRows(s)); err != nil {
			return 0, err
		}
		fmt.Fprintln(out)
	}
	return clean, nil
}

// keepGroup leaves out other groups' records, and frames without any.
func keepGroup(i *wal.Inspection, group raft.GroupID) {
	for n := range i.Segments {
		s := &i.Segments[n]
		var frames []wal.FrameInfo
		for _, f := range s.Frames {
			var records []wal.RecordInfo
			for _, r := range f.Records {
				if r.Group == group && r.FirstNeeded == 0 {
					records = append(records, r)
				}
			}
			if f.Records = records; len(records) > 0 {
				frames = append(frames, f)
			}
		}
		s.Frames = frames
	}
}

// recordRows has a row for each record, frame without one, and gap.
func recordRows(s *wal.SegmentInfo) [][]any {
	rows := [][]any{{"OFFSET", "LSN", "DURABLE", "KIND", "GROUP", "PREVIOUS", "BYTES", "CONTENT"}}
	gaps := s.Gaps
	for _, f := range s.Frames {
		for ; len(gaps) > 0 && gaps[0].Offset < f.Offset; gaps = gaps[1:] {
			rows = append(rows, gapRow(gaps[0]))
		}
		if f.Malformed != "" || len(f.Records) == 0 {
			rows = append(rows, []any{f.Offset, f.LSN, f.DurableLSN, "-", "-", "-", f.Bytes, cell(f.Malformed)})
		}
		for _, r := range f.Records {
			rows = append(rows, []any{r.Offset, f.LSN, f.DurableLSN, r.Kind, r.Group, r.PrevLSN, r.Bytes, content(&r)})
		}
	}
	for _, g := range gaps {
		rows = append(rows, gapRow(g))
	}
	return rows
}

func gapRow(g wal.GapInfo) []any {
	return []any{g.Offset, fmt.Sprintf("%d..%d", g.First, g.Last), "-", "MISSING", "-", "-", "-", "no intact frame is here"}
}

// content describes what a record holds.
func content(r *wal.RecordInfo) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if r.Malformed != "" {
		add("MALFORMED: %s", r.Malformed)
	}
	if r.FirstNeeded > 0 {
		add("needs segments from %08x on", r.FirstNeeded)
	}
	if id := r.Identity; id != nil && *id != (raft.Identity{}) {
		add("node %d of %q", id.Node, id.Cluster)
	}
	if h := r.HardState; h != nil {
		add("term %d, vote %d, commit %d", h.Term, h.Vote, h.Commit)
	}
	if s := r.Snapshot; s != nil && (s.Index > 0 || len(s.Membership.Members) > 0) {
		add("snapshot %d of term %d, %s", s.Index, s.Term, count(len(s.Membership.Members), "member"))
	}
	if r.First > 0 && r.Last == 0 {
		add("the log begins at %d", r.First)
	}
	if len(r.Runs) > 0 {
		add("entries %s", indexes(r.First, r.Last))
		for _, run := range r.Runs {
			add("term %d from %d", run.Term, run.First)
		}
	}
	return cell(strings.Join(parts, "; "))
}

// verdict is what verify says to programs.
type verdict struct {
	Dir     string
	InUse   bool
	OK      bool
	Refused string // why the log cannot be opened at all
	Groups  []groupVerdict
	Damage  []*raft.CorruptError
}

type groupVerdict struct {
	Group       raft.GroupID
	First, Last raft.Index
	Refused     string // "": all of it was read and is right
}

func verify(args []string, out, errs io.Writer) (int, error) {
	flags := newFlags("verify", errs)
	asJSON := flags.Bool("json", false, "for programs")
	dir, err := parse(flags, args)
	if err != nil {
		return 0, err
	}
	i, err := inspect(dir, errs)
	if err != nil {
		return 0, err
	}
	v := judge(i)
	status := clean
	if !v.OK {
		status = found
	}
	if *asJSON {
		return status, writeJSON(out, v)
	}
	fmt.Fprintf(out, "%s: %s, %s, %s\n", v.Dir, count(len(i.Segments), "segment"), count(len(v.Groups), "group"), damage(i))
	for _, d := range v.Damage {
		fmt.Fprintf(out, "\n%s at offset %d: %s\n", d.File, d.Offset, d.Reason)
		for _, r := range d.Ranges {
			fmt.Fprintf(out, "  group %d: %s\n", r.Group, missing(r))
		}
		if d.Remedy != "" {
			fmt.Fprintf(out, "  what can be done: %s\n", d.Remedy)
		}
	}
	for _, g := range v.Groups {
		if g.Refused != "" {
			fmt.Fprintf(out, "\ngroup %d cannot be used: %s\n", g.Group, g.Refused)
		}
	}
	if v.Refused != "" {
		fmt.Fprintf(out, "\nthe log cannot be opened: %s\n", v.Refused)
	}
	return status, nil
}

func judge(i *wal.Inspection) verdict {
	v := verdict{Dir: i.Dir, InUse: i.InUse, Refused: i.Refused, Damage: i.Damage, OK: i.Refused == "" && len(i.Damage) == 0}
	for _, g := range i.Groups {
		v.OK = v.OK && g.Refused == ""
		v.Groups = append(v.Groups, groupVerdict{g.Group, g.State.First, g.State.Last, g.Refused})
	}
	return v
}

// What tables show.

func damage(i *wal.Inspection) string {
	switch {
	case i.Refused != "":
		return "CANNOT BE OPENED"
	case len(i.Damage) > 0:
		return "DAMAGED"
	}
	for _, g := range i.Groups {
		if g.Refused != "" {
			return "DAMAGED"
		}
	}
	return "no damage"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func cell(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func indexes(first, last raft.Index) string {
	if last < first {
		return "none"
	}
	return fmt.Sprintf("%d..%d", first, last)
}

func missing(r raft.IndexRange) string {
	switch {
	case r.Last == 0:
		return fmt.Sprintf("entries from %d on may be missing", r.First)
	case r.First > r.Last:
		return "no entry is missing, but its other state may be"
	}
	return fmt.Sprintf("entries %d to %d are missing or damaged", r.First, r.Last)
}
