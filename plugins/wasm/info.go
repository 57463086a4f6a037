package wasm

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
)

// Info is what a module is.
type Info struct {
	SHA256     string
	Kinds      []string // interceptor, partitioner, serializer, deserializer, assignor, producer-interceptor, consumer-interceptor
	Produce    bool     // it sees batches before they are stored
	Fetch      bool     // and before they are sent
	FailClosed bool
	Memory     uint32   // bytes that an instance has now
	Imports    []string // of the host, in order
}

// Info is what the module of p is.
func (p *Plugin) Info() Info { return p.module.info(p.live) }

// info is what the module is; live is an instance of it, or nil.
func (m *module) info(live *instance) Info {
	exports := m.compiled.ExportedFunctions()
	i := Info{
		SHA256:     hex.EncodeToString(m.key.sum[:]),
		Produce:    exports[abi.OnProduce] != nil,
		Fetch:      exports[abi.OnFetch] != nil,
		FailClosed: exports[abi.FailClosed] != nil,
	}
	for _, k := range kinds {
		if m.is(k) {
			i.Kinds = append(i.Kinds, k.name)
		}
	}
	if live != nil {
		i.Memory = live.memory.Size()
	}
	for _, f := range m.compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		i.Imports = append(i.Imports, from+"."+name)
	}
	slices.Sort(i.Imports)
	i.Imports = slices.Compact(i.Imports) // a module may import a function several times
	return i
}

// Inspect loads a module of whatever kind, has an instance of it take its settings, and says
// what it is. Settings are those of New.
func Inspect(c sdk.Config) (_ Info, err error) {
	s := read(c)
	c.Duration("deadline.ms", 0)
	c.Int("instances", 0)
	if err := c.Err(); err != nil {
		return Info{}, err
	}
	m, err := take(context.Background(), &s, whatever)
	if err != nil {
		return Info{}, err
	}
	defer func() { err = errors.Join(err, m.give(context.Background())) }()
	live, err := m.instance(&s)
	if err != nil {
		return Info{}, err
	}
	defer live.close()
	return m.info(live), nil
}
