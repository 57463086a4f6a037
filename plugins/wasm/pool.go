package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

// ErrClosed is the error of a plugin whose client was closed.
var ErrClosed = errors.New("the plugin is closed")

// pool is a module with instances for callers that come from any goroutine: the kinds of
// plugins that run in clients.
//
// Ownership: whoever took an instance has it until it gives it back. Whoever made the pool
// closes it, once.
type pool struct {
	s      settings
	module *module
	places chan *instance // nil is a place whose instance is still to be made
	spent  atomic.Int64
	faults atomic.Int64
}

// newPool makes a pool of a module of that kind with one instance, for plugins that remember
// what they did: callers take turns. When many is set there are as many as processors, unless
// settings say otherwise. The first is made at once, to see that it works.
func newPool(c sdk.Config, wanted kind, many bool) (*pool, error) {
	s := read(c)
	places := int64(1)
	if many {
		places = c.Int("instances", int64(runtime.GOMAXPROCS(0)))
		within(c, "instances", places, 1, 256)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	m, err := take(context.Background(), &s, wanted)
	if err != nil {
		return nil, err
	}
	p := &pool{s: s, module: m, places: make(chan *instance, places)}
	first, err := m.instance(&p.s)
	if err != nil {
		return nil, errors.Join(err, m.give(context.Background()))
	}
	for p.places <- first; len(p.places) < cap(p.places); {
		p.places <- nil
	}
	return p, nil
}

// Close ends the instances, once nobody has one.
func (p *pool) Close() error {
	for range cap(p.places) {
		if i := <-p.places; i != nil {
			i.close()
		}
	}
	close(p.places)
	return p.module.give(context.Background())
}

// Spent is the fuel that calls have used so far. Any goroutine.
func (p *pool) Spent() int64 { return p.spent.Load() }

// Faults is how many calls have failed. Any goroutine.
func (p *pool) Faults() int64 { return p.faults.Load() }

// take waits for an instance, and makes one if its place is empty.
func (p *pool) take() (*instance, error) {
	i, open := <-p.places
	switch {
	case !open:
		return nil, p.wrong(ErrClosed)
	case i != nil:
		i.message = i.message[:0]
		return i, nil
	}
	made, err := p.module.instance(&p.s)
	if err != nil {
		p.places <- nil
		return nil, p.wrong(err)
	}
	return made, nil
}

// give gives an instance back. One that has trapped is thrown away: its memory may be anything.
func (p *pool) give(i *instance, why error) {
	if costly(why) {
		i.close()
		i = nil
	} else if cap(i.message) > keptMessage {
		i.message = nil
	}
	p.places <- i
}

// turn has an instance do something, and gives it back whatever becomes of that: what is written to
// a message may come from the program, and panic.
func (p *pool) turn(do func(i *instance) error) (err error) {
	i, err := p.take()
	if err != nil {
		return err
	}
	defer func() { p.give(i, err) }()
	return p.wrong(do(i))
}

// costly reports whether an instance must not be called again.
func costly(err error) bool {
	return errors.Is(err, ErrTrap) || errors.Is(err, ErrFuel) || errors.Is(err, ErrStack)
}

// keptMessage is how large a message may be whose memory serves the next one.
const keptMessage = 256 << 10

// ask shows i.message to a function of the guest.
func (p *pool) ask(i *instance, export string) (uint64, error) {
	budget := p.s.budget(len(i.message))
	i.fuel.Set(uint64(budget))
	defer func() { p.spent.Add(budget - max(0, int64(i.fuel.Get()))) }()
	if int64(len(i.message)) > p.s.memory {
		return 0, fmt.Errorf("its input has %d bytes, and its memory may have %d: %w", len(i.message), p.s.memory, ErrOutput)
	}
	if err := i.reserve(uint32(len(i.message))); err != nil {
		return 0, err
	}
	if !i.memory.Write(i.in, i.message) {
		return 0, fmt.Errorf("its input lies outside of its memory: %w", ErrOutput)
	}
	i.stack[0] = uint64(len(i.message))
	if err := i.call(i.others[export]); err != nil {
		return 0, err
	}
	return i.stack[0], nil
}

// hear asks for an answer in the guest's memory.
//
// Ownership: the guest's, until it is called again.
func (p *pool) hear(i *instance, export string) ([]byte, error) {
	packed, err := p.ask(i, export)
	if err != nil {
		return nil, err
	}
	return i.output(packed, p.s.output)
}

// copied is what the guest answers, in memory of its own; nil when it has nothing to say. The instance
// is given back before anybody makes a value of it, for that may run code of the program.
func (p *pool) copied(export string, what func(dst []byte) []byte) (answer []byte, err error) {
	err = p.turn(func(i *instance) error {
		i.message = what(i.message)
		packed, err := p.ask(i, export)
		if err != nil || uint32(packed) == 0 {
			return err
		}
		said, err := i.output(packed, p.s.output)
		answer = bytes.Clone(said)
		return err
	})
	return answer, err
}

// datum reads an answer that is a datum into d, and a fault into an error.
func datum(d *message.Datum, answer []byte) error {
	if err := d.Read(answer); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if d.Form == abi.FormFault {
		return fmt.Errorf("%w: %s", ErrGuest, readable(d.Bytes))
	}
	return nil
}

// believableHeaders says what of the headers of an answer cannot be: what came to the guest it may answer, whatever
// that is, and its own are text, and not too many.
func believableHeaders(in, out []sdk.Header) error {
	if len(out) > len(in)+maxHeaders {
		return fmt.Errorf("it answers %d headers, and may add %d to %d: %w", len(out), maxHeaders, len(in), ErrOutput)
	}
	if foreign(in, out, func(h *sdk.Header) string { return h.Key }) {
		return fmt.Errorf("the key of a header is not UTF-8: %w", ErrOutput)
	}
	return nil
}

// foreign reports whether the key of a header in out is neither UTF-8 nor one of those that came. What it notes is of
// the answer, which has a bound: how many headers came whoever produced the record decided.
func foreign[H any](in, out []H, key func(*H) string) bool {
	var odd map[string]struct{}
	for i := range out {
		if is := key(&out[i]); !utf8.ValidString(is) {
			if odd == nil {
				odd = make(map[string]struct{})
			}
			odd[is] = struct{}{}
		}
	}
	for i := 0; i < len(in) && len(odd) > 0; i++ {
		delete(odd, key(&in[i]))
	}
	return len(odd) > 0
}

// wrong is an error of this plugin, counted and with the file that it is of.
func (p *pool) wrong(err error) error {
	if err == nil {
		return nil
	}
	p.faults.Add(1)
	return fmt.Errorf("module %s: %w", p.s.path, err)
}

// complain logs an error that nobody can be told, if there were not too many in this second.
func (p *pool) complain(what string, err error) {
	if more, _ := p.module.lines.take(time.Now().Unix()); more {
		line, _, _ := strings.Cut(err.Error(), "\n") // without the stack of a trap
		slog.Warn("a plugin failed", "plugin", p.s.path, "in", what, "why", line)
	}
}
