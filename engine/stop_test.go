package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A stop whose time is over goes on as long as logs are closed, and no longer: thousands of them
// are no disk that hangs.
func TestAStopWaitsForLogsThatAreBeingClosed(t *testing.T) {
	failed := errors.New("the last one failed")
	for _, test := range []struct {
		name   string
		closed int           // logs, one each
		each   time.Duration // takes so long
		ended  bool
		took   time.Duration
	}{
		{"few", 10, stride / 10, true, stride},
		{"many", 100, 9 * stride / 10, true, 90 * stride},
		{"a disk that hangs at once", 0, 0, false, 11 * stride},
		{"a disk that hangs after a while", 30, 17 * stride / 20, false, 27 * stride},
		{"nearly as slow as one that hangs", 30, 3 * stride, false, 11 * stride},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*stride)
				defer cancel()
				begin := time.Now()
				var closed atomic.Int64
				down := make(chan error, 1)
				var disk sync.WaitGroup
				disk.Go(func() {
					for range test.closed {
						<-time.After(test.each)
						closed.Add(1)
					}
					if test.ended {
						down <- failed
					}
				})
				err, ended := patiently(ctx, down, closed.Load)
				if took := time.Since(begin); ended != test.ended || ended && err != failed || !ended && err != nil || took != test.took {
					t.Errorf("%v, %v after %v; want %v after %v", err, ended, took, test.ended, test.took)
				}
				disk.Wait()
			})
		})
	}
}
