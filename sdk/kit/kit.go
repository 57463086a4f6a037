package kit

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/netpoll"
)

// Options say which broker a test gets. The zero value is one in memory, without topics.
type Options struct {
	// Settings are the broker's, by the names of server.properties. They win over those that
	// suit a test (see Defaults).
	Settings map[string]string
	// Topics are there when Start returns, each with so many partitions. Others come into
	// being when a client uses them, as in Kafka.
	Topics map[string]int32
	// Disk keeps the data on the disk, in a folder of the test's, and not in memory.
	Disk bool
	// Log is where the broker logs. Nil: nowhere.
	Log *slog.Logger
}

// Defaults are the settings in which a test's broker differs from `millrace serve`: a free
// port of loopback, no port for metrics, little of everything that is there for load, and
// groups that do not wait for company.
func Defaults() map[string]string {
	return map[string]string{
		"listeners":                                "PLAINTEXT://127.0.0.1:0",
		"admin.listener":                           "",
		"num.network.threads":                      "1",
		"num.io.threads":                           "2",
		"log.journal.bytes":                        "0",
		"profile.interval.ms":                      "0",
		"offsets.topic.num.partitions":             "1",
		"transaction.state.log.num.partitions":     "1",
		"group.initial.rebalance.delay.ms":         "0",
		"group.consumer.heartbeat.interval.ms":     "500",
		"group.consumer.min.heartbeat.interval.ms": "100",
	}
}

// Broker is one running broker. Its methods may be called by any goroutine of the test.
type Broker struct {
	t       testing.TB
	engine  *engine.Broker
	ahead   atomic.Int64 // of the clock before the real one, nanoseconds
	faults  *faults
	syncs   failing
	stopped bool // the test's goroutine
}

// stopPatience is how long a broker may take to end.
const stopPatience = 20 * time.Second

// Start runs a broker until the test ends. When it returns, clients are served.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	b := &Broker{t: t, faults: newFaults()}
	settings, err := config.Parse("", "", overrides(o.Settings, b.folder(o)))
	if err != nil {
		t.Fatalf("kit: settings of the broker: %v", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var disk diskio.FS = diskio.OS
	if !o.Disk {
		disk = diskio.NewMemory()
	}
	b.engine, err = engine.Start(engine.Options{
		Settings: settings, FS: &disks{FS: disk, failing: &b.syncs}, Log: o.Log, Now: b.Now,
		Wrap: func(h netpoll.Handler) netpoll.Handler { return b.faults.before(h, b.topicName) },
	})
	if err != nil {
		t.Fatalf("kit: start the broker: %v", err)
	}
	t.Cleanup(b.Stop)
	if err := createTopics(b.Address(), o.Topics); err != nil {
		t.Fatalf("kit: %v", err)
	}
	return b
}

// folder is where the broker keeps its data.
func (b *Broker) folder(o Options) string {
	if o.Disk {
		return b.t.TempDir()
	}
	return "/kit"
}

// overrides are the settings of a broker as the command line would have them.
func overrides(own map[string]string, folder string) (all []string) {
	settings := Defaults()
	settings["log.dirs"] = folder
	maps.Copy(settings, own)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		all = append(all, key+"="+settings[key])
	}
	return all
}

// Address is where clients connect, as host:port.
func (b *Broker) Address() string { return b.engine.Addresses()[0] }

// AdminAddress is where metrics and profiles are, "" unless the settings have an
// admin.listener.
func (b *Broker) AdminAddress() string { return b.engine.AdminAddress() }

// Stop ends the broker before the test does, to see what clients make of that.
func (b *Broker) Stop() {
	b.t.Helper()
	if b.stopped {
		return
	}
	b.stopped = true
	b.faults.end()
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	// A disk that the test has broken cannot be closed in good order.
	if err := b.engine.Stop(ctx); err != nil && (b.syncs.why() == nil || errors.Is(err, context.DeadlineExceeded)) {
		b.t.Errorf("kit: stop the broker: %v", err)
	}
}

// Now is the broker's time.
func (b *Broker) Now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

// Advance moves the broker's clock ahead. When it returns, all that has become due is done:
// members whose session is over are out of their groups, transactions past their time limit
// are being aborted, records that retention does not keep are gone. What clients do goes on
// in real time; to the broker they have been silent for as long as d.
func (b *Broker) Advance(d time.Duration) {
	b.t.Helper()
	if d < 0 {
		b.t.Fatalf("kit: advance by %v: time does not go back", d)
	}
	b.ahead.Add(int64(d))
	b.engine.Recheck()
}

// Disconnect breaks the connections of clients with these client ids, or all of them when
// none are named, and tells how many there were.
func (b *Broker) Disconnect(clients ...string) int { return b.faults.disconnect(clients) }

// Inject has requests go wrong from now on; see Fault.
func (b *Broker) Inject(f Fault) *Injected {
	b.t.Helper()
	if err := f.Check(); err != nil {
		b.t.Fatalf("kit: inject a fault: %v", err)
	}
	return b.faults.add(f)
}

// FailSync has every fsync fail from now on. The first that does stops the disk, as in
// `millrace serve`: nothing is acknowledged any more, and producers are told
// KAFKA_STORAGE_ERROR.
func (b *Broker) FailSync(why error) { b.syncs.set(why) }

func (b *Broker) topicName(id [16]byte) string { return b.engine.TopicName(id) }
