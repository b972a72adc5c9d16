package transporttest

import (
	"cmp"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Direction is one of the two ways that bytes take through a Proxy.
type Direction int

// The directions.
const (
	ToTarget   Direction = iota // from the one who dialed
	FromTarget                  // to the one who dialed
)

// Action is what a Proxy does to a connection.
type Action int

// The actions.
const (
	Cut     Action = iota // both ends are told that the connection is reset
	End                   // this direction ends in order, and what follows is discarded; the other one goes on
	Stall                 // this direction stands still, until Proxy.Resume
	Corrupt               // a bit of the byte at the offset is flipped
)

// Fault is something that happens to a connection at an offset: after so many
// bytes of it have been forwarded in a direction.
type Fault struct {
	Direction Direction
	At        int64
	Action    Action
}

// Plan is what happens to a connection. The zero value forwards everything as
// it comes.
type Plan struct {
	Faults []Fault

	// Piece, if not 0, is the greatest number of bytes that are forwarded at
	// once, and Delay how long each piece is kept.
	Piece int
	Delay time.Duration
}

// Proxy stands before a TCP listener and does to its connections what networks
// do, at chosen bytes. It knows nothing of what they say. All methods may be
// called concurrently.
type Proxy struct {
	target   string
	listener net.Listener
	group    sync.WaitGroup

	mu       sync.Mutex
	changed  sync.Cond // of what pumps wait for
	plan     func(connection int) Plan
	accepted int
	open     map[*proxied]bool
	stalled  [2]bool
	bytes    [2]int64
	closed   bool
}

// NewProxy returns a proxy before target, a "host:port", that listens on a free
// port of the loopback interface. The caller closes it.
func NewProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		target:   target,
		listener: listener,
		plan:     func(int) Plan { return Plan{} },
		open:     map[*proxied]bool{},
	}
	p.changed.L = &p.mu
	p.group.Go(p.accept)
	return p, nil
}

// Address returns where to dial in place of the target.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// SetPlan says what happens to connections that are accepted from now on: plan
// is called with 0 for the first one after SetPlan, and so on. Nil: nothing.
func (p *Proxy) SetPlan(plan func(connection int) Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if plan == nil {
		plan = func(int) Plan { return Plan{} }
	}
	p.plan, p.accepted = plan, 0
}

// Accepted returns the number of connections since SetPlan.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Open returns the number of connections that have not ended.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// Bytes returns how many bytes were forwarded in a direction.
func (p *Proxy) Bytes(d Direction) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes[d]
}

// Cut resets all connections that are open.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open { // in any order: all of them
		c.cut()
	}
}

// Stall makes directions of all connections stand still, also of those that are
// accepted later.
func (p *Proxy) Stall(directions ...Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range directions {
		p.stalled[d] = true
	}
}

// Resume ends every standstill.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = [2]bool{}
	for c := range p.open {
		c.stalled = [2]bool{}
	}
	p.changed.Broadcast()
}

// Close ends the proxy, its connections and its goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	err := p.listener.Close()
	for c := range p.open {
		c.cut()
	}
	p.mu.Unlock()
	p.group.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed, or as good as that
		}
		p.mu.Lock()
		plan := p.plan(p.accepted)
		p.accepted++
		p.mu.Unlock()
		p.group.Go(func() { p.serve(conn.(*net.TCPConn), plan) })
	}
}

// serve is the life of a connection.
func (p *Proxy) serve(dialer *net.TCPConn, plan Plan) {
	defer dialer.Close()
	conn, err := net.Dial("tcp", p.target)
	if err != nil {
		dialer.SetLinger(0)
		return
	}
	defer conn.Close()
	c := &proxied{p: p, dialer: dialer, target: conn.(*net.TCPConn), plan: plan}
	p.mu.Lock()
	p.open[c] = true
	if p.closed {
		c.cut()
	}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { c.pump(ToTarget, c.target, c.dialer) })
	pumps.Go(func() { c.pump(FromTarget, c.dialer, c.target) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

// proxied is a connection of a Proxy.
type proxied struct {
	p              *Proxy
	dialer, target *net.TCPConn
	plan           Plan

	// Guarded by p.mu.
	stalled [2]bool
	dead    bool
}

// cut resets both ends. p.mu is held.
func (c *proxied) cut() {
	c.dead = true
	for _, conn := range []*net.TCPConn{c.dialer, c.target} {
		conn.SetLinger(0)
		conn.Close()
	}
	c.p.changed.Broadcast()
}

// pump forwards one direction until it ends.
func (c *proxied) pump(d Direction, to, from *net.TCPConn) {
	faults := c.faults(d)
	piece := 64 << 10
	if c.plan.Piece > 0 {
		piece = c.plan.Piece
	}
	buf := make([]byte, piece)
	for at := int64(0); ; {
		corrupt := false
		for len(faults) > 0 && faults[0].At == at {
			corrupt = corrupt || faults[0].Action == Corrupt
			if !c.act(faults[0], to, from) {
				return
			}
			faults = faults[1:]
		}
		room := len(buf)
		if len(faults) > 0 {
			room = int(min(int64(room), faults[0].At-at))
		}
		n, err := from.Read(buf[:room])
		if n > 0 {
			if corrupt {
				buf[0] ^= 1 << (at % 8)
			}
			at += int64(n)
			stall := 0
			for stall < len(faults) && faults[stall].At == at && faults[stall].Action == Stall {
				stall++
			}
			faults = faults[stall:]
			if !c.forward(d, to, buf[:n], stall > 0) {
				return
			}
			continue // an error comes again
		}
		if err == io.EOF {
			to.CloseWrite()
		} else {
			c.p.mu.Lock()
			c.cut()
			c.p.mu.Unlock()
		}
		return
	}
}

// faults returns those of a direction, in order.
func (c *proxied) faults(d Direction) []Fault {
	var all []Fault
	for _, f := range c.plan.Faults {
		if f.Direction == d {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return all
}

// act has a fault happen, and says whether the direction goes on.
func (c *proxied) act(f Fault, to, from *net.TCPConn) bool {
	switch f.Action {
	case Cut:
		c.p.mu.Lock()
		c.cut()
		c.p.mu.Unlock()
		return false
	case End:
		to.CloseWrite()
		io.Copy(io.Discard, from)
		return false
	case Stall:
		c.p.mu.Lock()
		c.stalled[f.Direction] = true
		c.p.mu.Unlock()
	}
	return true
}

// forward writes a piece when it is time to. With stall the direction stands still
// after it: so whoever hears of the piece hears of a standstill, too, and may Resume.
func (c *proxied) forward(d Direction, to *net.TCPConn, piece []byte, stall bool) bool {
	if c.plan.Delay > 0 {
		time.Sleep(c.plan.Delay)
	}
	c.p.mu.Lock()
	for (c.stalled[d] || c.p.stalled[d]) && !c.dead {
		c.p.changed.Wait()
	}
	dead := c.dead
	c.p.bytes[d] += int64(len(piece))
	c.stalled[d] = c.stalled[d] || stall
	c.p.mu.Unlock()
	if dead {
		return false
	}
	if _, err := to.Write(piece); err != nil {
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		c.cut()
		return false
	}
	return true
}
