package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// serveOptions are the flags of kv serve.
type serveOptions struct {
	id              raft.NodeID
	peers           []raft.Member
	listen          string // "": at the node's own address
	http            string
	data            string
	tls             tcp.TLSFiles // all empty: none
	rejoin          bool
	join            string // the address of a node that is not among peers
	snapshotEntries int64
}

// parseServeFlags returns a checked configuration, or an error that names the
// flag that is wrong.
func parseServeFlags(args []string, stderr io.Writer) (serveOptions, error) {
	var (
		o     serveOptions
		id    uint64
		peers string
	)
	flags := flag.NewFlagSet("kv serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Uint64Var(&id, "id", 0, "id of this node, one of -peers or, with -join, a new one")
	flags.StringVar(&peers, "peers", "", "all founding members, the same list on every node: `1=host:port,2=host:port,…`")
	flags.StringVar(&o.listen, "listen", "", "`address` to listen at for the others, like :7001; default: this node's own in -peers or -join")
	flags.StringVar(&o.http, "http", "", "`address` of the HTTP API, like :8001, or unix:PATH")
	flags.StringVar(&o.data, "data", "", "`directory` of this node's log and snapshots")
	flags.StringVar(&o.tls.Certificate, "tls-cert", "", "`file` with this node's certificate, for mutual TLS with the others")
	flags.StringVar(&o.tls.Key, "tls-key", "", "`file` with the key of -tls-cert")
	flags.StringVar(&o.tls.Authorities, "tls-ca", "", "`file` with the certificates of those who vouch for the others")
	flags.BoolVar(&o.rejoin, "rejoin", false, "this node has been a member and its data is lost: take it all from the others")
	flags.StringVar(&o.join, "join", "", "this node is not among -peers: it waits at this `address` until the leader is told, PUT /members/ID, to add it")
	flags.Int64Var(&o.snapshotEntries, "snapshot-entries", raft.DefaultSnapshotEntries, "take a snapshot after so many `entries`")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(stderr)
			flags.Usage()
		}
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	var err error
	if o.peers, err = parsePeers(peers); err != nil {
		return o, fmt.Errorf("-peers: %w", err)
	}
	o.id = raft.NodeID(id)
	if id == 0 {
		return o, errors.New("-id: is required, and not 0")
	}
	founder := slices.ContainsFunc(o.peers, func(m raft.Member) bool { return m.ID == o.id })
	switch {
	case o.join == "" && !founder:
		return o, fmt.Errorf("-id: node %d is not among -peers %s", id, peers)
	case o.join != "" && founder:
		return o, fmt.Errorf("-join: node %d is among -peers %s", id, peers)
	case o.join != "":
		if err := checkAddress(o.join, false); err != nil {
			return o, fmt.Errorf("-join: %w", err)
		}
	}
	if o.listen != "" {
		if err := checkAddress(o.listen, true); err != nil {
			return o, fmt.Errorf("-listen: %w", err)
		}
	}
	if o.http == "" {
		return o, errors.New("-http: is required, like :8001")
	}
	if network, address := splitHTTP(o.http); network == "tcp" {
		if err := checkAddress(address, true); err != nil {
			return o, fmt.Errorf("-http: %w", err)
		}
	}
	if o.data == "" {
		return o, errors.New("-data: is required")
	}
	if o.tls != (tcp.TLSFiles{}) && (o.tls.Certificate == "" || o.tls.Key == "" || o.tls.Authorities == "") {
		return o, errors.New("-tls-cert, -tls-key, -tls-ca: all three or none")
	}
	if o.snapshotEntries <= 0 {
		return o, errors.New("-snapshot-entries: must be positive")
	}
	return o, nil
}

// parsePeers reads 1=host:port,2=host:port,… and orders it by id.
func parsePeers(list string) ([]raft.Member, error) {
	if list == "" {
		return nil, errors.New("is required, like 1=host:7001,2=host:7002,3=host:7003")
	}
	var members []raft.Member
	for part := range strings.SplitSeq(list, ",") {
		name, address, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, fmt.Errorf("%q is not id=host:port", part)
		}
		id, err := strconv.ParseUint(name, 10, 64)
		if err != nil || id == 0 {
			return nil, fmt.Errorf("%q: the id %q is not a positive number", part, name)
		}
		if err := checkAddress(address, false); err != nil {
			return nil, fmt.Errorf("node %d: %w", id, err)
		}
		for _, m := range members {
			if m.ID == raft.NodeID(id) {
				return nil, fmt.Errorf("node %d is there twice", id)
			}
			if m.Address == address {
				return nil, fmt.Errorf("nodes %d and %d have the same address %s", m.ID, id, address)
			}
		}
		members = append(members, raft.Member{ID: raft.NodeID(id), Address: address, Voter: true})
	}
	slices.SortFunc(members, func(a, b raft.Member) int { return cmp.Compare(a.ID, b.ID) })
	return members, nil
}

// checkAddress says what is wrong with an address host:port. One that others
// dial needs a host; one that is only listened on does not.
func checkAddress(address string, listenOnly bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if host == "" && !listenOnly {
		return fmt.Errorf("%q has no host, and others must dial it", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q: the port %q is not a number in 1 … 65535", address, port)
	}
	return nil
}

// splitHTTP returns what -http says as net.Listen takes it.
func splitHTTP(flag string) (network, address string) {
	if path, ok := strings.CutPrefix(flag, "unix:"); ok {
		return "unix", path
	}
	return "tcp", flag
}

// serve runs one replica and its HTTP API until ctx ends or the replica does.
func serve(ctx context.Context, o serveOptions, stderr io.Writer) error {
	listener, err := net.Listen(splitHTTP(o.http))
	if err != nil {
		return fmt.Errorf("-http: %w", err)
	}
	defer listener.Close()
	address := o.address()
	logger := newLogger(stderr)
	options := tcp.Options{Advertise: address, Logger: logger}
	if o.tls != (tcp.TLSFiles{}) {
		options.TLSFiles = &o.tls
	}
	transport, err := tcp.Listen(cmp.Or(o.listen, address), options)
	if err != nil {
		return fmt.Errorf("cannot listen for the others: %w", err)
	}
	replica, err := open(o.config(logger), o.data, transport)
	if err != nil {
		return fmt.Errorf("cannot start on -data %s: %w", o.data, err)
	}
	logger.Info("serving", zap.Uint64("id", uint64(o.id)), zap.String("peers", address), zap.String("http", listener.Addr().String()))

	err = serveHTTP(ctx, listener, replica)
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(err, replica.close(closing))
}

// address is where the others reach this node.
func (o serveOptions) address() string {
	for _, m := range o.peers {
		if m.ID == o.id {
			return m.Address
		}
	}
	return o.join
}

// config is the node's. The list of peers founds the cluster on the first
// start only; a node that comes back without its data must not help to found
// it again, which is what -rejoin is for, nor must one that joins.
func (o serveOptions) config(logger *zap.Logger) raft.Config {
	cfg := raft.Config{
		ID:              o.id,
		Cluster:         clusterName(o.peers),
		Bootstrap:       o.peers,
		Logger:          logger,
		SnapshotEntries: o.snapshotEntries,
		TrailingEntries: min(o.snapshotEntries, raft.DefaultTrailingEntries),
	}
	if o.rejoin || o.join != "" {
		cfg.Bootstrap = nil
	}
	return cfg
}

// clusterName names the cluster after its founding members, so that nodes and
// directories of two clusters refuse each other.
func clusterName(peers []raft.Member) string {
	h := sha256.New()
	for _, m := range peers {
		fmt.Fprintf(h, "%d=%s,", m.ID, m.Address)
	}
	return fmt.Sprintf("kv-%x", h.Sum(nil)[:8])
}

// shutdownGrace is how long requests in progress may take to end. Without a
// quorum they would not end, and a connection that has sent nothing yet counts
// as one.
const shutdownGrace = time.Second

// serveHTTP answers requests until ctx ends, then lets those in progress end,
// or until the replica fails.
func serveHTTP(ctx context.Context, listener net.Listener, r *replica) error {
	server := &http.Server{Handler: newHandler(r), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	select {
	case err := <-failed:
		return err
	case <-r.node.Done():
		if err := r.node.Err(); !errors.Is(err, raft.ErrRemoved) {
			server.Close()
			return err
		}
		// Its work is done, and who asked for that gets an answer.
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close() // clients that take longer are cut off
	}
	return err
}

// newLogger writes lines for a person to w.
func newLogger(w io.Writer) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339TimeEncoder
	encoder.EncodeLevel = zapcore.CapitalLevelEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.Lock(zapcore.AddSync(w)), zap.InfoLevel))
}
