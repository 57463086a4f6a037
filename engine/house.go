package engine

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/shard"
)

// checkpointPause is the time between two writings of recovery points, Kafka's default.
const checkpointPause = time.Minute

// crowdPause is the time between two looks at how many files are open.
const crowdPause = time.Second

// restPause is how long files that may be closed are not looked for again when there are no descriptors: there may be
// none to close.
const restPause = 50 * time.Millisecond

// keepHouse does what is due now and then, until the broker stops: it forgets producers and
// adjusts the clock. What waits for a disk is done by who keeps that.
func (b *Broker) keepHouse() {
	defer close(b.ended)
	label.Set(label.Housekeeper)
	v := b.values.Load()
	var disks sync.WaitGroup
	defer disks.Wait()
	for _, d := range b.disks {
		disks.Go(func() { b.keepDisk(d) })
		if config.CleanerEnable.Of(v) {
			disks.Go(d.cleaner.run)
		}
	}
	producers := time.NewTicker(config.ProducerExpirationCheck.Of(v))
	defer producers.Stop()
	adjust := time.NewTicker(clockPause)
	defer adjust.Stop()
	b.loadTransactions()
	b.loadGroups()
	b.removeDeleted()
	for {
		select {
		case <-b.stop:
			return
		case <-adjust.C:
			if b.clock != nil {
				b.clock.Adjust()
			}
		case <-producers.C:
			b.expireProducers()
		case done := <-b.recheck:
			b.expireProducers()
			close(done)
		}
	}
}

func (b *Broker) expireProducers() {
	for _, s := range b.shards {
		s.Do(s.ExpireProducers)
	}
}

// Recheck does everything that Options.Now makes due: whoever has it jump ahead calls this.
// When it returns, what was due has been done, but for what follows from it, as the records
// of coordinators. The housekeeper waits for nothing but the clock otherwise.
func (b *Broker) Recheck() {
	b.turnShards()
	asked := []chan chan<- struct{}{b.recheck}
	for _, d := range b.disks {
		asked = append(asked, d.recheck)
		d.cleaner.reconfigured()
	}
	for _, keeper := range asked {
		done := make(chan struct{})
		select {
		case keeper <- done:
			<-done
		case <-b.stop:
			return
		}
	}
	b.turnShards()
}

// turnShards has every shard take a turn, at whose end what was due is done.
func (b *Broker) turnShards() {
	for range 2 { // timers run after the tasks of a turn
		for _, s := range b.shards {
			s.Wait(func() {})
		}
	}
}

// keepDisk applies retention to one disk, writes its recovery points and keeps its reserve. The disk may
// hang without holding up the others.
func (b *Broker) keepDisk(d *disk) {
	retention := time.NewTicker(config.RetentionCheck.Of(b.values.Load()))
	defer retention.Stop()
	checkpoint := time.NewTicker(checkpointPause)
	defer checkpoint.Stop()
	crowd := time.NewTicker(crowdPause)
	defer crowd.Stop()
	var needed int64
	var rested time.Time
	for {
		select {
		case <-b.stop:
			return
		case <-checkpoint.C:
			b.checkpoint(d)
			d.Chunks.Trim()
			d.fill()
		case <-crowd.C:
			if open, limit := diskio.Descriptors(); scarceFiles(open, limit, needed) {
				needed, rested = b.rest(d.Disk), time.Now()
			}
		case <-d.lacking:
			if time.Since(rested) > restPause {
				needed, rested = b.rest(d.Disk), time.Now()
			}
		case <-retention.C:
			b.retain(d.Disk, b.past())
		case done := <-d.recheck:
			b.retain(d.Disk, b.past())
			close(done)
		}
	}
}

// scarceFiles reports whether files of logs take so many of the descriptors that there may be none for others soon. After
// the last look so many files were needed: it is worth another when half of what they left is taken.
func scarceFiles(open, limit, needed int64) bool {
	return limit > 0 && open > max(limit/2, needed+(limit-needed)/2)
}

// rest closes the files of segments on a disk that nobody reads. A segment that was read or written keeps its file
// open otherwise, and there may be more segments than descriptors. It answers how many files are open then.
func (b *Broker) rest(on *shard.Disk) (open int64) {
	for _, t := range b.registry.Topics() {
		t.Each(func(_ int32, d *shard.Disk, r *shard.Replica) {
			if d == on && r != nil && r.Settled() && !b.stopping() {
				r.Shard().Wait(r.Rest)
			}
		})
	}
	open, _ = diskio.Descriptors()
	return open
}

// lacks has files closed that nobody reads (any).
func (d *disk) lacks() {
	select {
	case d.lacking <- struct{}{}:
	default: // they will be
	}
}

// stopping reports whether the broker is about to stop.
func (b *Broker) stopping() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// retain applies retention to every partition of a disk that has something to remove. It
// asks for one at a time, so that clients hardly notice. Those that nobody uses are looked
// at from here, without their shard, and stay unopened if there is nothing. Logs that keep
// everything give back the memory of indexes that nobody uses.
func (b *Broker) retain(on *shard.Disk, now time.Time) {
	for _, t := range b.registry.Topics() {
		settings := t.Settings()
		t.Each(func(partition int32, d *shard.Disk, r *shard.Replica) {
			if d != on || b.stopping() || d.Failed() != nil {
				return
			}
			if r == nil || !r.Settled() {
				o := settings.Log
				o.FS = d.FS
				if !settings.Retains() || !commitlog.Expired(o, filepath.Join(d.Path, commitlog.FolderName(t.Name, partition)), now) {
					return
				}
				r = t.Replica(partition)
			}
			r.Shard().Wait(func() { r.Retain(now) })
		})
	}
}

// checkpoint remembers how far each log of a disk is durable, so that recovery need not look
// further back. Partitions that were not opened keep the point that they had. Only who keeps the disk
// may call it, and after that one has ended the stop.
func (b *Broker) checkpoint(on *disk) {
	if on.Failed() != nil {
		return
	}
	var lines []string
	for _, t := range b.registry.Topics() {
		t.Each(func(partition int32, d *shard.Disk, r *shard.Replica) {
			if d != on.Disk {
				return
			}
			point, known := d.Points[commitlog.FolderName(t.Name, partition)]
			known = known && point.Topic == t.ID
			if r != nil && r.Durable() >= 0 {
				// What is not synced on purpose has no point: its segments say themselves which
				// of them are durable.
				point, known = r.Point(), r.Durable() == r.HighWatermark() || t.Settings().Secures()
			}
			if known {
				lines = append(lines, pointLine(t.Name, partition, point))
			}
		})
	}
	if err := on.savePoints(encodePoints(lines)); err != nil {
		b.log.Warn("cannot write recovery points; after a crash logs are checked further back", "folder", on.Path, "error", err)
	}
}

// loadGroups rebuilds the groups that the log knows, so that their offsets expire and
// their first request need not wait.
func (b *Broker) loadGroups() {
	t := b.registry.Named(api.OffsetsTopic)
	if t == nil {
		return
	}
	for i := range int32(t.Partitions()) {
		if b.stopping() {
			return
		}
		b.server.LoadGroups(t.Replica(i))
	}
}

// loadTransactions rebuilds the transactions that the log knows, so that what was decided is
// completed, and what is open ends at its time limit.
func (b *Broker) loadTransactions() {
	t := b.registry.Named(cluster.TransactionsTopic)
	if t == nil {
		return
	}
	for i := range int32(t.Partitions()) {
		if b.stopping() {
			return
		}
		b.server.LoadTransactions(t.Replica(i))
	}
}

// removeDeleted removes what is left of partitions that were deleted when the broker
// stopped.
func (b *Broker) removeDeleted() {
	for _, d := range b.disks {
		names, err := d.FS.ReadDir(d.Path)
		if err != nil {
			b.log.Warn("cannot look for deleted partitions", "folder", d.Path, "error", err)
			continue
		}
		for _, name := range names {
			if b.stopping() {
				return
			}
			if commitlog.IsDeleted(name) {
				d.Remove(name)
			}
		}
	}
}
