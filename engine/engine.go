package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/intercept"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/quorum"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/unpack"
	"github.com/millrace/millrace/netpoll"
	"github.com/millrace/millrace/sdk/setting"
)

// Options are what a broker is started with. The zero value of everything but Settings
// is right for a broker on real disks.
type Options struct {
	Settings *config.Broker
	FS       diskio.FS // Zero: the operating system's
	Log      *slog.Logger
	// Now is the clock that time limits, retention and timestamps go by, asked from any
	// goroutine; it never goes back. Who has it jump ahead calls Recheck. Zero: one that passes
	// evenly and comes from the system's.
	Now func() time.Time
	// Wrap may put a handler of its own before the one that serves a listener's connections.
	// Zero: nothing is between.
	Wrap func(netpoll.Handler) netpoll.Handler

	clocks system // zero: the system's
	// later runs what has waited for long enough for disks; nil: after that time.
	later func(time.Duration, func()) (stop func())
}

// Broker is one running broker.
type Broker struct {
	log        *slog.Logger
	fs         diskio.FS
	now        func() time.Time
	past       func() time.Time // by which records grow old: now, or an earlier time where that is in doubt
	wall       func() time.Time // that records are stamped with
	clock      *clock           // of which these are; nil where somebody has given another. The housekeeper adjusts it
	wrap       func(netpoll.Handler) netpoll.Handler
	later      func(time.Duration, func()) (stop func())
	settings   *config.Broker
	values     atomic.Pointer[setting.Values]
	disks      []*disk
	shards     []*shard.Shard
	registry   *shard.Registry
	quorum     *quorum.Quorum
	metadataOn *disk // of the metadata log
	served     bool  // the metadata says which partitions there are, and they were looked for
	metrics    *metrics.Metrics
	memory     *unpack.Budget
	pool       *unpack.Pool // decompresses for loops; ended once no request can come
	plugins    *intercept.Host
	rights     authorization // who may do what
	proofs     *proofs       // by which clients prove who they are
	server     *api.Server
	sockets    []*netpoll.Server
	admin      *adminServer
	profiler   *profiler
	stopped    atomic.Bool
	finished   atomic.Int64         // logs that were closed, by the stop
	stop       chan struct{}        // closed to end the housekeeper
	ended      chan struct{}        // closed when the housekeeper has ended
	recheck    chan chan<- struct{} // asks the housekeeper to do at once what is due now and then
	failed     chan error           // why the broker cannot go on

	// Those of whoever applies metadata: Start, then the quorum's goroutine.
	plain     *shard.Settings            // of topics without settings of their own
	lost      map[cluster.ID]*shard.Disk // that partitions lie on and log.dirs does not have
	elsewhere map[string]*disk           // partitions by folder that lie on another disk than theirs; only at the start
}

// complete fills in what was left out, and answers the clock that it made, nil where there is one.
func (o *Options) complete() *clock {
	if o.FS == nil {
		o.FS = diskio.OS
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Wrap == nil {
		o.Wrap = func(h netpoll.Handler) netpoll.Handler { return h }
	}
	if o.Now != nil {
		return nil
	}
	if o.clocks.read == nil {
		o.clocks = theSystem()
	}
	c := newClock(o.clocks, o.Log)
	o.Now = c.Now
	return c
}

// Start brings a broker up: when it returns, clients are served. On an error nothing of
// it is left.
func Start(o Options) (_ *Broker, err error) {
	evenly := o.complete()
	b := &Broker{
		log: o.Log, fs: o.FS, now: o.Now, past: o.Now, wall: o.Now, clock: evenly, wrap: o.Wrap, later: o.later, recheck: make(chan chan<- struct{}), settings: o.Settings, registry: shard.NewRegistry(), metrics: metrics.New(metrics.Options{Version: Version}),
		ended: make(chan struct{}), stop: make(chan struct{}), failed: make(chan error, 1), lost: map[cluster.ID]*shard.Disk{},
	}
	if evenly != nil {
		b.past, b.wall = evenly.Past, evenly.Wall
	}
	b.values.Store(o.Settings.Values)
	if b.rights, err = newAuthorization(o.Settings.Values, o.Now, o.Log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.abandon()
		}
	}()
	if err := b.openDisks(); err != nil {
		return nil, err
	}
	b.startShards()
	b.plugins = intercept.NewHost(intercept.Options{Places: unpack.Workers(), Dir: pluginDir(b.values.Load()), Clock: b.now, Metrics: b.metrics, Log: b.log})
	b.plugins.Use(wantedPlugins(b.values.Load()))
	if err := b.openQuorum(); err != nil {
		return nil, err
	}
	b.memory = unpack.NewBudget(config.DecompressionBytes.Of(b.values.Load()))
	b.pool = unpack.NewPool(b.memory)
	b.server = api.New(b.apiOptions())
	if b.proofs, err = openProofs(o.Settings.Values, o.Settings.Mechanisms, &scramCredentials{image: b.quorum.Image}); err != nil {
		return nil, err
	}
	b.profiler = newProfiler(b)
	b.metrics.SetSources(b.sources())
	if err := b.listen(); err != nil {
		return nil, err
	}
	if b.admin, err = startAdmin(b.values.Load(), b); err != nil {
		return nil, err
	}
	b.profiler.start()
	go b.keepHouse()
	return b, nil
}

// Failed tells when the broker cannot go on, and why. Whoever started it should stop it.
func (b *Broker) Failed() <-chan error { return b.failed }

// Addresses are where clients are served, as host:port.
func (b *Broker) Addresses() (addresses []string) {
	for _, s := range b.sockets {
		addresses = append(addresses, s.Addr().String())
	}
	return addresses
}

// TopicName is the name of the topic with that id, "" when there is none.
func (b *Broker) TopicName(id [16]byte) string {
	if t := b.registry.ByID(id); t != nil {
		return t.Name
	}
	return ""
}

// AdminAddress is where metrics and profiles are served, empty when nowhere.
func (b *Broker) AdminAddress() string { return b.admin.address() }

// Folders are the data folders.
func (b *Broker) Folders() (folders []string) {
	for _, d := range b.disks {
		folders = append(folders, d.Path)
	}
	return folders
}

func (b *Broker) openDisks() error {
	for _, path := range config.LogDirs.Of(b.values.Load()) {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("data folder %s: %w", path, err)
		}
		if slices.ContainsFunc(b.disks, func(d *disk) bool { return d.Path == absolute }) {
			return fmt.Errorf("log.dirs names %s twice", absolute)
		}
		v := b.values.Load()
		d, err := openDisk(b.fs, absolute, diskLimits{
			journal: config.JournalBytes.Of(v), cached: config.PageCacheBytes.Of(v),
			cold: config.ColdBufferBytes.Of(v) / int64(len(config.LogDirs.Of(v))), read: b.metrics.ColdRead,
		}, b.log)
		if err != nil {
			return err
		}
		d.cleaner = newCleaner(b, d)
		d.Stopped = func(error) {
			b.metrics.FsyncFailures.Add(1)
			d.distrust()
		}
		b.disks = append(b.disks, d)
	}
	return nil
}

// startShards gives every disk shards of its own. Of several disks none has the first
// shard: work that belongs to no partition must not wait for one of them. For the same
// reason event loops do a shard's small tasks only when there is one disk: a loop that
// waits for a disk which hangs would hold up the partitions of another.
func (b *Broker) startShards() {
	if len(b.disks) > 1 {
		b.startShard()
	}
	each := max(1, config.IOThreads.Of(b.values.Load())/len(b.disks))
	for _, d := range b.disks {
		for range each {
			d.shards = append(d.shards, b.startShard())
		}
	}
}

func (b *Broker) startShard() *shard.Shard {
	s := shard.Start(shard.Options{
		Now: b.now, Wall: b.wall, Log: b.log, Flushed: b.metrics.Flushed, Guests: len(b.disks) == 1,
		Verify:   func(v *shard.Verification) { b.server.Verify(v) }, // no batch comes before there is a server
		Verified: b.metrics.Verified,
		Loaded: func(topic string, took time.Duration) {
			if topic == cluster.TransactionsTopic {
				b.metrics.LoadedTransactions(took)
				return
			}
			b.metrics.LoadedGroups(took)
		},
	})
	b.shards = append(b.shards, s)
	return s
}

func (b *Broker) openQuorum() error {
	v := b.values.Load()
	disks, err := b.metadataFirst()
	if err != nil {
		return err
	}
	var folders []string
	for _, d := range disks {
		folders = append(folders, d.Path)
	}
	b.quorum, err = quorum.Open(quorum.Options{
		FS: disks[0].FS, Folders: folders, NodeID: b.self(), ClusterID: config.ClusterID.Of(v), Log: b.log, Now: b.now,
		Rewrite: disks[0].Rewrite, Least: disks[0].entries, Applied: b.apply,
		Failed: func(err error) {
			disks[0].distrust()
			b.fail(err)
		},
	})
	if errors.Is(err, commitlog.ErrSync) && !diskio.Lacking(err) {
		disks[0].distrust()
	}
	if err != nil {
		return err
	}
	for i, d := range disks {
		d.ID = b.quorum.Directories()[i]
	}
	b.metadataOn = disks[0]
	image := b.quorum.Image()
	if err := b.sortOut(image); err != nil {
		return err
	}
	b.apply(cluster.Empty(), image)
	b.elsewhere, b.served = nil, true
	return nil
}

// fail says that the broker cannot go on.
func (b *Broker) fail(err error) {
	select {
	case b.failed <- err:
	default:
	}
}

func (b *Broker) apiOptions() api.Options {
	o := api.Options{
		NodeID: b.self(), Controller: b.quorum, MetadataLog: b.metadataLog, Registry: b.registry, Shards: b.shards,
		Values: b.values.Load, Metrics: b.metrics, Log: b.log, Pool: b.pool, Memory: b.memory, Now: b.now, CheckPlugins: b.checkPlugins,
		Authorizer: b.rights.authorizer, KeepsACLs: b.rights.acls != nil, Later: b.later,
	}
	for _, d := range b.disks {
		o.Disks = append(o.Disks, d.Disk)
	}
	return o
}

// metadataLog tells how far the metadata log is; once the quorum has stopped nobody leads it.
func (b *Broker) metadataLog() api.MetadataLog {
	s := b.quorum.Status()
	if b.quorum.Err() != nil {
		s.Leader = -1
	}
	return api.MetadataLog{Leader: s.Leader, Term: s.Term, High: s.End, End: s.LogEnd, Voters: s.Voters}
}

// listen opens the listeners, and registers the broker under the first before the first
// client can ask for it.
func (b *Broker) listen() error {
	v := b.values.Load()
	for i, l := range b.settings.Listeners {
		if l.Controller {
			continue
		}
		host, port := b.advertised(i, l)
		handler := b.server.Listener(l.Name, host, port)
		if by := b.proofs.listeners[l.Name]; by != nil {
			handler.Authenticate(by)
		} else if l.Protocol != "PLAINTEXT" {
			return fmt.Errorf("listen on %s: %s without a mechanism would take everybody", l, l.Protocol)
		}
		o := b.netpollOptions(v)
		o.Bound = func(at net.Addr) error {
			if port == 0 {
				port = at.(*net.TCPAddr).Port
				handler.SetPort(port)
			}
			if len(b.sockets) > 0 {
				return nil
			}
			return b.register(host, port)
		}
		s, err := netpoll.Listen(l.Address(), o, b.wrap(handler))
		if err != nil {
			return fmt.Errorf("listen on %s: %w", l, err)
		}
		b.sockets = append(b.sockets, s)
	}
	return nil
}

// advertised is what clients of a listener are told.
func (b *Broker) advertised(i int, l config.Listener) (host string, port int) {
	host, port = l.Host, l.Port
	for _, a := range b.settings.Advertised {
		if a.Name == l.Name {
			host, port = a.Host, a.Port
		}
	}
	if host == "" {
		host = "localhost"
	}
	return host, port
}

func (b *Broker) netpollOptions(v *setting.Values) netpoll.Options {
	o := netpoll.Options{
		Loops: loops(v), MaxFrame: config.RequestMaxBytes.Of(v), MaxConnections: config.MaxConnections.Of(v),
		MaxConnectionsPerAddress: config.MaxConnectionsPerAddress.Of(v), IdleTimeout: config.MaxIdle.Of(v),
		SendBuffer: config.SendBufferBytes.Of(v), ReceiveBuffer: config.ReceiveBufferBytes.Of(v), Log: b.log,
		Profiling: &netpoll.Profiling{Active: label.Count(), Loop: label.Loop},
	}
	served := 0
	for _, l := range b.settings.Listeners {
		if !l.Controller {
			served++
		}
	}
	o.FrameBudget = max(1, frameBudget(v)/int64(max(1, served))) // of all listeners together
	return o
}

func loops(v *setting.Values) int {
	return min(config.NetworkThreads.Of(v), runtime.NumCPU())
}

// register begins a new life of this broker in the cluster.
func (b *Broker) register(host string, port int) error {
	self := cluster.Broker{ID: b.self(), Incarnation: b.quorum.Incarnation(), Host: host, Port: int32(port)}
	for _, d := range b.disks {
		self.Directories = append(self.Directories, d.ID)
	}
	done := make(chan error, 1)
	b.quorum.Change(func(image *cluster.Image) ([]cluster.Record, error) {
		records, _, refused := cluster.RegisterBroker(image, self)
		if refused != nil {
			return nil, refused
		}
		return records, nil
	}, func(_ *cluster.Image, err error) { done <- err })
	if err := <-done; err != nil {
		return fmt.Errorf("register broker: %w", err)
	}
	return nil
}

// self is the broker's id.
func (b *Broker) self() int32 { return int32(config.NodeID.Of(b.values.Load())) }

// NodeID is the broker's id as text, for logs.
func (b *Broker) NodeID() string { return strconv.Itoa(config.NodeID.Of(b.values.Load())) }

const (
	// standardFrames is the memory that requests may take when the settings do not say.
	standardFrames = 512 << 20
	// everythingElse is room for all that is not a request: connections, indexes,
	// producers, groups and metadata.
	everythingElse = 512 << 20
)

// frameBudget is the memory that requests may take (queued.max.request.bytes).
func frameBudget(v *setting.Values) int64 {
	if budget := config.QueuedMaxBytes.Of(v); budget > 0 {
		return budget
	}
	return standardFrames
}

// MemoryBudget is what a broker with these settings should do with, in bytes: a soft
// limit for the garbage collector (debug.SetMemoryLimit), not a promise.
func MemoryBudget(s *config.Broker) int64 { return frameBudget(s.Values) + everythingElse }
