package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// What a guest can do wrong. Each is a fault of the plugin, whose error policy decides.
var (
	ErrFuel     = errors.New("the guest has used up its fuel")
	ErrStack    = errors.New("the guest has used up its stack")
	ErrTrap     = errors.New("the guest has trapped")
	ErrDeadline = errors.New("the guest took longer than its deadline")
	ErrOutput   = errors.New("the guest answered what it may not")
	ErrGuest    = errors.New("the guest gave up")
)

// instance is a guest with a memory of its own. It has one caller at a time.
type instance struct {
	name    string
	s       *settings
	ctx     context.Context // finds the instance when the guest calls the host
	mod     api.Module
	memory  api.Memory
	alloc   api.Function
	produce api.Function
	fetch   api.Function
	others  map[string]api.Function // of clients, by export
	fuel    api.MutableGlobal
	depth   api.Global
	stack   [4]uint64
	message []byte // for what is said to it next
	in      uint32 // where input goes
	room    uint32 // how much

	answered   bool // a function of the host has set its result
	now        uint64
	seed       uint64
	startCalls int
	lines      *lines // of the module
}

type instanceKey struct{}

// epoch is the time at which the clocks of guests start: the first of January 2000.
const epoch = 946_684_800_000_000_000

// instance makes an instance of m and configures it.
func (m *module) instance(s *settings) (*instance, error) {
	i := &instance{name: filepath.Base(s.path), s: s, now: epoch, seed: 1, lines: &m.lines}
	i.ctx = context.WithValue(context.Background(), instanceKey{}, i)
	mod, err := m.runtime.InstantiateModule(i.ctx, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, fmt.Errorf("start the guest: %w", errors.Join(ErrTrap, err))
	}
	i.mod, i.memory = mod, mod.ExportedMemory("memory")
	i.fuel, _ = mod.ExportedGlobal(fuel.FuelExport).(api.MutableGlobal)
	i.depth = mod.ExportedGlobal(fuel.StackExport)
	i.alloc, i.produce, i.fetch = mod.ExportedFunction(abi.Alloc), mod.ExportedFunction(abi.OnProduce), mod.ExportedFunction(abi.OnFetch)
	for _, name := range []string{abi.Partition, abi.OnNewBatch, abi.Serialize, abi.Deserialize, abi.Assignor, abi.Assign, abi.UserData, abi.OnSend, abi.OnAck, abi.OnConsume, abi.OnCommit} {
		if f := mod.ExportedFunction(name); f != nil {
			if i.others == nil {
				i.others = make(map[string]api.Function)
			}
			i.others[name] = f
		}
	}
	if err := i.start(s); err != nil {
		i.close()
		return nil, fmt.Errorf("start the guest: %w", err)
	}
	return i, nil
}

func (i *instance) start(s *settings) error {
	i.fuel.Set(uint64(s.starting))
	if f := i.mod.ExportedFunction(abi.Initialize); f != nil {
		if err := i.call(f); err != nil {
			return err
		}
	}
	if f := i.mod.ExportedFunction(abi.Configure); f != nil {
		return i.configure(f, s)
	}
	return i.reserve(inputMost)
}

// configure hands the guest its settings: of each the key and the value, with their lengths.
func (i *instance) configure(f api.Function, s *settings) error {
	var text []byte
	for _, key := range slices.Sorted(maps.Keys(s.guest)) {
		text = append(binary.LittleEndian.AppendUint32(text, uint32(len(key))), key...)
		text = append(binary.LittleEndian.AppendUint32(text, uint32(len(s.guest[key]))), s.guest[key]...)
	}
	if err := i.reserve(max(uint32(len(text)), inputMost)); err != nil {
		return err
	}
	if !i.memory.Write(i.in, text) {
		return fmt.Errorf("its input lies outside of its memory: %w", ErrOutput)
	}
	i.stack[0] = uint64(len(text))
	if err := i.call(f); err != nil {
		return err
	}
	if uint32(i.stack[0]) == 0 {
		return nil
	}
	why, err := i.output(i.stack[0], abi.MaxReason)
	if err != nil {
		return err
	}
	return fmt.Errorf("it refuses its settings: %s", readable(why))
}

// call calls f with what is on the stack. After an error other than ErrOutput the instance
// must not be called again.
func (i *instance) call(f api.Function) error {
	err := f.CallWithStack(i.ctx, i.stack[:])
	switch {
	case err == nil:
		return nil
	case int64(i.fuel.Get()) < 0:
		return ErrFuel
	case int64(i.depth.Get()) < 0:
		return ErrStack
	}
	i.fuel.Set(0) // what a function had in its variable when it trapped is lost: all of it counts as spent
	return fmt.Errorf("%w: %w", ErrTrap, err)
}

// reserve sees that n bytes of input have room in the guest.
func (i *instance) reserve(n uint32) error {
	if n <= i.room {
		return nil
	}
	i.stack[0] = uint64(n)
	if err := i.call(i.alloc); err != nil {
		return err
	}
	at := uint32(i.stack[0])
	if at == 0 || uint64(at)+uint64(n) > uint64(i.memory.Size()) {
		return fmt.Errorf("it gives %d bytes of input at %d, and its memory has %d: %w", n, at, i.memory.Size(), ErrOutput)
	}
	i.in, i.room = at, n
	return nil
}

// output is what the guest points at: the address in the upper half, the length in the lower.
//
// Ownership: the guest's memory, until it is called again.
func (i *instance) output(packed uint64, most int64) ([]byte, error) {
	at, size := uint32(packed>>32), uint32(packed)
	if int64(size) > most {
		return nil, fmt.Errorf("it answers %d bytes, more than %d: %w", size, most, ErrOutput)
	}
	p, ok := i.memory.Read(at, size)
	if !ok {
		return nil, fmt.Errorf("it answers %d bytes at %d, and its memory has %d: %w", size, at, i.memory.Size(), ErrOutput)
	}
	if i.s.answer != nil {
		p = i.s.answer(p)
	}
	return p, nil
}

func (i *instance) close() { _ = i.mod.Close(i.ctx) }
