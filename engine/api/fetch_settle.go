package api

import (
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/netpoll"
	"github.com/millrace/millrace/sdk"
)

// settle has the disk looked at for partitions that nobody used yet. It reports whether
// there were any; then resume follows, when all are settled, or when the fetch cannot wait for them any longer:
// partitions of other disks are sent without those of a disk that hangs.
func (f *fetchCall) settle() bool {
	var s *settling
	for i := range f.targets {
		r := f.targets[i].replica
		if r == nil || r.Settled() {
			continue
		}
		if t := &f.targets[i]; !f.opens(t) {
			t.shut = true
			continue
		}
		if s == nil {
			s = &settling{loop: f.conn.Loop(), wakeup: &f.wakeup}
			s.left.Store(1)
		}
		s.left.Add(1) // where too many wait already, until the time is over
		r.Seek(s.settled)
	}
	if s == nil {
		return false
	}
	f.beginWait(f.conn.Loop().Now())
	if s.left.Load() > 1 {
		wait := time.Duration(f.request.MaxWaitMillis) * time.Millisecond
		s.stop = f.server.Later(min(max(wait, settlePatience), gatherPatience), s.giveUp)
	}
	f.opening = s
	s.settled()
	return true
}

// settlePatience is how long a fetch waits at least for logs to be opened.
const settlePatience = time.Second

// settling wakes a fetch once, when its partitions are settled or it has waited for long enough. Shards may know
// of it longer than the fetch lasts.
type settling struct {
	left   atomic.Int32
	ended  atomic.Bool
	late   atomic.Bool // it has waited for long enough
	loop   *netpoll.Loop
	wakeup *netpoll.Task // of the fetch, until it ended
	stop   func()        // ends the wait; nil: nobody waits
}

func (s *settling) settled() {
	if s.left.Add(-1) > 0 {
		return
	}
	if s.stop != nil {
		s.stop()
	}
	s.end()
}

func (s *settling) giveUp() {
	s.late.Store(true)
	s.end()
}

func (s *settling) end() {
	if s.ended.CompareAndSwap(false, true) {
		s.loop.Post(s.wakeup)
	}
}

// opens reports whether whoever asks may have t opened, which takes a moment: by that others
// would know that it exists. Locate notes the denial.
func (f *fetchCall) opens(t *target) bool {
	if f.request.ReplicaID >= 0 {
		return f.sees(sdk.OperationClusterAction, sdk.ResourceCluster, sdk.ClusterName)
	}
	return f.sees(sdk.OperationRead, sdk.ResourceTopic, t.topic.Name)
}
