package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
	"github.com/tetratelabs/wazero/api"
)

func init() { sdk.Interceptors.Register("wasm", New) }

const (
	// chunk is the most bytes of records that one call gets, unless one record has more: while
	// a guest runs, nothing can stop the thread that it runs on, and a collection of garbage
	// waits for it.
	chunk = 64 << 10
	// inputMost is room for a chunk, its header, and the names of its topic and client.
	inputMost = chunk + 1<<10
	maxClient = 512
)

// Plugin is an interceptor that is a WebAssembly module.
//
// Ownership: one worker's, as any Interceptor. Close may be called once, when no call is
// under way.
type Plugin struct {
	s      settings
	module *module
	live   *instance // nil after a fault without a spare
	reader edits
	spent  atomic.Int64

	// Another instance is made beside the worker, by a goroutine that Close waits for.
	spare  chan *instance
	making sync.WaitGroup
	busy   atomic.Bool
	mended atomic.Int64 // nanoseconds that this took, and nobody was told of
}

var (
	_ sdk.Guard   = (*Plugin)(nil)
	_ sdk.Metered = (*Plugin)(nil)
	_ sdk.Mending = (*Plugin)(nil)
)

// New makes a plugin from its settings:
//
//	path          the file of the module
//	dir           the folder in which it must lie; "": any
//	sha256        the file must have it; "": any
//	memory.max    most bytes of memory (8 MiB)
//	fuel          what a call may cost (16 Mi units; a unit is about an instruction)
//	fuel.per.kib  what it may cost more for each KiB of records (128 Ki)
//	fuel.start    what the start of an instance may cost (64 Mi)
//	deadline.ms   after which no further part of a batch is shown (100); what fuel.per.kib adds
//	              ends at a million units for each of its milliseconds
//	output.max    most bytes that a call may answer (1 MiB)
//	config.*      settings of the guest
func New(c sdk.Config) (sdk.Interceptor, error) {
	s := read(c)
	s.deadline = c.Duration("deadline.ms", 100*time.Millisecond)
	within(c, "deadline.ms", s.deadline.Milliseconds(), 1, 10_000)
	if err := c.Err(); err != nil {
		return nil, err
	}
	m, err := take(context.Background(), &s, interceptors)
	if err != nil {
		return nil, err
	}
	p := &Plugin{s: s, module: m, spare: make(chan *instance, 1)}
	if p.live, err = m.instance(&p.s); err == nil {
		var second *instance
		if second, err = m.instance(&p.s); err == nil {
			p.spare <- second
			return p, nil
		}
		p.live.close()
	}
	return nil, errors.Join(err, m.give(context.Background()))
}

// Close gives back the instances, and the module when nobody else uses it.
func (p *Plugin) Close() error {
	p.making.Wait()
	close(p.spare)
	for i := range p.spare {
		i.close()
	}
	if p.live != nil {
		p.live.close()
	}
	return p.module.give(context.Background())
}

// FailClosed reports whether the guest says that no record may get past it unseen.
func (p *Plugin) FailClosed() bool {
	return p.module.compiled.ExportedFunctions()[abi.FailClosed] != nil
}

// Spent is the fuel that calls have used so far. Any goroutine.
func (p *Plugin) Spent() int64 { return p.spent.Load() }

// Mended is the time that instances took which were made in place of those that have trapped, aside or
// in a call that then went well, since it was asked last. Any goroutine.
func (p *Plugin) Mended() time.Duration { return time.Duration(p.mended.Swap(0)) }

// OnProduce shows b to the guest.
func (p *Plugin) OnProduce(b *sdk.Batch) error {
	return p.run(b, func(i *instance) api.Function { return i.produce })
}

// OnFetch shows b to the guest.
func (p *Plugin) OnFetch(b *sdk.Batch) error {
	return p.run(b, func(i *instance) api.Function { return i.fetch })
}

var (
	errEdited = errors.New("a guest was to see a batch with edits that no host has encoded")
	errUnread = errors.New("a guest was to see a batch whose records no host could read")
)

func (p *Plugin) run(b *sdk.Batch, which func(*instance) api.Function) error {
	if b.Changed() {
		return errEdited
	}
	took, err := p.revive()
	if err != nil {
		return err
	}
	if err = p.attempt(b, which(p.live)); err == nil && took > 0 {
		p.mended.Add(int64(took)) // while of a call that fails all that it takes counts
	}
	return err
}

// attempt shows b to a function of the live instance, if the guest has one, and replaces the instance
// when it traps.
func (p *Plugin) attempt(b *sdk.Batch, f api.Function) error {
	if f == nil {
		return nil
	}
	if p.module.fields && b.Size().Records != b.Len() {
		return errUnread
	}
	ended := false
	defer func() {
		if p.reader.forget(); !ended { // the caller makes an error of a panic, and goes on
			b.Revert()
		}
	}()
	err := p.show(b, f)
	if ended = true; err != nil {
		b.Revert() // all of what a guest says about a batch counts, or nothing
		p.replace(err)
	}
	return err
}

// show has the guest see b in parts, and does what it says about each.
func (p *Plugin) show(b *sdk.Batch, f api.Function) error {
	s := part{fields: p.module.fields, most: p.s.output}
	var end time.Time
	if len(b.Section()) > chunk { // else there is one part, and nobody looks
		end = time.Now().Add(p.s.deadline)
	}
	for section := b.Section(); len(section) > 0; {
		n, size := b.Len()-s.first, len(section)
		if size > chunk {
			n, size = cut(section)
		}
		if s.first > 0 && time.Now().After(end) {
			return ErrDeadline // what is done in time, or at once, counts however long it took
		}
		s.count, s.section, section = n, section[:size], section[size:]
		s.last = len(section) == 0
		if err := p.ask(b, f, &s); err != nil {
			return err
		}
		s.first += n
	}
	return nil
}

// cut takes so many records off section as one call may get: one at least.
func cut(section []byte) (records, size int) {
	for at := 0; at < len(section); records++ {
		length, n := binary.Varint(section[at:])
		if n <= 0 || length < 0 || length > int64(len(section)-at-n) {
			return records + 1, len(section) // nobody has checked it; the guest sees that too
		}
		at += n + int(length)
		if at > chunk && records > 0 {
			return records, size
		}
		size = at
	}
	return records, size
}

// ask shows a part to the guest and does what it answers.
func (p *Plugin) ask(b *sdk.Batch, f api.Function, s *part) error {
	i := p.live
	budget := p.s.budget(len(s.section))
	i.fuel.Set(uint64(budget))
	defer func() { p.spent.Add(budget - max(0, int64(i.fuel.Get()))) }()
	size, err := i.input(b, s)
	if err != nil {
		return err
	}
	i.stack[0] = uint64(size)
	if err := i.call(f); err != nil || uint32(i.stack[0]) == 0 {
		return err
	}
	if s.list, err = i.output(i.stack[0], p.s.output); err != nil {
		return err
	}
	if s.fields {
		if s.now, err = i.written(size, len(s.section)); err != nil {
			return err
		}
	}
	if !s.last { // the guest's memory changes with its next call, which else is that of the next batch
		s.list = append(b.Alloc(len(s.list))[:0], s.list...)
	}
	return p.reader.apply(b, s)
}

// input writes what a guest is shown to its memory, and says how many bytes.
func (i *instance) input(b *sdk.Batch, s *part) (int, error) {
	size := s.size(b)
	if err := i.reserve(uint32(size)); err != nil {
		return 0, err
	}
	to, ok := i.memory.Read(i.in, uint32(size))
	if !ok {
		return 0, fmt.Errorf("its input lies outside of its memory: %w", ErrOutput)
	}
	s.encode(to, b)
	return size, nil
}

// written is the end of an input of that size, as it stands in the guest's memory now.
func (i *instance) written(size, end int) ([]byte, error) {
	now, ok := i.memory.Read(i.in+uint32(size-end), uint32(end))
	if !ok {
		return nil, fmt.Errorf("its input lies outside of its memory: %w", ErrOutput)
	}
	return now, nil
}

// replace puts the spare in the place of an instance that has trapped, and has another one
// made. One that only answered nonsense stays.
func (p *Plugin) replace(why error) {
	if !costly(why) {
		return
	}
	p.live.close()
	p.live = nil
	select {
	case p.live = <-p.spare:
	default:
	}
	if p.busy.CompareAndSwap(false, true) {
		p.making.Go(func() {
			defer p.busy.Store(false)
			begin := time.Now()
			defer func() { p.mended.Add(int64(time.Since(begin))) }()
			if made, err := p.module.instance(&p.s); err == nil {
				select {
				case p.spare <- made:
				default:
					made.close()
				}
			}
		})
	}
}

// revive finds an instance when a fault came sooner than its spare, and tells how long it took if
// one had to be made.
func (p *Plugin) revive() (took time.Duration, err error) {
	if p.live != nil {
		return 0, nil
	}
	select {
	case p.live = <-p.spare:
		return 0, nil
	default:
	}
	begin := time.Now()
	p.live, err = p.module.instance(&p.s)
	return time.Since(begin), err
}
