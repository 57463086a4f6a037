package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/sdk/batch"
)

// clock is a clock that only the test moves.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()) }
func (c *clock) pass(by time.Duration) { c.nanos.Add(int64(by)) }

// handSyncer syncs when the test says so.
type handSyncer struct {
	guard sync.Mutex
	held  []*diskio.Request
}

func (h *handSyncer) Sync(r *diskio.Request) {
	h.guard.Lock()
	defer h.guard.Unlock()
	h.held = append(h.held, r)
}

// release does what was asked for so far, and reports how much that was.
func (h *handSyncer) release() int {
	h.guard.Lock()
	held := h.held
	h.held = nil
	h.guard.Unlock()
	for _, r := range held {
		r.Done(r, r.File.Sync())
	}
	return len(held)
}

// noticed is what a shard and its disk have logged, without times.
type noticed struct {
	guard sync.Mutex
	text  bytes.Buffer
}

func (n *noticed) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (n *noticed) WithAttrs([]slog.Attr) slog.Handler               { return n }
func (n *noticed) WithGroup(string) slog.Handler                    { return n }
func (n *noticed) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "cannot write index" { // said by background work, at no certain moment
		return nil
	}
	n.guard.Lock()
	defer n.guard.Unlock()
	fmt.Fprintf(&n.text, "log: %s\n", r.Message)
	return nil
}

func (n *noticed) take() string {
	n.guard.Lock()
	defer n.guard.Unlock()
	defer n.text.Reset()
	return n.text.String()
}

// testSettings are those of a topic in tests.
func testSettings(commit bool) *Settings {
	return &Settings{
		Commit: commit, Deletes: true, MaxMessageBytes: 1 << 20, MaxBefore: -1, MaxAfter: -1,
		Partition: partition.Options{Unsynced: !commit},
		Log:       commitlog.Options{RetentionBytes: -1, RetentionAge: -1, SyncOnRoll: commit, DeleteDelay: time.Hour},
	}
}

// house is a shard with one disk, over several lives of a broker.
type house struct {
	t      testing.TB
	files  diskio.FS
	clock  *clock
	log    *noticed
	syncer Syncer
	guests bool
	shard  *Shard
	disk   *Disk
}

// newHouse is a house whose shard takes guests.
func newHouse(t testing.TB, files diskio.FS, s Syncer) *house {
	return newHouseWith(t, files, s, true)
}

func newHouseWith(t testing.TB, files diskio.FS, s Syncer, guests bool) *house {
	h := &house{t: t, files: files, clock: newClock(), log: &noticed{}, syncer: s, guests: guests}
	if err := files.MkdirAll(h.path()); err != nil {
		t.Fatal(err)
	}
	h.open(false, nil)
	t.Cleanup(func() { h.shard.Stop() })
	return h
}

func (h *house) path() string {
	if h.files == diskio.OS {
		return h.t.(interface{ TempDir() string }).TempDir()
	}
	return "/data"
}

// open begins a life.
func (h *house) open(clean bool, points map[string]Point) {
	path := "/data"
	if h.disk != nil {
		path = h.disk.Path
	} else if h.files == diskio.OS {
		path = h.path()
	}
	log := slog.New(h.log)
	h.shard = Start(Options{Now: h.clock.now, Log: log, Guests: h.guests})
	h.disk = &Disk{Path: path, FS: h.files, Syncer: h.syncer, Clean: clean, Points: points, Log: log}
}

// topicID is an id that differs from others in many bits, as random ones do.
func topicID(id byte) (all [16]byte) {
	for i := range all {
		all[i] = id
	}
	return all
}

// topic is a topic of the house with so many partitions.
func (h *house) topic(name string, id byte, partitions int, s *Settings) *Topic {
	var places []Place
	for range partitions {
		places = append(places, Place{Shard: h.shard, Disk: h.disk})
	}
	return NewTopic(name, topicID(id), false, &metrics.Topic{}, s, places)
}

// settled waits until the shard has done everything that was posted before, also what a
// turn does at its end.
func (h *house) settled() {
	h.shard.Wait(func() {})
	h.shard.Wait(func() {})
}

// stop ends a life in good order. The syncer must not wait for the test.
func (h *house) stop() error {
	err := h.retire()
	h.shard.Stop()
	h.disk.Release()
	return err
}

// retire ends the service of all partitions and closes them.
func (h *house) retire() error {
	ready := make(chan []*Replica, 1)
	h.shard.Do(func() {
		var open []*Replica
		h.shard.Retire(func(r *Replica) { open = append(open, r) }, func() { ready <- open })
	})
	var wrong []error
	open := <-ready
	slices.SortFunc(open, func(a, b *Replica) int { return strings.Compare(a.folder(), b.folder()) })
	for _, r := range open {
		wrong = append(wrong, r.Finish())
	}
	return errors.Join(wrong...)
}

// records makes one batch.
func records(t testing.TB, o batch.BatchOptions, values ...string) batch.Batch {
	t.Helper()
	var b batch.Builder
	for _, v := range values {
		b.Append(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli(), nil, []byte(v), nil)
	}
	one, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// owner counts how often memory was given back.
type owner struct{ released atomic.Int32 }

func (o *owner) Release() { o.released.Add(1) }

// sent is one append of a test.
type sent struct {
	Append
	owner owner
	guest bool // that ended it
	ended chan struct{}
}

// Appended is the end of it, which must come once, after the memory was given back.
func (s *sent) Appended(*Append) {
	if s.owner.released.Load() != 1 || s.Append.Batch != nil {
		panic(fmt.Sprintf("an append ended with its memory released %d times", s.owner.released.Load()))
	}
	s.guest = s.Replica.shard.visited.Load()
	close(s.ended) // panics the second time
}

func (s *sent) done() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func send(r *Replica, b batch.Batch) *sent {
	s := &sent{ended: make(chan struct{})}
	s.Append = Append{Replica: r, Batch: b, Owner: &s.owner, Finish: s}
	s.Send()
	return s
}

// values reads the values of all records that a consumer may see.
func values(r *Replica) (all []string, _ error) {
	log, err := r.Log()
	if log == nil || err != nil {
		return nil, err
	}
	return all, eachRecord(log, r.HighWatermark(), func(_ batch.Batch, one *batch.Record) { all = append(all, string(one.Value)) })
}
