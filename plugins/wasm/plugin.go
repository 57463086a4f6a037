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
}

var (
	_ sdk.Guard   = (*Plugin)(nil)
	_ sdk.Metered = (*Plugin)(nil)
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
//	deadline.ms   after which no further part of a batch is shown (100)
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

// OnProduce shows b to the guest.
func (p *Plugin) OnProduce(b *sdk.Batch) error {
	return p.run(b, func(i *instance) api.Function { return i.produce })
}

// OnFetch shows b to the guest.
func (p *Plugin) OnFetch(b *sdk.Batch) error {
	return p.run(b, func(i *instance) api.Function { return i.fetch })
}

var errEdited = errors.New("a guest was to see a batch with edits that no host has encoded")

func (p *Plugin) run(b *sdk.Batch, which func(*instance) api.Function) error {
	if b.Changed() {
		return errEdited
	}
	if p.live == nil {
		if err := p.revive(); err != nil {
			return err
		}
	}
	f := which(p.live)
	if f == nil {
		return nil
	}
	defer p.reader.forget()
	end := time.Now().Add(p.s.deadline)
	for first, section := 0, b.Section(); len(section) > 0; {
		n, size := b.Len()-first, len(section)
		if size > chunk {
			n, size = cut(section)
		}
		if first > 0 && time.Now().After(end) {
			return ErrDeadline // what is done in time, or at once, counts however long it took
		}
		if err := p.ask(b, f, section[:size], first, n); err != nil {
			p.replace(err)
			return err
		}
		first, section = first+n, section[size:]
	}
	p.reader.apply(b)
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

// ask shows some records to the guest and keeps what it answers, once that has been checked.
func (p *Plugin) ask(b *sdk.Batch, f api.Function, section []byte, first, count int) error {
	i := p.live
	budget := p.s.fuel + p.s.perKiB*int64(len(section)>>10)
	i.fuel.Set(uint64(budget))
	defer func() { p.spent.Add(budget - max(0, int64(i.fuel.Get()))) }()
	size, err := i.input(b, section, first, count)
	if err != nil {
		return err
	}
	i.stack[0] = uint64(size)
	if err := i.call(f); err != nil || uint32(i.stack[0]) == 0 {
		return err
	}
	answer, err := i.output(i.stack[0], p.s.output)
	if err != nil {
		return err
	}
	kept := b.Alloc(len(answer)) // the guest's memory changes with its next call
	copy(kept, answer)
	return p.reader.read(kept, count, first)
}

// input writes header, names and records to the guest's memory, and says how many bytes.
func (i *instance) input(b *sdk.Batch, section []byte, first, count int) (int, error) {
	client := b.ClientID[:min(len(b.ClientID), maxClient)]
	size := abi.HeaderSize + len(b.Topic) + len(client) + len(section)
	if err := i.reserve(uint32(size)); err != nil {
		return 0, err
	}
	to, ok := i.memory.Read(i.in, uint32(size))
	if !ok {
		return 0, fmt.Errorf("its input lies outside of its memory: %w", ErrOutput)
	}
	encode(to, b, client, section, first, count)
	return size, nil
}

// encode writes what a guest sees of b to to, which has room for it.
func encode(to []byte, b *sdk.Batch, client string, section []byte, first, count int) {
	little := binary.LittleEndian
	little.PutUint32(to, abi.BatchMagic)
	little.PutUint32(to[4:], abi.HeaderSize)
	little.PutUint32(to[8:], uint32(count))
	little.PutUint32(to[12:], uint32(len(section)))
	little.PutUint32(to[16:], uint32(first))
	little.PutUint32(to[20:], uint32(b.Partition))
	little.PutUint64(to[24:], uint64(b.Header.BaseOffset()))
	little.PutUint64(to[32:], uint64(b.Header.BaseTimestamp()))
	little.PutUint64(to[40:], uint64(b.Header.MaxTimestamp()))
	little.PutUint64(to[48:], uint64(b.Header.ProducerID()))
	little.PutUint16(to[56:], uint16(b.Header.ProducerEpoch()))
	little.PutUint16(to[58:], uint16(b.Header.Attributes()))
	little.PutUint16(to[60:], uint16(len(b.Topic)))
	little.PutUint16(to[62:], uint16(len(client)))
	at := abi.HeaderSize
	at += copy(to[at:], b.Topic)
	at += copy(to[at:], client)
	copy(to[at:], section)
}

// replace puts the spare in the place of an instance that has trapped, and has another one
// made. One that only answered nonsense stays.
func (p *Plugin) replace(why error) {
	if !errors.Is(why, ErrTrap) && !errors.Is(why, ErrFuel) && !errors.Is(why, ErrStack) {
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

// revive finds an instance when a fault came sooner than its spare.
func (p *Plugin) revive() error {
	select {
	case p.live = <-p.spare:
		return nil
	default:
	}
	var err error
	p.live, err = p.module.instance(&p.s)
	return err
}
