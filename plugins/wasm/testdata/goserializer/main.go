//go:build wasip1

// Command goserializer is the serializer of testdata/kinds as a WebAssembly module.
package main

import (
	"github.com/millrace/millrace/plugins/wasm/guest"

	_ "github.com/millrace/millrace/plugins/wasm/testdata/kinds"
)

func init() { guest.Serve("serializer", "temperature") }

func main() {}

//go:wasmexport millrace_serialize
func serialize(n uint32) uint64 { return guest.Call("millrace_serialize", n) }

//go:wasmexport millrace_deserialize
func deserialize(n uint32) uint64 { return guest.Call("millrace_deserialize", n) }
