// Package spent says what a test has used up so far: processor time and memory, which unlike
// time on the clock do not depend on who else uses the machine. Only tests import it.
package spent

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Processor is how long this process has computed, in all its threads, in user and kernel mode.
func Processor(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Heap is how many bytes of the heap are in use once garbage is collected; twice, for what
// a sync.Pool holds survives the first time.
func Heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
