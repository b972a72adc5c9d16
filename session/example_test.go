package session_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strconv"
	"strings"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/session"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// account is a service whose commands must not take effect twice: amounts that
// are paid in. The result is the balance.
type account struct{ balance int }

func (a *account) Apply(entries []raft.Entry, results []int) error {
	for i, e := range entries {
		amount, _ := strconv.Atoi(string(e.Data))
		a.balance += amount
		results[i] = a.balance
	}
	return nil
}

func (a *account) Snapshot() (io.WriterTo, error) {
	return strings.NewReader(strconv.Itoa(a.balance)), nil
}

func (a *account) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &a.balance)
	return err
}

// balances encodes the results, since the sessions keep them.
type balances struct{}

func (balances) Append(b []byte, balance int) []byte { return strconv.AppendInt(b, int64(balance), 10) }
func (balances) Decode(b []byte) (int, error)        { return strconv.Atoi(string(b)) }

// lossy is a way to a node on which the first answer to each command is lost.
type lossy struct {
	node session.Proposer[int]
	lost bool
}

func (l *lossy) Propose(ctx context.Context, command []byte) (session.Result[int], error) {
	result, err := l.node.Propose(ctx, command)
	if l.lost = !l.lost; l.lost {
		return session.Result[int]{}, raft.ErrOutcomeUnknown
	}
	return result, err
}

func Example() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	machine, err := session.New(&account{}, balances{})
	if err != nil {
		log.Fatal(err)
	}
	node, err := raft.Start(raft.Config{
		ID:        1,
		Storage:   memory.New(),
		Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "here"}},
	}, machine) // in place of &account{}
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer node.Close(ctx)

	// Usually the proposers are the node itself, and stubs for the others.
	client, err := session.Open(ctx, session.Options{}, &lossy{node: node})
	if err != nil {
		log.Fatal(err)
	}
	for _, amount := range []string{"10", "20", "30"} {
		balance, err := client.Propose(ctx, []byte(amount))
		fmt.Println(balance, err)
	}
	fmt.Println(client.Close(ctx))
	// Output:
	// 10 <nil>
	// 30 <nil>
	// 60 <nil>
	// <nil>
}

// A command that may take effect twice needs no session.
func ExamplePlain() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	machine, err := session.New(&account{}, balances{})
	if err != nil {
		log.Fatal(err)
	}
	node, err := raft.Start(raft.Config{
		ID:        1,
		Storage:   memory.New(),
		Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "here"}},
	}, machine)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer node.Close(ctx)

	result, err := node.Propose(ctx, session.Plain([]byte("0")))
	fmt.Println(result.Value, result.Status == session.OK, err)
	// Output: 0 true <nil>
}
