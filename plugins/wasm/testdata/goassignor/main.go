//go:build wasip1

// Command goassignor is the assignor of testdata/kinds as a WebAssembly module.
package main

import (
	"github.com/millrace/millrace/plugins/wasm/guest"

	_ "github.com/millrace/millrace/plugins/wasm/testdata/kinds"
)

func init() { guest.Serve("assignor", "deal") }

func main() {}

//go:wasmexport millrace_assignor
func introduce(n uint32) uint64 { return guest.Call("millrace_assignor", n) }

//go:wasmexport millrace_assign
func assign(n uint32) uint64 { return guest.Call("millrace_assign", n) }

//go:wasmexport millrace_user_data
func userData(n uint32) uint64 { return guest.Call("millrace_user_data", n) }
