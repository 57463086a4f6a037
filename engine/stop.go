package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/shard"
)

// Stop takes the broker down: no new requests, answers flushed, logs closed and marked
// clean. After it the data folders are free. Only when ctx ends before the disks have
// answered, something of the broker is left, and the process should end. Logs that are being
// closed are waited for beyond that, as long as one is closed each second.
func (b *Broker) Stop(ctx context.Context) error {
	if b.stopped.Swap(true) {
		return errors.New("the broker was stopped before")
	}
	close(b.stop)
	select {
	case <-b.ended:
	case <-ctx.Done():
		return unanswered(ctx, "loading, retention or the cleaner is under way")
	}
	// While the sockets send what is owed, retiring the shards answers those who wait.
	flushed := make(chan error, len(b.sockets))
	for _, s := range b.sockets {
		go func() { flushed <- s.Shutdown(ctx) }()
	}
	open, err := b.retire(ctx)
	for range b.sockets {
		err = errors.Join(err, <-flushed)
	}
	if open == nil {
		return err
	}
	select {
	case <-b.profiler.ended: // it may be at the disk with a profile
	case <-ctx.Done():
		return errors.Join(err, unanswered(ctx, "a profile is being kept"))
	}
	down := make(chan error, 1)
	go func() { down <- b.takeDown(open) }() // ends with the process, if its disk never answers
	failure, ended := patiently(ctx, down, b.finished.Load)
	if !ended {
		failure = unanswered(ctx, fmt.Sprintf("%d of %d logs are closed", b.finished.Load(), len(open)))
	}
	return errors.Join(err, failure)
}

// stride is how long it may take until something is done, when all of it takes too long.
const stride = time.Second

// patiently waits for an answer until ctx ends, and then for as long as done grows within each
// stride: thousands of logs take a while, which is no fault of the disk's.
func patiently(ctx context.Context, answer <-chan error, done func() int64) (err error, ended bool) {
	select {
	case err := <-answer:
		return err, true
	case <-ctx.Done():
	}
	tick := time.NewTicker(stride)
	defer tick.Stop()
	for before := done(); ; {
		select {
		case err := <-answer:
			return err, true
		case <-tick.C:
		}
		now := done()
		if now == before {
			return nil, false
		}
		before = now
	}
}

// unanswered is the error of a stop whose time is over, and tells what it was waiting for.
func unanswered(ctx context.Context, what string) error {
	return fmt.Errorf("logs are not closed, a disk does not answer (%s): %w", what, ctx.Err())
}

// retire has all shards end their service, and answers the partitions whose logs are to
// be closed; nil when ctx has ended before.
func (b *Broker) retire(ctx context.Context) ([]*shard.Replica, error) {
	retired := make(chan []*shard.Replica, len(b.shards))
	for _, s := range b.shards {
		s.Do(func() {
			var open []*shard.Replica
			s.Retire(func(r *shard.Replica) { open = append(open, r) }, func() { retired <- open })
		})
	}
	all := []*shard.Replica{}
	for range b.shards {
		select {
		case open := <-retired:
			all = append(all, open...)
		case <-ctx.Done():
			return nil, unanswered(ctx, "what was appended is being written and synced")
		}
	}
	return all, nil
}

// finish closes logs, of each disk as many at a time as num.recovery.threads.per.data.dir
// says, and as many as are opened at a time at least: they wait for syncs, not for processors.
func (b *Broker) finish(open []*shard.Replica) error {
	queues := map[*shard.Disk]chan *shard.Replica{}
	var workers sync.WaitGroup
	wrong := make(chan error, len(open))
	for _, d := range b.disks {
		queue := make(chan *shard.Replica, len(open))
		queues[d.Disk] = queue
		for range max(parallelOpens, config.RecoveryThreads.Of(b.values.Load())) {
			workers.Go(func() {
				for r := range queue {
					if err := r.Finish(); err != nil {
						d.unclean.Store(true)
						wrong <- err
					}
					b.finished.Add(1)
				}
			})
		}
	}
	for _, r := range open {
		queues[r.Disk()] <- r
	}
	for _, queue := range queues {
		close(queue)
	}
	workers.Wait()
	close(wrong)
	var all []error
	for err := range wrong {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// abandon lets go of everything that Start had taken when it failed.
func (b *Broker) abandon() {
	for _, s := range b.sockets {
		s.Close() //nolint:errcheck // the start has failed already, and says why
	}
	open, _ := b.retire(context.Background())
	if err := b.takeDown(open); err != nil {
		b.log.Error("cannot close the data folders in good order", "error", err)
	}
}

// takeDown ends everything behind the sockets. The logs in open are closed.
func (b *Broker) takeDown(open []*shard.Replica) error {
	b.admin.close()
	if b.pool != nil {
		b.pool.Close()
	}
	if b.plugins != nil {
		defer b.plugins.Close() // after the quorum, which changes them
	}
	var err error
	if b.proofs != nil {
		if failure := b.proofs.close(); failure != nil {
			b.log.Warn("an authenticator is left behind", "error", failure)
		}
	}
	if b.quorum != nil {
		if failure := b.quorum.Close(); failure != nil {
			err = fmt.Errorf("close the metadata log: %w", failure)
		}
		if b.quorum.Err() == nil && b.metadataOn != nil {
			for _, d := range b.disks {
				d.entries = 0
			}
			b.metadataOn.entries = b.quorum.Status().LogEnd
		}
	}
	for _, s := range b.shards {
		s.Stop()
	}
	err = errors.Join(err, b.finish(open))
	b.leaveNotes()
	for _, d := range b.disks {
		if failure := d.close(); failure != nil {
			err = errors.Join(err, fmt.Errorf("close data folder %s: %w", d.Path, failure))
		}
	}
	return err
}

// leaveNotes says what the next start may rely on. A start that was refused before it knew of partitions
// leaves that as it was.
func (b *Broker) leaveNotes() {
	if b.served {
		for _, d := range b.disks {
			b.checkpoint(d)
		}
		b.doubt()
		return
	}
	for _, d := range b.disks {
		if !d.Clean {
			d.unclean.Store(true)
		}
	}
}
