//go:build wasip1

// Command goguest is the mask as a WebAssembly module.
package main

import (
	"github.com/millrace/millrace/plugins/wasm/guest"

	_ "github.com/millrace/millrace/plugins/wasm/testdata/mask"
)

func init() { guest.Serve("mask16") }

func main() {}
