// Package drops is a TCP proxy on loopback that cuts connections, as a bad network or a restarting load balancer
// does. A connection lives for a random number of bytes sent by the client, then ends in one of three ways: in the
// middle of a request, after a whole request whose answer is swallowed (the broker did it, the client does not
// know), or in the middle of an answer.
package drops

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// Options say how long connections live.
type Options struct {
	Seed     uint64
	MinBytes int // sent by the client before a cut. Zero: 20 KiB
	MaxBytes int // Zero: 200 KiB
}

// A Proxy forwards to one address. Its fields are set before the first connection, or atomic.
type Proxy struct {
	listener net.Listener
	options  Options
	upstream atomic.Pointer[string]
	accepted atomic.Uint64
	cuts     atomic.Int64
	open     sync.Map // net.Conn → nothing: what Close must end
	done     sync.WaitGroup
}

// Listen opens the proxy on a free loopback port. It refuses connections until Forward named where to.
func Listen(o Options) (*Proxy, error) {
	if o.MinBytes == 0 {
		o.MinBytes = 20 << 10
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 200 << 10
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the cutting proxy: %w", err)
	}
	p := &Proxy{listener: l, options: o}
	p.done.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where clients connect, and what the broker must advertise.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Forward names the broker behind the proxy.
func (p *Proxy) Forward(address string) { p.upstream.Store(&address) }

// Cuts is how many connections were cut so far.
func (p *Proxy) Cuts() int { return int(p.cuts.Load()) }

// Close ends the proxy and what runs through it.
func (p *Proxy) Close() {
	p.listener.Close()
	p.open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	p.done.Wait()
}

func (p *Proxy) accept() {
	defer p.done.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Add(1)
		go p.serve(client, p.accepted.Add(1))
	}
}

// A manner of ending.
const (
	midRequest = iota
	unanswered
	midAnswer
	manners
)

// A life is one proxied connection: how much it may carry and how it ends.
type life struct {
	proxy          *Proxy
	client, broker net.Conn
	budget         int // bytes from the client
	manner         int
	ending         atomic.Bool // the budget is spent; the next answer is the last
}

func (p *Proxy) serve(client net.Conn, number uint64) {
	defer p.done.Done()
	defer client.Close()
	to := p.upstream.Load()
	if to == nil {
		return
	}
	broker, err := net.Dial("tcp", *to)
	if err != nil {
		return
	}
	defer broker.Close()
	for _, c := range []net.Conn{client, broker} {
		p.open.Store(c, nil)
		defer p.open.Delete(c)
	}
	random := rand.New(rand.NewPCG(p.options.Seed, number))
	l := &life{
		proxy: p, client: client, broker: broker, manner: random.IntN(manners),
		budget: p.options.MinBytes + random.IntN(p.options.MaxBytes-p.options.MinBytes+1),
	}
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		l.answers()
	}()
	l.requests()
}

// end cuts both sides at once.
func (l *life) end() {
	l.proxy.cuts.Add(1)
	l.client.Close()
	l.broker.Close()
}

func (l *life) requests() {
	buffer := make([]byte, 16<<10)
	for {
		n, err := l.client.Read(buffer)
		spent := n >= l.budget && !l.ending.Load()
		if spent && l.manner == midRequest {
			_, _ = l.broker.Write(buffer[:l.budget]) // what is left of the connection is cut anyway
			l.end()
			return
		}
		if spent {
			l.ending.Store(true)
		}
		l.budget -= n
		if _, failed := l.broker.Write(buffer[:n]); failed != nil || err != nil {
			l.client.Close()
			l.broker.Close()
			return
		}
	}
}

func (l *life) answers() {
	buffer := make([]byte, 16<<10)
	for {
		n, err := l.broker.Read(buffer)
		if n > 0 && l.ending.Load() {
			if l.manner == midAnswer {
				_, _ = l.client.Write(buffer[:n/2])
			}
			l.end()
			return
		}
		if _, failed := l.client.Write(buffer[:n]); failed != nil || err != nil {
			l.client.Close()
			l.broker.Close()
			return
		}
	}
}
