package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs/drive"
	"github.com/seed-6281cb22/raft/storage/wal"
)

// command runs raftctl and returns its status and what it says.
func command(args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	status = run(args, &o, &e)
	return status, o.String(), e.String()
}

func entry(index raft.Index, term raft.Term) raft.Entry {
	return raft.Entry{Index: index, Term: term, Data: fmt.Appendf(nil, "entry %d of term %d", index, term)}
}

// log is one that a test writes by hand, the same in each run.
type log struct {
	t     *testing.T
	dir   string
	drive drive.Writer
	*wal.Log
}

func openLog(t *testing.T, dir string) *log {
	l := &log{t: t, dir: dir}
	seed := uint64(0)
	l.drive.Random = func() uint64 { seed++; return seed * 0x9e3779b97f4a7c15 }
	var err error
	l.Log, err = wal.Open(dir, wal.Options{SegmentBytes: 64 << 10, Manual: &l.drive})
	require.NoError(t, err)
	return l
}

func (l *log) save(group raft.GroupID, w raft.Write) {
	l.Storage(group).Save(w, func(err error) { require.NoError(l.t, err) })
	for l.drive.Sync() {
	}
}

// example has two groups, one of them with a snapshot, and two segments.
func example(t *testing.T) string {
	l := openLog(t, t.TempDir())
	l.save(1, raft.Write{
		Identity:  raft.Identity{Cluster: "sums", Node: 3},
		HardState: raft.HardState{Term: 1, Vote: 3},
		Snapshot:  &raft.Snapshot{Membership: raft.Membership{Members: []raft.Member{{ID: 3, Address: "a:1", Voter: true}}}},
	})
	l.save(2, raft.Write{HardState: raft.HardState{Term: 7}, Entries: []raft.Entry{entry(1, 7)}})
	for i := raft.Index(1); i <= 6; i++ {
		l.save(1, raft.Write{HardState: raft.HardState{Term: 2, Vote: 3, Commit: i - 1}, Entries: []raft.Entry{entry(i, 1+raft.Term(i/4))}})
	}
	w, err := l.Storage(1).CreateSnapshot(raft.Snapshot{Index: 4, Term: 2})
	require.NoError(t, err)
	_, err = w.Write([]byte("the state"))
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	require.NoError(t, w.Close())
	require.NoError(t, l.Close())
	l = openLog(t, l.dir)
	l.save(2, raft.Write{HardState: raft.HardState{Term: 8}, Entries: []raft.Entry{entry(2, 8), entry(3, 8)}})
	require.NoError(t, l.Close())
	return l.dir
}

const wantInfo = `DIR: 2 segments, 2 groups, no damage

SEGMENT       BYTES  USED   LSN     DURABLE  AFTER              FRAMES  RECORDS  GAPS  NEEDED
00000002.wal  65536  49152  1..10   9        -                  10      9        0     yes
00000007.wal  65536  20480  10..12  11       00000002 at 45056  3       4        0     yes

GROUP  CLUSTER  NODE  TERM  VOTE  COMMIT  ENTRIES  BYTES  SNAPSHOT     STATE
1      sums     3     2     3     5       1..6     186    4 of term 2  ok
2      -        0     8     0     0       1..3     93     -            ok
`

func TestInfo(t *testing.T) {
	dir := example(t)
	status, out, errs := command("wal", "info", dir)
	require.Equal(t, clean, status, errs)
	require.Empty(t, errs)
	require.True(t, strings.HasPrefix(strings.ReplaceAll(out, dir, "DIR"), wantInfo), "%s", out)
	require.Contains(t, out, "LOCK")
	require.Contains(t, out, "spare segment")
	require.Contains(t, out, "0000000000000001-0000000000000004-0000000000000002.snapshot")

	status, out, _ = command("wal", "info", "-json", dir)
	require.Equal(t, clean, status)
	var i wal.Inspection
	require.NoError(t, json.Unmarshal([]byte(out), &i))
	require.Len(t, i.Groups, 2)
	require.EqualValues(t, 6, i.Groups[0].State.Last)
	require.Equal(t, raft.HardState{Term: 8}, i.Groups[1].State.HardState)
	require.NotEmpty(t, i.Segments)
	require.Empty(t, i.Segments[0].Frames)
}

func TestDump(t *testing.T) {
	dir := example(t)
	status, out, errs := command("wal", "dump", dir)
	require.Equal(t, clean, status, errs)
	for _, want := range []string{
		"checkpoint head  0      0",
		`node 3 of "sums"; term 1, vote 3, commit 0; snapshot 0 of term 0, 1 member`,
		"term 7, vote 0, commit 0; entries 1..1; term 7 from 1",
		"term 8, vote 0, commit 0; entries 2..3; term 8 from 2",
	} {
		require.Contains(t, out, want)
	}

	status, out, _ = command("wal", "dump", "-json", "-group", "2", dir)
	require.Equal(t, clean, status)
	var i wal.Inspection
	require.NoError(t, json.Unmarshal([]byte(out), &i))
	saved := 0
	for _, s := range i.Segments {
		for _, f := range s.Frames {
			for _, r := range f.Records {
				require.EqualValues(t, 2, r.Group)
				if r.Kind == "save" {
					saved++
				}
			}
		}
	}
	require.Equal(t, 2, saved)
}

func TestVerify(t *testing.T) {
	dir := example(t)
	status, out, errs := command("wal", "verify", dir)
	require.Equal(t, clean, status, out+errs)
	require.Contains(t, out, "no damage")
	status, out, _ = command("wal", "verify", "-json", dir)
	require.Equal(t, clean, status)
	var v verdict
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.True(t, v.OK)
	require.Equal(t, []groupVerdict{{Group: 1, First: 1, Last: 6}, {Group: 2, First: 1, Last: 3}}, v.Groups)
}

// find returns the file that holds data, and where.
func find(t *testing.T, dir, data string) (path string, at int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, path := range files {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		if at := bytes.Index(content, []byte(data)); at >= 0 {
			return path, at
		}
	}
	require.Fail(t, "no file holds it", data)
	return "", 0
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[at] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

// snapshotOf is the content and the metadata of a directory.
func snapshotOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		info, err := f.Info()
		require.NoError(t, err)
		all[f.Name()] = fmt.Sprintf("%x %v %v %d", sha256.Sum256(content), info.ModTime(), info.Mode(), info.Size())
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	all["."] = fmt.Sprint(info.ModTime(), info.Mode())
	return all
}

// Each kind of damage is named, and no command changes anything, in a whole
// directory or in a damaged one.
func TestDamagedDirectories(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		status int
		want   []string
	}{
		{"none", func(*testing.T, string) {}, clean, []string{"no damage"}},
		{"an entry", func(t *testing.T, dir string) {
			path, at := find(t, dir, "entry 2 of term 1")
			flip(t, path, at)
		}, found, []string{"DAMAGED", ".wal at offset", "acknowledged frames", "what can be done: other groups go on", "group 1: entries 2 to 2 are missing or damaged"}},
		{"the snapshot's data", func(t *testing.T, dir string) {
			path, at := find(t, dir, "the state")
			flip(t, path, at)
		}, found, []string{"DAMAGED", ".snapshot at offset 0", "the snapshot's data is damaged", "group 1 cannot be used"}},
		{"the snapshot's trailer", func(t *testing.T, dir string) {
			path, at := find(t, dir, "RAFTSNAP")
			flip(t, path, at)
		}, found, []string{"DAMAGED", ".snapshot at offset", "no trailer"}},
		{"a missing segment", func(t *testing.T, dir string) {
			path, _ := find(t, dir, "entry 2 of term 1")
			require.NoError(t, os.Remove(path))
		}, found, []string{"CANNOT BE OPENED", "the segment is missing"}},
		{"a segment cut short", func(t *testing.T, dir string) {
			path, at := find(t, dir, "entry 6 of term 2")
			require.NoError(t, os.Truncate(path, int64(at)))
		}, found, []string{"DAMAGED", "group 1"}},
		{"a temporary file", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "00000063.tmp"), []byte("x"), 0o600))
		}, clean, []string{"no damage"}},
		{"a torn tail", func(t *testing.T, dir string) {
			path, at := find(t, dir, "entry 3 of term 8")
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			clear(content[at : at+8192]) // the frame behind it, too, which says that it was durable
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}, clean, []string{"no damage"}},
		{"a read-only directory", func(t *testing.T, dir string) {
			require.NoError(t, os.Chmod(dir, 0o500))
			t.Cleanup(func() { os.Chmod(dir, 0o700) })
		}, clean, []string{"no damage"}},
		{"without a lock file", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
		}, clean, []string{"no damage"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := example(t)
			c.damage(t, dir)
			before := snapshotOf(t, dir)
			status, out, errs := command("wal", "verify", dir)
			require.Equal(t, c.status, status, out+errs)
			for _, want := range c.want {
				require.Contains(t, out, want)
			}
			status, asJSON, _ := command("wal", "verify", "-json", dir)
			require.Equal(t, c.status, status)
			var v verdict
			require.NoError(t, json.Unmarshal([]byte(asJSON), &v))
			require.Equal(t, c.status == clean, v.OK)
			for _, args := range [][]string{{"info"}, {"dump"}, {"info", "-json"}, {"dump", "-json"}} {
				status, _, errs := command(append(append([]string{"wal"}, args...), dir)...)
				require.Equal(t, clean, status, errs)
			}
			require.Equal(t, before, snapshotOf(t, dir))
		})
	}
}

// A log that is open is read nevertheless; and while it is read, no one opens
// it.
func TestLogInUse(t *testing.T) {
	dir := example(t)
	l := openLog(t, dir)
	before := snapshotOf(t, dir)
	status, out, errs := command("wal", "verify", dir)
	require.Equal(t, clean, status, out)
	require.Contains(t, errs, "is in use")
	require.Equal(t, before, snapshotOf(t, dir))
	_, out, _ = command("wal", "verify", "-json", dir)
	require.Contains(t, out, `"InUse": true`)
	l.save(1, raft.Write{HardState: raft.HardState{Term: 3, Commit: 5}})
	require.NoError(t, l.Close())
	_, _, errs = command("wal", "verify", dir)
	require.Empty(t, errs)
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, misuse, "usage"},
		{[]string{"wal"}, misuse, "usage"},
		{[]string{"wal", "repair", dir}, misuse, "usage"},
		{[]string{"log", "info", dir}, misuse, "usage"},
		{[]string{"-h"}, clean, "usage"},
		{[]string{"wal", "help"}, clean, "usage"},
		{[]string{"wal", "info", "-h"}, clean, "-json"},
		{[]string{"wal", "info"}, misuse, "no directory given"},
		{[]string{"wal", "info", dir, "-json"}, misuse, `unexpected argument "-json"`},
		{[]string{"wal", "info", "-xml", dir}, misuse, "not defined: -xml"},
		{[]string{"wal", "dump", "-group", "x", dir}, misuse, "invalid value"},
		{[]string{"wal", "info", filepath.Join(dir, "none")}, misuse, "no such file"},
		{[]string{"wal", "verify", file}, misuse, "not a directory"},
		{[]string{"wal", "verify", dir}, misuse, "holds no log"},
	} {
		status, out, errs := command(c.args...)
		require.Equal(t, c.status, status, "%v", c.args)
		require.Contains(t, errs, c.want, "%v", c.args)
		require.Empty(t, out)
	}
}
