package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// bareStreams is connections on which bytes are written, the same number with
// each write, and discarded at the other end.
type bareStreams struct {
	conns        []net.Conn // both ends
	writers      []net.Conn
	buf          []byte
	messageBytes int
	meter        *meter // of bytes
	readers      sync.WaitGroup
}

// openBareStreams opens n connections. A message may take several writes, or be
// one of several in a write.
func openBareStreams(secure bool, n, writeBytes, messageBytes int) (*bareStreams, error) {
	s := &bareStreams{buf: make([]byte, writeBytes), messageBytes: messageBytes, meter: newMeter()}
	for range n {
		client, server, err := connect(secure)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.conns = append(s.conns, client, server)
		s.writers = append(s.writers, client)
		s.readers.Go(func() {
			buf := make([]byte, 64<<10) // like the transport's
			for {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				s.meter.add(n)
			}
		})
	}
	return s, nil
}

func (s *bareStreams) run(length time.Duration) (w work, err error) {
	before := s.meter.arrived.Load()
	for p := newPace(length); ; {
		for _, conn := range s.writers {
			if _, err := conn.Write(s.buf); err != nil {
				return w, err
			}
			w.bytes += int64(len(s.buf))
		}
		if w.bytes%int64(s.messageBytes) == 0 && p.over(w.bytes) {
			w.messages = int(w.bytes) / s.messageBytes
			return w, s.meter.wait(before + w.bytes)
		}
	}
}

func (s *bareStreams) Close() error {
	for _, c := range s.conns {
		c.Close()
	}
	s.readers.Wait()
	return nil
}

// barePingPong is a connection whose other end sends back what it gets.
type barePingPong struct {
	client, server net.Conn
	buf            []byte
	latencies      []time.Duration
	echo           sync.WaitGroup
}

func openBarePingPong(secure bool, bytes int) (*barePingPong, error) {
	client, server, err := connect(secure)
	if err != nil {
		return nil, err
	}
	s := &barePingPong{client: client, server: server, buf: make([]byte, bytes), latencies: make([]time.Duration, 0, 1<<20)}
	s.echo.Go(func() {
		buf := make([]byte, bytes)
		for {
			if _, err := io.ReadFull(server, buf); err != nil {
				return
			}
			if _, err := server.Write(buf); err != nil {
				return
			}
		}
	})
	return s, nil
}

func (s *barePingPong) run(length time.Duration) (w work, err error) {
	w.latencies = s.latencies[:0]
	for now, end := time.Now(), time.Now().Add(length); now.Before(end); {
		if _, err := s.client.Write(s.buf); err != nil {
			return w, err
		}
		if _, err := io.ReadFull(s.client, s.buf); err != nil {
			return w, err
		}
		last := now
		now = time.Now()
		w.latencies = append(w.latencies, now.Sub(last))
	}
	w.messages = len(w.latencies)
	w.bytes = int64(w.messages * len(s.buf))
	return w, nil
}

func (s *barePingPong) Close() error {
	s.client.Close()
	s.server.Close()
	s.echo.Wait()
	return nil
}

// connect returns the two ends of a connection.
func connect(secure bool) (client, server net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	if server, err = listener.Accept(); err != nil {
		client.Close()
		return nil, nil, err
	}
	if !secure {
		return client, server, nil
	}
	config, err := mutualTLS()
	if err != nil {
		return nil, nil, err
	}
	dialing := config.Clone()
	dialing.ServerName = "127.0.0.1"
	secureClient, secureServer := tls.Client(client, dialing), tls.Server(server, config)
	done := make(chan error, 1)
	go func() { done <- secureServer.Handshake() }()
	if err := errors.Join(secureClient.Handshake(), <-done); err != nil {
		client.Close()
		server.Close()
		return nil, nil, err
	}
	return secureClient, secureServer, nil
}
