package wasm

import (
	"encoding/hex"
	"slices"

	"github.com/millrace/millrace/plugins/wasm/abi"
)

// Info is what a module is.
type Info struct {
	SHA256     string
	Produce    bool // it sees batches before they are stored
	Fetch      bool // and before they are sent
	FailClosed bool
	Memory     uint32   // bytes that an instance has now
	Imports    []string // of the host, in order
}

// Info is what the module of p is.
func (p *Plugin) Info() Info {
	exports := p.module.compiled.ExportedFunctions()
	i := Info{
		SHA256:     hex.EncodeToString(p.module.key.sum[:]),
		Produce:    exports[abi.OnProduce] != nil,
		Fetch:      exports[abi.OnFetch] != nil,
		FailClosed: p.FailClosed(),
	}
	if p.live != nil {
		i.Memory = p.live.memory.Size()
	}
	for _, f := range p.module.compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		i.Imports = append(i.Imports, from+"."+name)
	}
	slices.Sort(i.Imports)
	i.Imports = slices.Compact(i.Imports) // a module may import a function several times
	return i
}
