package sim

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/netpoll"
)

const (
	node   = 1
	folder = "/data"
)

// life is the broker from one start to the next crash: the real API, shards, coordinators,
// partitions and logs, on a disk in memory. Metadata is the world's, see controller.
type life struct {
	w        *world
	number   int
	dead     bool
	power    bool // it ends by a loss of power
	left     int  // operations of the disk until it dies there; negative: not planned
	stage    *netpoll.Stage
	shards   []*shard.Shard
	roused   []bool      // a step is on its way
	alarms   []time.Time // when the next is, for a timer
	turning  bool
	disk     *shard.Disk
	registry *shard.Registry
	server   *api.Server
}

// start begins a life. It is what the engine does when it starts, in its order.
func (w *world) start() {
	w.lives++
	l := &life{w: w, number: w.lives, left: -1}
	w.life = l
	w.trace.line("start of life %d", l.number)
	w.planCrash(l)
	w.disk.Gate(l.gate)
	if err := w.disk.MkdirAll(folder); err != nil {
		panic(err)
	}
	for range w.plan.shards {
		l.shards = append(l.shards, shard.Start(shard.Options{
			Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler), Guests: w.plan.guests, Stepped: true,
			Verify: func(v *shard.Verification) { l.server.Verify(v) },
		}))
	}
	l.roused, l.alarms = make([]bool, len(l.shards)), make([]time.Time, len(l.shards))
	l.disk = &shard.Disk{
		Path: folder, ID: w.plan.directory, FS: w.disk, Syncer: l, Openers: (*openers)(l), Points: w.points, Log: slog.New(slog.DiscardHandler),
		Later: func(delay time.Duration, f func()) { l.after(delay+w.between(0, w.plan.slowest), f) },
		Stopped: func(err error) {
			w.trace.line("disk stopped: %v", err)
			w.found(Stuck, "the disk was stopped, and nothing was wrong with it: %v", err)
		},
	}
	w.register()
	l.serve()
	l.after(w.between(0, time.Millisecond), func() { l.load(cluster.TransactionsTopic, l.server.LoadTransactions) })
	l.after(w.between(0, 2*time.Millisecond), func() { l.load(api.OffsetsTopic, l.server.LoadGroups) })
	l.after(w.between(time.Second, 5*time.Second), l.checkpoint)
}

// register begins the leader epochs of a new life.
func (w *world) register() {
	records, _, refused := cluster.RegisterBroker(w.image, cluster.Broker{
		ID: node, Incarnation: cluster.NewID(w.bytes16), Host: "sim", Port: 9092, Directories: []cluster.ID{w.plan.directory},
	})
	if refused != nil {
		panic(refused)
	}
	w.applied(records)
}

func (w *world) applied(records []cluster.Record) {
	next, err := w.image.Apply(records)
	if err != nil {
		panic(err)
	}
	w.image = next
}

// serve makes what clients come to.
func (l *life) serve() {
	w := l.w
	l.registry = shard.NewRegistry()
	m := metrics.New(metrics.Options{Now: func() time.Time { return w.now }})
	var topics []*shard.Topic
	for _, t := range w.image.Topics() {
		var places []shard.Place
		for i := range t.Partitions {
			on := (len(t.Name) + i) % len(l.shards)
			places = append(places, shard.Place{Shard: l.shards[on], Disk: l.disk, Epoch: t.Partitions[i].LeaderEpoch})
		}
		topics = append(topics, shard.NewTopic(t.Name, t.ID, t.Internal, m.Topic(t.Name), w.settings(), places))
	}
	l.registry.Change(topics, nil)
	l.server = api.New(api.Options{
		NodeID: node, Controller: (*controller)(l), Registry: l.registry, Shards: l.shards, Disks: []*shard.Disk{l.disk},
		Values: w.settingsOfBroker, Metrics: m, Log: slog.New(slog.DiscardHandler), Random: w.bytes16, Now: func() time.Time { return w.now },
		Later: func(delay time.Duration, f func()) func() {
			l.after(delay, f)
			return func() {}
		},
	})
	l.stage = netpoll.NewStage(netpoll.Options{}, l.server.Listener("PLAINTEXT", "sim", 9092), func() time.Time { return w.now })
}

// settings are those of every topic.
func (w *world) settings() *shard.Settings {
	return &shard.Settings{
		Commit: true, Deletes: true, MaxMessageBytes: 1 << 20, MaxBefore: -1, MaxAfter: -1,
		Partition: partition.Options{ProducerExpiry: w.broken().producerExpiry()},
		Log: commitlog.Options{
			SegmentBytes: w.plan.segment, IndexInterval: 512, RetentionBytes: -1, RetentionAge: -1, SyncOnRoll: true, DeleteDelay: time.Minute,
		},
	}
}

// load has the coordinators of a topic's partitions read their logs, one after the other, as
// the engine's housekeeper does while clients come already.
func (l *life) load(topic string, one func(*shard.Replica)) {
	t := l.registry.Named(topic)
	for i := range int32(t.Partitions()) {
		l.after(time.Duration(i)*l.w.between(0, 5*time.Millisecond), func() { one(t.Replica(i)) })
	}
}

// checkpoint remembers how far each log is durable, as the engine does every minute.
func (l *life) checkpoint() {
	points := map[string]shard.Point{}
	for name, p := range l.w.points {
		points[name] = p
	}
	for _, t := range l.w.image.Topics() {
		l.registry.Named(t.Name).Used(func(r *shard.Replica) {
			if durable := r.Durable(); durable >= 0 {
				if l.w.broken().boasts {
					durable += 3
				}
				points[commitlog.FolderName(t.Name, r.Index)] = shard.Point{Topic: t.ID, Offset: durable}
			}
		})
	}
	l.w.points = points
	l.w.trace.line("checkpoint")
	for _, s := range l.shards {
		s.Do(s.ExpireProducers)
	}
	l.after(l.w.between(time.Second, 5*time.Second), l.checkpoint)
}

// after has f run after a while, unless the life has ended by then.
func (l *life) after(delay time.Duration, f func()) {
	l.w.after(delay, func() {
		if !l.dead {
			f()
		}
	})
}

// rouse sees to it that whoever has work will do it.
func (l *life) rouse() {
	if l.dead || l.stage == nil {
		return
	}
	w := l.w
	for i, s := range l.shards {
		if s.Pending() && !l.roused[i] {
			l.roused[i] = true
			l.after(w.lag(), func() {
				l.roused[i] = false
				l.stepShard(s)
			})
		}
		if due := s.Due(); !due.IsZero() && (l.alarms[i].IsZero() || due.Before(l.alarms[i])) {
			l.alarms[i] = due
			w.at(due, func() {
				if !l.dead {
					l.alarms[i] = time.Time{}
					l.stepShard(s)
				}
			})
		}
	}
	if !l.stage.Idle() && !l.turning {
		l.turning = true
		l.after(w.lag(), func() {
			l.turning = false
			l.stage.Turn()
		})
	}
}

func (l *life) stepShard(s *shard.Shard) {
	s.Step()
	if l.w.chance(0.1) {
		if err := s.Check(); err != nil {
			l.w.found(Invariant, "%v", err)
		}
	}
}

// lag is how long somebody who has work takes to come to it.
func (w *world) lag() time.Duration {
	if w.chance(0.02) {
		return w.between(0, w.plan.slowest)
	}
	return w.between(0, 100*time.Microsecond)
}

// Sync is the syncer of the disk (shard.Syncer).
func (l *life) Sync(r *diskio.Request) {
	w := l.w
	if r.Forget {
		r.Done(r, nil) // there is no journal
		return
	}
	if w.broken().answersFirst {
		l.after(w.lag(), func() { r.Done(r, nil) })
		return
	}
	l.after(w.lag(), func() {
		err := r.File.Sync()
		l.after(w.lag(), func() { r.Done(r, err) })
	})
}

// openers open logs beside the shards, each after a while: shards that need one now do not
// wait for them.
type openers life

// Post has o opened (shard.Opener).
func (p *openers) Post(o diskio.Reading) bool {
	l := (*life)(p)
	if l.w.chance(0.1) {
		return false // too many are under way
	}
	l.after(l.w.lag(), o.Read)
	return true
}

// gate sees every operation of the disk, and is where the broker dies in the middle of one.
func (l *life) gate(op diskio.Op) error {
	if op.Kind != diskio.OpRead {
		l.w.trace.line("disk %s", op)
	}
	if l.left > 0 {
		l.left--
	}
	if l.left == 0 || l.dead {
		l.dead = true
		panic(died{})
	}
	return nil
}

// die ends the life between two events.
func (l *life) die() {
	if !l.dead {
		l.dead = true
		l.w.buried()
	}
}

// buried is what follows a death: power or not, the network tells, and the next start comes.
func (w *world) buried() {
	l := w.life
	w.life = nil
	w.disk.Gate(nil)
	if l.power {
		w.trace.line("death of life %d: power", l.number)
		w.reach("power cut")
		if w.chance(0.3) {
			w.disk.Crash()
		} else {
			w.disk.Tear(w.random.Uint64())
		}
	} else {
		w.trace.line("death of life %d: process", l.number)
		w.reach("process killed")
	}
	if l.stage == nil {
		w.reach("died while starting")
	}
	w.broken().afterCrash(w)
	for _, c := range w.clients {
		for _, k := range c.links {
			if k.life == l && k.open {
				w.after(w.between(0, 50*time.Millisecond), k.lost)
			}
		}
	}
	w.after(w.between(time.Millisecond, w.plan.downtime), w.start)
}

// controller is the metadata of the cluster: decided at once, durable by itself.
type controller life

// Image is the newest picture (api.Controller).
func (c *controller) Image() *cluster.Image { return c.w.image }

// Change decides and answers, each a little later (api.Controller).
func (c *controller) Change(decide func(*cluster.Image) ([]cluster.Record, error), done func(*cluster.Image, error)) {
	l := (*life)(c)
	l.after(l.w.lag(), func() {
		records, err := decide(l.w.image)
		if err == nil {
			l.w.applied(records)
		}
		l.after(l.w.lag(), func() { done(l.w.image, err) })
	})
}

// address is where a client comes from.
func (w *world) address() netip.AddrPort {
	w.links++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(w.links >> 8), byte(w.links)}), 40000)
}
