package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
)

// requestTimeout bounds a request: without a quorum nothing would end it.
const requestTimeout = 5 * time.Second

// maxAddressBytes bounds the address of a member.
const maxAddressBytes = 256

// backend is what the HTTP API needs of a replica.
type backend interface {
	apply(ctx context.Context, c command) (raft.Index, error)
	read(ctx context.Context, key string) (item, bool, error)
	readStale(key string) (item, bool)
	status() raft.Status
	hash() string
	changeMembership(ctx context.Context, change raft.Change) error
}

// newHandler returns the HTTP API. Any node takes any request.
//
//	PUT    /kv/{key}          store the body; ETag: the new version
//	GET    /kv/{key}          the value, linearizable; ETag: its version
//	GET    /kv/{key}?stale=1  the value as this node has it, perhaps an old one
//	DELETE /kv/{key}
//	PUT    /members/{id}      make a node a member that votes; the body is its address,
//	                          which a member can change so
//	DELETE /members/{id}      remove a member
//	GET    /status            this node's state as JSON; ?hash=1 adds that of its store
//
// Members are changed on the leader, which /status names; the others answer 503.
//
// Compare-and-swap is HTTP's own: a PUT or DELETE with If-Match: "version"
// takes effect only if the key still has that version, a PUT with
// If-None-Match: * only if there is no such key. Else the answer is 412.
//
// Errors are JSON: error says what happened, and outcome, for a PUT or
// DELETE, whether the change may be in effect ("unknown") or is not and never
// will be ("not committed"). 400, 404, 412 and 413 are definite too. 503 means
// that the request may be tried again, on this or another node.
func newHandler(b backend) http.Handler {
	api := api{b}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /kv/{key}", api.get)
	mux.HandleFunc("PUT /kv/{key}", api.put)
	mux.HandleFunc("DELETE /kv/{key}", api.delete)
	mux.HandleFunc("PUT /members/{id}", api.addMember)
	mux.HandleFunc("DELETE /members/{id}", api.removeMember)
	mux.HandleFunc("GET /status", api.status)
	return mux
}

type api struct{ backend backend }

func (a api) get(w http.ResponseWriter, r *http.Request) {
	var (
		it    item
		found bool
	)
	if r.URL.Query().Get("stale") == "1" {
		it, found = a.backend.readStale(r.PathValue("key"))
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		var err error
		if it, found, err = a.backend.read(ctx, r.PathValue("key")); err != nil {
			writeError(w, http.StatusServiceUnavailable, err, "")
			return
		}
	}
	if !found {
		writeError(w, http.StatusNotFound, errNotFound, "")
		return
	}
	w.Header().Set("ETag", etag(it.version))
	w.Header().Set("Content-Type", "application/octet-stream")
	io.WriteString(w, it.value)
}

func (a api) put(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValueBytes))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			err = fmt.Errorf("the value is larger than %d bytes", maxValueBytes)
			writeError(w, http.StatusRequestEntityTooLarge, err, notCommitted)
			return
		}
		writeError(w, http.StatusBadRequest, err, notCommitted)
		return
	}
	a.change(w, r, command{op: opPut, key: r.PathValue("key"), value: string(value)})
}

func (a api) delete(w http.ResponseWriter, r *http.Request) {
	a.change(w, r, command{op: opDelete, key: r.PathValue("key")})
}

// change applies a command, with the precondition that the request states.
func (a api) change(w http.ResponseWriter, r *http.Request, c command) {
	var err error
	if c.expect, err = precondition(r.Header); err != nil {
		writeError(w, http.StatusBadRequest, err, notCommitted)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	version, err := a.backend.apply(ctx, c)
	if err != nil {
		if errors.Is(err, raft.ErrOverloaded) {
			w.Header().Set("Retry-After", "1")
		}
		writeError(w, statusCode(err), err, outcomeOf(err))
		return
	}
	if c.op == opPut {
		w.Header().Set("ETag", etag(version))
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a api) addMember(w http.ResponseWriter, r *http.Request) {
	address, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAddressBytes))
	if err == nil {
		err = checkAddress(string(address), false)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err, notCommitted)
		return
	}
	a.changeMembers(w, r, func(id raft.NodeID) raft.Change {
		for _, m := range a.backend.status().Membership.Members {
			if m.ID == id && m.Voter && m.Address != string(address) {
				return raft.SetAddress(id, string(address))
			}
		}
		return raft.AddVoter(id, string(address))
	})
}

func (a api) removeMember(w http.ResponseWriter, r *http.Request) {
	a.changeMembers(w, r, raft.Remove)
}

// changeMembers changes the membership, as change says of the request's id. A
// node that is to vote catches up first, for as long as the client waits.
func (a api) changeMembers(w http.ResponseWriter, r *http.Request, change func(raft.NodeID) raft.Change) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil || id == 0 {
		writeError(w, http.StatusBadRequest, fmt.Errorf("the id %q is not a positive number", r.PathValue("id")), notCommitted)
		return
	}
	err = a.backend.changeMembership(r.Context(), change(raft.NodeID(id)))
	var impossible *raft.MembershipError
	switch {
	case errors.As(err, &impossible):
		writeError(w, http.StatusConflict, err, notCommitted)
	case err != nil:
		writeError(w, http.StatusServiceUnavailable, err, outcomeOf(err))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// precondition reads If-Match and If-None-Match.
func precondition(h http.Header) (expectation, error) {
	match, noneMatch := h.Get("If-Match"), h.Get("If-None-Match")
	switch {
	case match == "" && noneMatch == "":
		return anyVersion, nil
	case match != "" && noneMatch != "":
		return 0, errors.New("If-Match and If-None-Match exclude each other")
	case noneMatch == "*":
		return absent, nil
	case noneMatch != "":
		return 0, errors.New("If-None-Match: only * is supported")
	}
	text, ok := strings.CutPrefix(match, `"`)
	text, ok2 := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseUint(text, 10, 62)
	if !ok || !ok2 || err != nil || n == 0 {
		return 0, fmt.Errorf(`If-Match: %s is not a version, like "17"`, match)
	}
	return version(raft.Index(n)), nil
}

func etag(version raft.Index) string { return `"` + strconv.FormatUint(uint64(version), 10) + `"` }

// statusCode is the answer to an error of apply.
func statusCode(err error) int {
	switch {
	case errors.Is(err, errNotFound):
		return http.StatusNotFound
	case errors.Is(err, errConflict):
		return http.StatusPreconditionFailed
	case errors.Is(err, errMalformed):
		return http.StatusBadRequest
	case errors.Is(err, raft.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusServiceUnavailable
}

// errorReply is the body of an answer that is not a success.
type errorReply struct {
	Error   string  `json:"error"`
	Outcome outcome `json:"outcome,omitempty"`
}

func writeError(w http.ResponseWriter, code int, err error, o outcome) {
	writeJSON(w, code, errorReply{Error: err.Error(), Outcome: o})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) // an error here is the client's going away
}

// statusReply is the body of /status.
type statusReply struct {
	ID       raft.NodeID   `json:"id"`
	Role     string        `json:"role"`
	Leader   raft.NodeID   `json:"leader"` // 0: unknown
	Term     raft.Term     `json:"term"`
	Commit   raft.Index    `json:"commit"`
	Applied  raft.Index    `json:"applied"`
	First    raft.Index    `json:"first"`
	Last     raft.Index    `json:"last"`
	Snapshot raft.Index    `json:"snapshot"`
	Marked   bool          `json:"marked"`
	Members  []memberReply `json:"members"`
	Hash     string        `json:"hash,omitempty"`
}

type memberReply struct {
	ID      raft.NodeID `json:"id"`
	Address string      `json:"address"`
	Voter   bool        `json:"voter"`
}

func (a api) status(w http.ResponseWriter, r *http.Request) {
	s := a.backend.status()
	reply := statusReply{
		ID: s.ID, Role: s.Role.String(), Leader: s.Leader, Term: s.Term,
		Commit: s.Commit, Applied: s.Applied,
		First: s.First, Last: s.Last, Snapshot: s.Snapshot, Marked: s.Marked,
		Members: make([]memberReply, 0, len(s.Membership.Members)),
	}
	for _, m := range s.Membership.Members {
		reply.Members = append(reply.Members, memberReply{ID: m.ID, Address: m.Address, Voter: m.Voter})
	}
	if r.URL.Query().Get("hash") == "1" {
		reply.Hash = a.backend.hash()
	}
	writeJSON(w, http.StatusOK, reply)
}
