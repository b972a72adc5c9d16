// Command etcd36 has go.etcd.io/raft/v3 v3.6 take part in bench core and bench
// codec, which start it. It is a module of its own, since v3.7 has the same
// module path.
package main

import (
	"fmt"
	"os"

	"github.com/seed-6281cb22/raft/bench/contest"
)

func main() {
	if err := contest.Serve(os.Stdin, os.Stdout, contest.Contender{Cluster: newCluster, Codec: newCodec}); err != nil {
		fmt.Fprintln(os.Stderr, "etcd36:", err)
		os.Exit(1)
	}
}
