package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/quorum"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/netpoll"
	"github.com/millrace/millrace/sdk/setting"
)

// Options are what a broker is started with. The zero value of everything but Settings
// is right for a broker on real disks.
type Options struct {
	Settings *config.Broker
	FS       diskio.FS // Zero: the operating system's
	Log      *slog.Logger
}

// Broker is one running broker.
type Broker struct {
	log      *slog.Logger
	fs       diskio.FS
	settings *config.Broker
	values   atomic.Pointer[setting.Values]
	disks    []*disk
	shards   []*shard.Shard
	registry *shard.Registry
	quorum   *quorum.Quorum
	metrics  *metrics.Metrics
	server   *api.Server
	sockets  []*netpoll.Server
	admin    *adminServer
	ended    chan struct{} // closed when the housekeeper has ended
	stop     chan struct{} // closed to end the housekeeper
	failed   chan error    // why the broker cannot go on
}

// Start brings a broker up: when it returns, clients are served. On an error nothing of
// it is left.
func Start(o Options) (_ *Broker, err error) {
	if o.FS == nil {
		o.FS = diskio.OS
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	b := &Broker{
		log: o.Log, fs: o.FS, settings: o.Settings, registry: shard.NewRegistry(), metrics: metrics.New(metrics.Options{Version: Version}),
		ended: make(chan struct{}), stop: make(chan struct{}), failed: make(chan error, 1),
	}
	b.values.Store(o.Settings.Values)
	defer func() {
		if err != nil {
			b.abandon()
		}
	}()
	if err := b.openDisks(); err != nil {
		return nil, err
	}
	b.startShards()
	if err := b.openQuorum(); err != nil {
		return nil, err
	}
	b.server = api.New(b.apiOptions())
	if err := b.listen(); err != nil {
		return nil, err
	}
	if b.admin, err = startAdmin(config.AdminListener.Of(b.values.Load()), b); err != nil {
		return nil, err
	}
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
		d, err := openDisk(b.fs, absolute, b.log)
		if err != nil {
			return err
		}
		b.disks = append(b.disks, d)
	}
	return nil
}

func (b *Broker) startShards() {
	for range config.IOThreads.Of(b.values.Load()) {
		b.shards = append(b.shards, shard.Start(shard.Options{Log: b.log}))
	}
}

func (b *Broker) openQuorum() error {
	v := b.values.Load()
	var folders []string
	for _, d := range b.disks {
		folders = append(folders, d.Path)
	}
	q, err := quorum.Open(quorum.Options{
		FS: b.fs, Folders: folders, NodeID: int32(config.NodeID.Of(v)), ClusterID: config.ClusterID.Of(v), Log: b.log,
		Applied: b.apply, Failed: b.fail,
	})
	if err != nil {
		return err
	}
	b.quorum = q
	for i, d := range b.disks {
		d.ID = q.Directories()[i]
	}
	b.apply(cluster.Empty(), q.Image())
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
		NodeID: int32(config.NodeID.Of(b.values.Load())), Controller: b.quorum, Registry: b.registry, Shards: b.shards,
		Values: b.values.Load, Metrics: b.metrics, Log: b.log,
	}
	for _, d := range b.disks {
		o.Disks = append(o.Disks, d.Disk)
	}
	return o
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
		s, err := netpoll.Listen(l.Address(), netpollOptions(v, b.log), handler)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", l, err)
		}
		b.sockets = append(b.sockets, s)
		if port == 0 {
			port = s.Addr().(*net.TCPAddr).Port
			handler.SetPort(port)
		}
		if len(b.sockets) == 1 {
			if err := b.register(host, port); err != nil {
				return err
			}
		}
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

func netpollOptions(v *setting.Values, log *slog.Logger) netpoll.Options {
	o := netpoll.Options{
		Loops: loops(v), MaxFrame: config.RequestMaxBytes.Of(v), MaxConnections: config.MaxConnections.Of(v),
		MaxConnectionsPerAddress: config.MaxConnectionsPerAddress.Of(v), IdleTimeout: config.MaxIdle.Of(v),
		SendBuffer: config.SendBufferBytes.Of(v), ReceiveBuffer: config.ReceiveBufferBytes.Of(v), Log: log,
	}
	if budget := config.QueuedMaxBytes.Of(v); budget > 0 {
		o.FrameBudget = budget
	}
	return o
}

func loops(v *setting.Values) int {
	return min(config.NetworkThreads.Of(v), max(1, runtime.GOMAXPROCS(0)))
}

// register begins a new life of this broker in the cluster.
func (b *Broker) register(host string, port int) error {
	self := cluster.Broker{ID: int32(config.NodeID.Of(b.values.Load())), Incarnation: b.quorum.Incarnation(), Host: host, Port: int32(port)}
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

// Stop takes the broker down: no new requests, answers flushed, logs closed and marked
// clean. After it the data folders are free.
func (b *Broker) Stop(ctx context.Context) error {
	close(b.stop)
	<-b.ended
	// While the sockets send what is owed, closing the logs answers those who wait.
	flushed := make(chan error, len(b.sockets))
	for _, s := range b.sockets {
		go func() { flushed <- s.Shutdown(ctx) }()
	}
	err := b.closeReplicas()
	clean := err == nil
	for range b.sockets {
		err = errors.Join(err, <-flushed)
	}
	b.sockets = nil
	b.abandonClean(clean)
	return err
}

// closeReplicas closes every log on its shard.
func (b *Broker) closeReplicas() error {
	var wrong []error
	results := make(chan error)
	count := 0
	for _, t := range b.registry.Topics() {
		t.Used(func(r *shard.Replica) {
			count++
			r.Shard().Do(func() { r.Close(func(err error) { go func() { results <- err }() }) })
		})
	}
	for range count {
		if err := <-results; err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// abandon lets go of everything that Start had taken when it failed.
func (b *Broker) abandon() { b.abandonClean(false) }

func (b *Broker) abandonClean(clean bool) {
	for _, s := range b.sockets {
		s.Close() //nolint:errcheck // going down anyway
	}
	if b.admin != nil {
		b.admin.close()
	}
	if b.quorum != nil {
		if err := b.quorum.Close(); err != nil {
			b.log.Error("cannot close the metadata log", "error", err)
			clean = false
		}
	}
	for _, s := range b.shards {
		s.Stop()
	}
	for _, d := range b.disks {
		if err := d.close(clean); err != nil {
			b.log.Error("cannot close data folder", "folder", d.Path, "error", err)
		}
	}
}

// checkpointPause is the time between two writings of recovery points, Kafka's default.
const checkpointPause = time.Minute

// keepHouse applies retention and writes recovery points until the broker stops.
func (b *Broker) keepHouse() {
	defer close(b.ended)
	retention := time.NewTicker(retentionPause(b.values.Load()))
	defer retention.Stop()
	checkpoint := time.NewTicker(checkpointPause)
	defer checkpoint.Stop()
	b.loadGroups()
	for {
		select {
		case <-b.stop:
			return
		case now := <-retention.C:
			b.retain(now)
		case <-checkpoint.C:
			b.checkpoint()
		}
	}
}

// retain has every shard look at its partitions.
func (b *Broker) retain(now time.Time) {
	for _, t := range b.registry.Topics() {
		if s := t.Settings(); s.Log.RetentionAge < 0 && s.Log.RetentionBytes < 0 {
			continue
		}
		for i := range int32(t.Partitions()) {
			r := t.Replica(i)
			r.Shard().Wait(func() { r.Retain(now) })
		}
	}
}

// checkpoint remembers how far each log is durable, so that recovery need not look
// further back.
func (b *Broker) checkpoint() {
	used := map[*shard.Disk][]*shard.Replica{}
	for _, t := range b.registry.Topics() {
		if !t.Settings().Commit {
			continue
		}
		t.Used(func(r *shard.Replica) {
			if log, err := r.Log(); log != nil && err == nil {
				used[r.Disk()] = append(used[r.Disk()], r)
			}
		})
	}
	for _, d := range b.disks {
		if d.Failed() != nil || len(used[d.Disk]) == 0 {
			continue
		}
		if err := writePoints(b.fs, filepath.Join(d.Path, pointsFile), used[d.Disk]); err != nil {
			b.log.Warn("cannot write recovery points", "folder", d.Path, "error", err)
		}
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
		select {
		case <-b.stop:
			return
		default:
		}
		b.server.LoadGroups(t.Replica(i))
	}
}

// NodeID is the broker's id as text, for logs.
func (b *Broker) NodeID() string { return strconv.Itoa(config.NodeID.Of(b.values.Load())) }
