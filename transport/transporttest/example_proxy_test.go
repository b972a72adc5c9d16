package transporttest_test

import (
	"fmt"
	"io"
	"net"

	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// A connection whose sixth byte is damaged on its way to the listener, and
// which ends after eleven.
func ExampleProxy() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer listener.Close()
	proxy, err := transporttest.NewProxy(listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer proxy.Close()
	proxy.SetPlan(func(int) transporttest.Plan {
		return transporttest.Plan{Faults: []transporttest.Fault{
			{Direction: transporttest.ToTarget, At: 5, Action: transporttest.Corrupt},
			{Direction: transporttest.ToTarget, At: 11, Action: transporttest.End},
		}}
	})

	conn, err := net.Dial("tcp", proxy.Address())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello world, and more")
	accepted, err := listener.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer accepted.Close()
	got, err := io.ReadAll(accepted)
	fmt.Printf("%q %v\n", got, err)
	// Output: "hello\x00world" <nil>
}
