package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// soloBackend applies commands at once, or fails as it is told.
type soloBackend struct {
	store *store
	last  raft.Index
	err   error // of apply, read and changeMembership

	changes []raft.Change
}

func (b *soloBackend) changeMembership(_ context.Context, change raft.Change) error {
	b.changes = append(b.changes, change)
	return b.err
}

func (b *soloBackend) apply(_ context.Context, c command) (raft.Index, error) {
	if err := c.validate(); err != nil {
		return 0, err
	}
	if b.err != nil {
		return 0, b.err
	}
	b.last++
	results := make([]result, 1)
	if err := b.store.Apply([]raft.Entry{{Index: b.last, Data: c.encode()}}, results); err != nil {
		return 0, err
	}
	return results[0].version, results[0].err
}

func (b *soloBackend) read(_ context.Context, key string) (item, bool, error) {
	it, found := b.store.get(key)
	return it, found, b.err
}

func (b *soloBackend) readStale(key string) (item, bool) { return b.store.get(key) }

func (b *soloBackend) hash() string { return b.store.hash() }

func (b *soloBackend) status() raft.Status {
	return raft.Status{
		ID: 2, Role: raft.Leader, Leader: 2, Term: 3, Commit: 9, Applied: 8,
		Membership: raft.Membership{Members: []raft.Member{{ID: 1, Address: "a:1", Voter: true}, {ID: 2, Address: "b:2"}}},
	}
}

// request sends one request; headers are "Name: value".
func request(t *testing.T, b backend, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	newHandler(b).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func TestHTTPKeyLifecycle(t *testing.T) {
	b := &soloBackend{store: newStore()}
	steps := []struct {
		method, path, body, header string
		code                       int
		etag, want                 string
	}{
		{"GET", "/kv/a", "", "", 404, "", `{"error":"no such key"}`},
		{"PUT", "/kv/a", "one", "", 204, `"1"`, ""},
		{"GET", "/kv/a", "", "", 200, `"1"`, "one"},
		{"GET", "/kv/a?stale=1", "", "", 200, `"1"`, "one"},
		{"PUT", "/kv/a", "two", `If-Match: "1"`, 204, `"2"`, ""},
		{"PUT", "/kv/a", "three", `If-Match: "1"`, 412, "", `{"error":"the key has another version","outcome":"not committed"}`},
		{"PUT", "/kv/a", "three", `If-None-Match: *`, 412, "", `{"error":"the key has another version","outcome":"not committed"}`},
		{"DELETE", "/kv/a", "", `If-Match: "1"`, 412, "", `{"error":"the key has another version","outcome":"not committed"}`},
		{"GET", "/kv/a", "", "", 200, `"2"`, "two"},
		{"DELETE", "/kv/a", "", `If-Match: "2"`, 204, "", ""},
		{"DELETE", "/kv/a", "", "", 404, "", `{"error":"no such key","outcome":"not committed"}`},
		{"PUT", "/kv/a", "four", `If-None-Match: *`, 204, `"8"`, ""},
		{"PUT", "/kv/a%2Fb%20c", "slash", "", 204, `"9"`, ""},
		{"GET", "/kv/a%2Fb%20c", "", "", 200, `"9"`, "slash"},
		{"PUT", "/kv/empty", "", "", 204, `"10"`, ""},
		{"GET", "/kv/empty", "", "", 200, `"10"`, ""},
	}
	for _, s := range steps {
		name := strings.TrimSpace(s.method + " " + s.path + " " + s.header)
		var headers []string
		if s.header != "" {
			headers = []string{s.header}
		}
		r := request(t, b, s.method, s.path, s.body, headers...)
		require.Equal(t, s.code, r.StatusCode, name)
		require.Equal(t, s.etag, r.Header.Get("ETag"), name)
		require.Equal(t, s.want, strings.TrimSpace(body(t, r)), name)
	}
}

func TestHTTPRefusesBadRequests(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		headers                  []string
		code                     int
		want                     string
	}{
		{"a large value", "PUT", "/kv/a", strings.Repeat("x", maxValueBytes+1), nil, 413, "larger than 524288 bytes"},
		{"a long key", "PUT", "/kv/" + strings.Repeat("k", maxKeyBytes+1), "x", nil, 400, "key of 1025 bytes"},
		{"If-Match without quotes", "PUT", "/kv/a", "x", []string{"If-Match: 17"}, 400, "If-Match: 17 is not a version"},
		{"If-Match with a word", "PUT", "/kv/a", "x", []string{`If-Match: "x"`}, 400, "is not a version"},
		{"If-Match 0", "PUT", "/kv/a", "x", []string{`If-Match: "0"`}, 400, "is not a version"},
		{"If-Match beyond all versions", "PUT", "/kv/a", "x", []string{`If-Match: "18446744073709551615"`}, 400, "is not a version"},
		{"a lone quote", "PUT", "/kv/a", "x", []string{`If-Match: "`}, 400, "is not a version"},
		{"If-None-Match with a version", "PUT", "/kv/a", "x", []string{`If-None-Match: "1"`}, 400, "only * is supported"},
		{"both", "PUT", "/kv/a", "x", []string{`If-Match: "1"`, "If-None-Match: *"}, 400, "exclude each other"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &soloBackend{store: newStore()}
			r := request(t, b, test.method, test.path, test.body, test.headers...)
			require.Equal(t, test.code, r.StatusCode)
			var reply errorReply
			require.NoError(t, json.Unmarshal([]byte(body(t, r)), &reply))
			require.Contains(t, reply.Error, test.want)
			require.Equal(t, notCommitted, reply.Outcome)
			require.Zero(t, b.store.size())
		})
	}
	require.Equal(t, http.StatusMethodNotAllowed, request(t, nil, "POST", "/kv/a", "").StatusCode)
	require.Equal(t, http.StatusNotFound, request(t, nil, "GET", "/nothing", "").StatusCode)
}

// Every error of a proposal says whether the change may be in effect.
func TestHTTPOutcomes(t *testing.T) {
	tests := []struct {
		err     error
		code    int
		outcome outcome
	}{
		{raft.ErrNotCommitted, 503, notCommitted},
		{raft.ErrOverloaded, 503, notCommitted},
		{raft.ErrClosed, 503, notCommitted},
		{raft.ErrStopped, 503, notCommitted},
		{raft.ErrTooLarge, 413, notCommitted},
		{raft.ErrOutcomeUnknown, 503, unknown},
		{errors.Join(raft.ErrOutcomeUnknown, raft.ErrClosed), 503, unknown},
		{errors.Join(raft.ErrOutcomeUnknown, raft.ErrStopped), 503, unknown},
		{errors.Join(raft.ErrOutcomeUnknown, context.DeadlineExceeded), 503, unknown},
		{errors.Join(raft.ErrNotCommitted, context.DeadlineExceeded), 503, notCommitted},
		{errors.New("anything else"), 503, unknown},
	}
	for _, test := range tests {
		t.Run(test.err.Error(), func(t *testing.T) {
			b := &soloBackend{store: newStore(), err: fmt.Errorf("wrapped: %w", test.err)}
			for _, method := range []string{"PUT", "DELETE"} {
				r := request(t, b, method, "/kv/a", "")
				require.Equal(t, test.code, r.StatusCode)
				require.Equal(t, errors.Is(test.err, raft.ErrOverloaded), r.Header.Get("Retry-After") != "")
				var reply errorReply
				require.NoError(t, json.Unmarshal([]byte(body(t, r)), &reply))
				require.Equal(t, errorReply{"wrapped: " + test.err.Error(), test.outcome}, reply)
			}
		})
	}
}

// A linearizable read fails without a quorum; a stale one does not.
func TestHTTPReadWithoutQuorum(t *testing.T) {
	b := &soloBackend{store: newStore()}
	applyAll(t, b.store, 1, put("a", "1"))
	b.err = context.DeadlineExceeded
	r := request(t, b, "GET", "/kv/a", "")
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.JSONEq(t, `{"error":"context deadline exceeded"}`, body(t, r))
	r = request(t, b, "GET", "/kv/a?stale=1", "")
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, "1", body(t, r))
}

func TestHTTPStatus(t *testing.T) {
	b := &soloBackend{store: newStore()}
	r := request(t, b, "GET", "/status", "")
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.JSONEq(t, `{"id":2, "role":"leader", "leader":2, "term":3, "commit":9, "applied":8,
		"first":0, "last":0, "snapshot":0, "marked":false,
		"members":[{"id":1,"address":"a:1","voter":true},{"id":2,"address":"b:2","voter":false}]}`, body(t, r))

	r = request(t, b, "GET", "/status?hash=1", "")
	require.Contains(t, body(t, r), b.hash())
}

// The members are changed by id and address; what is impossible is a conflict,
// what another node could do, or this one later, is to be tried again.
func TestHTTPMembers(t *testing.T) {
	b := &soloBackend{store: newStore()}
	require.Equal(t, http.StatusNoContent, request(t, b, "PUT", "/members/4", "d:4").StatusCode)
	require.Equal(t, http.StatusNoContent, request(t, b, "DELETE", "/members/1", "").StatusCode)
	require.Equal(t, http.StatusNoContent, request(t, b, "PUT", "/members/1", "a:9").StatusCode)
	require.Equal(t, []raft.Change{raft.AddVoter(4, "d:4"), raft.Remove(1), raft.SetAddress(1, "a:9")}, b.changes)

	b.changes = nil
	for path, address := range map[string]string{
		"/members/0": "d:4", "/members/x": "d:4", "/members/4": "", "/members/5": "no port", "/members/6": strings.Repeat("d", 300) + ":4",
	} {
		r := request(t, b, "PUT", path, address)
		require.Equal(t, http.StatusBadRequest, r.StatusCode, path)
		require.Contains(t, body(t, r), string(notCommitted))
	}
	require.Equal(t, http.StatusBadRequest, request(t, b, "DELETE", "/members/x", "").StatusCode)
	require.Empty(t, b.changes)

	for _, test := range []struct {
		err     error
		code    int
		outcome outcome
	}{
		{&raft.MembershipError{Node: 1, Reason: "is not a member"}, 409, notCommitted},
		{&raft.NotLeaderError{Leader: 3, Address: "c:3"}, 503, notCommitted},
		{raft.ErrChangePending, 503, notCommitted},
		{raft.ErrTransferring, 503, notCommitted},
		{raft.ErrOutcomeUnknown, 503, unknown},
	} {
		b.err = test.err
		r := request(t, b, "DELETE", "/members/1", "")
		require.Equal(t, test.code, r.StatusCode)
		var reply errorReply
		require.NoError(t, json.Unmarshal([]byte(body(t, r)), &reply))
		require.Equal(t, errorReply{test.err.Error(), test.outcome}, reply)
	}
}
