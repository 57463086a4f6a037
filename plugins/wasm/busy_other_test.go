//go:build !linux

package wasm

import "time"

var started = time.Now()

// busy is the time that has passed.
func busy() time.Duration { return time.Since(started) }
