package wasm

import (
	"time"

	"golang.org/x/sys/unix"
)

// busy is the time that this thread had a processor: what others on the machine take does not
// count, which a test that runs beside others could not bound.
func busy() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
