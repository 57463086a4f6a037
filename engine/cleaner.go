package engine

import (
	"errors"
	"maps"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/shard"
)

// errStopping ends a cleaning because the broker stops. What it has swapped stays.
var errStopping = errors.New("the broker stops")

// cleaner compacts the logs of one disk, the dirtiest first. It has a goroutine of its own,
// on which it reads and writes; shards do no more than swap what is done.
//
// Ownership: that goroutine's, but for what sources ask.
type cleaner struct {
	broker *Broker
	disk   *disk
	// damaged are logs that cannot be read, which nobody tries again in this run, as long as they are there.
	damaged map[*shard.Replica]struct{}
	changed chan struct{} // settings are others: how long it sleeps, perhaps
	begun   time.Time     // of the second that Pause counts
	bytes   float64       // since then

	uncleanable, read, written, recopied, took, filled, dirtiest, last, pauses atomic.Int64
}

func newCleaner(b *Broker, d *disk) *cleaner {
	return &cleaner{broker: b, disk: d, damaged: map[*shard.Replica]struct{}{}, changed: make(chan struct{}, 1)}
}

// reconfigured has it look again at once, and then as often as it is said now (any goroutine).
func (c *cleaner) reconfigured() {
	select {
	case c.changed <- struct{}{}:
	default: // it will
	}
}

// run compacts until the broker stops.
func (c *cleaner) run() {
	label.Set(label.Cleaner)
	for {
		if c.broker.stopping() {
			return
		}
		if c.round(c.broker.past()) {
			continue
		}
		backoff := time.NewTimer(max(config.CleanerBackoff.Of(c.broker.values.Load()), time.Millisecond))
		select {
		case <-c.broker.stop:
			backoff.Stop()
			return
		case <-c.changed:
			backoff.Stop()
		case <-backoff.C:
		}
	}
}

// round compacts the dirtiest log, and reports whether there was one. Records are as old as they are at now.
func (c *cleaner) round(now time.Time) bool {
	begun := c.broker.now()
	c.last.Store(begun.UnixMilli())
	c.forget()
	r := c.choose(now)
	if r == nil || c.broker.stopping() {
		return false
	}
	var work *commitlog.Cleaning
	r.Shard().Wait(func() { work = r.Cleaning(c.options(r), true) })
	if work == nil {
		return false
	}
	// It is measured again: the log may be another since.
	dirt, err := work.Dirt(now)
	var stats commitlog.CleanStats
	if err == nil {
		stats, err = work.Run(dirt, now)
	}
	c.count(stats, c.broker.now().Sub(begun))
	switch {
	case errors.Is(err, errStopping):
		return false
	case err != nil:
		c.judge(r, err)
		return false
	}
	c.broker.log.Info("compacted a log", "topic", r.Topic, "partition", r.Index, "from", dirt.From, "to", dirt.To,
		"read", stats.BytesRead, "cold", stats.BytesCold, "written", stats.BytesWritten, "records", stats.Records, "kept", stats.Kept, "took", c.broker.now().Sub(begun).Round(time.Millisecond))
	return dirt.From < dirt.To
}

// choose finds the log with the largest share of dirt among those that are dirty enough, or
// overdue.
func (c *cleaner) choose(now time.Time) (dirtiest *shard.Replica) {
	top, most := 0.0, 0.0
	for _, t := range c.broker.registry.Topics() {
		settings := t.Settings()
		if !settings.Compacted {
			continue
		}
		t.Each(func(partition int32, d *shard.Disk, r *shard.Replica) {
			if d != c.disk.Disk || d.Failed() != nil || c.broker.stopping() {
				return
			}
			if r == nil || !r.Settled() {
				o := settings.Log
				o.FS = d.FS
				if !commitlog.Dirty(o, filepath.Join(d.Path, commitlog.FolderName(t.Name, partition))) {
					return
				}
				r = t.Replica(partition)
			}
			found, ok := c.measure(r, now)
			if !ok {
				return
			}
			top = max(top, found.Ratio())
			if found.Dirty > 0 && (found.Due || found.Ratio() > settings.DirtyRatio) && (dirtiest == nil || found.Ratio() > most) {
				dirtiest, most = r, found.Ratio()
			}
		})
	}
	c.dirtiest.Store(int64(100 * top))
	return dirtiest
}

// measure finds how dirty a log is, if it can be cleaned.
func (c *cleaner) measure(r *shard.Replica, now time.Time) (commitlog.Dirt, bool) {
	if _, damaged := c.damaged[r]; damaged {
		return commitlog.Dirt{}, false
	}
	if log, err := r.Log(); r.Settled() && (err != nil || log == nil || log.Segments() < 2) {
		return commitlog.Dirt{}, false
	}
	var look *commitlog.Cleaning
	r.Shard().Wait(func() { look = r.Cleaning(c.options(r), false) })
	if look == nil {
		return commitlog.Dirt{}, false
	}
	found, err := look.Dirt(now)
	if err != nil {
		c.judge(r, err)
		return commitlog.Dirt{}, false
	}
	return found, true
}

// judge notes a log that could not be cleaned or measured, if it is damaged.
func (c *cleaner) judge(r *shard.Replica, err error) {
	if r.Uncleanable(c.broker.now(), err) {
		c.damaged[r] = struct{}{}
		c.uncleanable.Store(int64(len(c.damaged)))
	}
}

// forget lets go of damaged logs that were deleted: they would keep their memory, and whoever
// looks at the metric busy, until the next start.
func (c *cleaner) forget() {
	maps.DeleteFunc(c.damaged, func(r *shard.Replica, _ struct{}) bool { return r.Deleted() })
	c.uncleanable.Store(int64(len(c.damaged)))
}

// options are how a log is cleaned. Disks share the memory and the bytes per second.
func (c *cleaner) options(r *shard.Replica) commitlog.CleanOptions {
	v := c.broker.values.Load()
	o := r.Settings().Clean
	o.MapBytes = config.CleanerMap.Of(v) / int64(len(c.broker.disks))
	o.LoadFactor = config.CleanerMapLoad.Of(v)
	o.Pause = c.pause
	return o
}

// pause keeps to the bytes that may be read and written in a second.
func (c *cleaner) pause(bytes int) error {
	if c.broker.stopping() {
		return errStopping
	}
	rate := config.CleanerBytesPerSecond.Of(c.broker.values.Load()) / float64(len(c.broker.disks))
	now := time.Now()
	if passed := now.Sub(c.begun); passed > time.Second || c.begun.IsZero() {
		c.begun, c.bytes = now, 0
	}
	c.bytes += float64(bytes)
	if rate <= 0 || c.bytes <= rate*now.Sub(c.begun).Seconds() || c.bytes < rate/10 {
		return nil
	}
	due := c.begun.Add(time.Duration(c.bytes / rate * float64(time.Second)))
	timer := time.NewTimer(due.Sub(now))
	defer timer.Stop()
	c.pauses.Add(1)
	select {
	case <-c.broker.stop:
		return errStopping
	case <-timer.C:
		return nil
	}
}

// count notes what a cleaning has done.
func (c *cleaner) count(s commitlog.CleanStats, took time.Duration) {
	c.read.Add(s.BytesRead)
	c.written.Add(s.BytesWritten)
	if s.BytesRead > 0 {
		c.recopied.Store(100 * s.BytesWritten / s.BytesRead)
	}
	c.took.Store(int64(took.Seconds()))
	c.filled.Store(int64(100 * s.MapUse))
}

// cleaning is what the cleaners of all disks tell.
func (b *Broker) cleaning() metrics.Cleaning {
	var all metrics.Cleaning
	for _, d := range b.disks {
		c := d.cleaner
		all.Uncleanable += c.uncleanable.Load()
		all.BytesRead += c.read.Load()
		all.BytesWritten += c.written.Load()
		all.RecopyPercent = max(all.RecopyPercent, c.recopied.Load())
		all.CleanSeconds = max(all.CleanSeconds, c.took.Load())
		all.BufferPercent = max(all.BufferPercent, c.filled.Load())
		all.DirtyPercent = max(all.DirtyPercent, c.dirtiest.Load())
		if last := c.last.Load(); last > 0 {
			all.SinceLastRun = max(all.SinceLastRun, b.now().UnixMilli()-last)
		}
	}
	return all
}
