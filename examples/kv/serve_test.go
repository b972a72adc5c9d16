package main

import (
	"bytes"
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
)

const threePeers = "1=a:7001,2=b:7002,3=c:7003"

func TestParseServeFlags(t *testing.T) {
	o, err := parseServeFlags([]string{"-id", "2", "-peers", "3=c:7003, 1=a:7001,2=[::1]:7002", "-http", ":8002", "-data", "d"}, nil)
	require.NoError(t, err)
	require.Equal(t, serveOptions{
		id: 2,
		peers: []raft.Member{
			{ID: 1, Address: "a:7001", Voter: true},
			{ID: 2, Address: "[::1]:7002", Voter: true},
			{ID: 3, Address: "c:7003", Voter: true},
		},
		http: ":8002", data: "d", snapshotEntries: raft.DefaultSnapshotEntries,
	}, o)
}

func TestParseServeFlagsOfAJoiner(t *testing.T) {
	o, err := parseServeFlags([]string{"-id", "4", "-join", "d:7004", "-peers", threePeers, "-http", ":8004", "-data", "d"}, nil)
	require.NoError(t, err)
	require.Equal(t, "d:7004", o.address())
	cfg := o.config(zap.NewNop())
	require.Empty(t, cfg.Bootstrap, "it founds nothing")
	require.Equal(t, clusterName(o.peers), cfg.Cluster)

	_, err = parseServeFlags([]string{"-id", "4", "-join", "d", "-peers", threePeers, "-http", ":8004", "-data", "d"}, nil)
	require.ErrorContains(t, err, `-join: "d" is not host:port`)
}

func TestParseServeFlagsRefuses(t *testing.T) {
	tests := []struct {
		name  string
		flags string // replaces or follows the good ones
		want  string
	}{
		{"a founder that joins", "-join=d:7004", "-join: node 1 is among -peers"},
		{"no peers", "-peers=", "-peers: is required"},
		{"a peer without id", "-peers=a:7001", `-peers: "a:7001" is not id=host:port`},
		{"a peer with a word for an id", "-peers=one=a:7001", `the id "one" is not a positive number`},
		{"a peer with id 0", "-peers=0=a:7001", `the id "0" is not a positive number`},
		{"a peer with a huge id", "-peers=18446744073709551616=a:1", "is not a positive number"},
		{"a peer without port", "-peers=1=a,2=b:7002", `-peers: node 1: "a" is not host:port`},
		{"a peer without host", "-peers=1=:7001", `-peers: node 1: ":7001" has no host`},
		{"a peer with port 0", "-peers=1=a:0", `the port "0" is not a number in 1 … 65535`},
		{"a peer with a huge port", "-peers=1=a:65536", `the port "65536" is not a number`},
		{"a peer twice", "-peers=1=a:7001,1=b:7002", "-peers: node 1 is there twice"},
		{"an address twice", "-peers=1=a:7001,2=a:7001", "-peers: nodes 1 and 2 have the same address a:7001"},
		{"an empty peer", "-peers=1=a:7001,", `-peers: "" is not id=host:port`},
		{"no id", "-id=0", "-id: is required, and not 0"},
		{"a stranger's id", "-id=4", "-id: node 4 is not among -peers " + threePeers},
		{"a negative id", "-id=-1", `invalid value "-1" for flag -id`},
		{"no http", "-http=", "-http: is required"},
		{"a bad http", "-http=8001", `-http: "8001" is not host:port`},
		{"a bad listen", "-listen=7001", `-listen: "7001" is not host:port`},
		{"no data", "-data=", "-data: is required"},
		{"a key without certificate", "-tls-key=k", "-tls-cert, -tls-key, -tls-ca: all three or none"},
		{"no snapshots", "-snapshot-entries=0", "-snapshot-entries: must be positive"},
		{"an unknown flag", "-nonsense=1", "flag provided but not defined: -nonsense"},
		{"an argument", "extra", `unexpected argument "extra"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"serve", "-id=1", "-peers=" + threePeers, "-http=:8001", "-data=d", test.flags}
			_, err := parseServeFlags(args[1:], nil)
			require.ErrorContains(t, err, test.want)

			var stderr bytes.Buffer
			require.Equal(t, exitUsage, run(t.Context(), args, nil, &stderr))
			require.Contains(t, stderr.String(), "kv serve: ")
			require.Contains(t, stderr.String(), test.want)
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line, no usage text over it")
		})
	}
}

func TestRunUsage(t *testing.T) {
	var stderr bytes.Buffer
	require.Equal(t, exitUsage, run(t.Context(), []string{"sreve"}, nil, &stderr))
	require.Contains(t, stderr.String(), `unknown command "sreve"`)

	stderr.Reset()
	_, err := parseServeFlags([]string{"-h"}, &stderr)
	require.ErrorIs(t, err, flag.ErrHelp)
	for _, name := range []string{"-id", "-peers", "-listen", "-http", "-data", "-rejoin", "-snapshot-entries", "-tls-cert", "-tls-key", "-tls-ca"} {
		require.Contains(t, stderr.String(), name)
	}
}

// Two clusters have two names; the order of -peers does not matter.
func TestClusterName(t *testing.T) {
	name := func(list string) string {
		members, err := parsePeers(list)
		require.NoError(t, err)
		return clusterName(members)
	}
	require.Equal(t, name("1=a:1,2=b:2"), name("2=b:2,1=a:1"))
	require.NotEqual(t, name("1=a:1,2=b:2"), name("1=a:1,2=b:3"))
	require.NotEqual(t, name("1=a:1,2=b:2"), name("1=a:1,2=b:2,3=c:3"))
}
