package shard

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestWhatIsPutOffHasFewThreads: retention makes thousands of files due at the same time, and a disk that
// hangs lets none of them end. Each would have a thread of its own, of which a process may have 10,000.
func TestWhatIsPutOffHasFewThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const files = 1000
		var d Disk
		var begun atomic.Int32
		hangs := make(chan struct{})
		for range files {
			d.later(time.Minute, func() { begun.Add(1); <-hangs })
		}
		due := time.NewTimer(time.Minute)
		<-due.C
		synctest.Wait()
		if n := begun.Load(); n != parallelLater {
			t.Fatalf("%d removals are under way, want %d", n, parallelLater)
		}
		close(hangs)
		synctest.Wait()
		if n := begun.Load(); n != files {
			t.Fatalf("%d removals are done, want %d", n, files)
		}
	})
}
