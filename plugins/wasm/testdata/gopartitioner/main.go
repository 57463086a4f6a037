//go:build wasip1

// Command gopartitioner is the partitioner of testdata/kinds as a WebAssembly module.
package main

import (
	"github.com/millrace/millrace/plugins/wasm/guest"

	_ "github.com/millrace/millrace/plugins/wasm/testdata/kinds"
)

func init() { guest.Serve("partitioner", "first-byte") }

func main() {}

//go:wasmexport millrace_partition
func partition(n uint32) uint64 { return guest.Call("millrace_partition", n) }

//go:wasmexport millrace_on_new_batch
func onNewBatch(n uint32) uint64 { return guest.Call("millrace_on_new_batch", n) }

//go:wasmexport millrace_leader_racks
func leaderRacks() {}
