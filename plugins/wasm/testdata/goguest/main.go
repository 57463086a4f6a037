//go:build wasip1

// Command goguest is the mask as a WebAssembly module.
package main

import (
	"github.com/millrace/millrace/plugins/wasm/guest"

	_ "github.com/millrace/millrace/plugins/wasm/testdata/mask"
)

func init() { guest.Serve("interceptor", "mask16") }

func main() {}

//go:wasmexport millrace_on_produce
func onProduce(n uint32) uint64 { return guest.Call("millrace_on_produce", n) }

//go:wasmexport millrace_on_fetch
func onFetch(n uint32) uint64 { return guest.Call("millrace_on_fetch", n) }
