// Package transact is work in transactions that a broker is given while something is done to it, and the judgement of
// what became of it.
//
//	writers ──▶ in ──▶ copiers (records, and how far they have read) ──▶ out
//	            └──────────── followers, committed and not ───────────────┘
//
// Writers commit most transactions, abort some, and leave some open when they go away; copiers read what is committed and
// write it to another topic with their offsets in the same transaction. Of both, every other one speaks version 1 of
// transactions, the rest version 2 (KIP-890). Followers read along. What each of them was told is noted, and after each
// round, when all has ended and everything was read back, package history says which promises were broken.
package transact

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/sim/history"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Options are how much work there is.
type Options struct {
	Address string
	// Name begins the names of topics, group and transactional ids.
	Name       string
	Partitions int
	// Workers is how many writers there are, and how many copiers. Zero: 2.
	Workers int
	// Configs are those of the topics.
	Configs map[string]*string
}

// A Load is the work of a whole run. Its methods belong to one goroutine; what workers note is behind mu.
type Load struct {
	Options
	source, sink, group string
	began               time.Time
	round               int
	verified            map[history.Partition]int64 // up to where everything was read back
	told                map[history.Anomaly]bool

	alive   context.Context // of the round: clients end with it
	sever   context.CancelFunc
	rest    context.CancelFunc
	workers sync.WaitGroup

	mu      sync.Mutex //nolint:forbidigo // workers note what they were told side by side
	deaf    bool       // what is answered from now on is not believed
	history history.History
	broken  []history.Anomaly // that workers have seen by themselves
	clients map[client]struct{}
	counts  Counts
}

// A client is what is closed when a round is cut off.
type client interface{ Close() }

// Counts are how the transactions of all rounds have ended, and what was read.
type Counts struct {
	Committed, Aborted, Unknown int
	Records                     int // that are committed, in both topics
	Followed                    int // reads of the followers
}

// String is for a line of a report.
func (c Counts) String() string {
	return fmt.Sprintf("%d committed, %d aborted, %d unknown; %d records, %d followed", c.Committed, c.Aborted, c.Unknown, c.Records, c.Followed)
}

// New makes a load. Its topics are made by Prepare.
func New(o Options) *Load {
	if o.Workers == 0 {
		o.Workers = 2
	}
	return &Load{
		Options: o, source: o.Name + "-in", sink: o.Name + "-out", group: o.Name + "-copiers", began: time.Now(),
		verified: map[history.Partition]int64{}, told: map[history.Anomaly]bool{}, clients: map[client]struct{}{},
	}
}

// Prepare makes the topics.
func (l *Load) Prepare(ctx context.Context) error {
	admin, err := l.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	for _, name := range []string{l.source, l.sink} {
		if _, err := admin.CreateTopic(ctx, int32(l.Partitions), 1, l.Configs, name); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	return nil
}

// Begin sets everybody to work. Rest or Sever ends it.
func (l *Load) Begin(ctx context.Context) {
	working := l.begin(ctx)
	for i := range l.Workers {
		l.workers.Go(func() { l.write(working, i) })
		l.workers.Go(func() { l.copy(working, i) })
	}
	for _, committed := range []bool{true, false} {
		l.workers.Go(func() { l.follow(working, committed) })
	}
}

// begin makes a round's contexts and answers the one that says how long its workers go on.
func (l *Load) begin(ctx context.Context) (working context.Context) {
	l.round++
	l.mu.Lock()
	l.deaf = false
	l.mu.Unlock()
	l.alive, l.sever = context.WithCancel(ctx)
	working, l.rest = context.WithCancel(l.alive)
	return working
}

// restTime is how long workers may take to come to an end.
const restTime = 40 * time.Second

// Rest lets the workers end what they have under way, and waits for them, but not longer than ctx lasts.
func (l *Load) Rest(ctx context.Context) error {
	l.rest()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.workers.Wait()
	}()
	soon, cancel := context.WithTimeout(ctx, restTime)
	defer cancel()
	select {
	case <-ended:
		l.sever()
		return nil
	case <-soon.Done():
		l.Sever()
		return fmt.Errorf("the clients do not come to an end: %w", soon.Err())
	}
}

// Deafen has what is answered from now on count for nothing: the broker may be lying.
func (l *Load) Deafen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = true
}

// Sever takes the workers' connections away, with all that is under way, and waits until they are gone.
func (l *Load) Sever() {
	l.rest()
	l.sever()
	l.mu.Lock()
	open := l.clients
	l.clients = map[client]struct{}{}
	l.mu.Unlock()
	for c := range open {
		c.Close() // records that wait for an answer are given up by nothing else
	}
	l.workers.Wait()
}

// Counts are those of all rounds so far.
func (l *Load) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

func (l *Load) now() int64 { return time.Since(l.began).Nanoseconds() }

// note says how an operation ended, with what its client was told. asked says that a commit was asked for.
func (l *Load) note(o history.Operation, asked, committed bool, err error) {
	o.Ended = l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch o.Result = result(asked, committed, err, l.deaf); o.Result {
	case history.OK:
		l.counts.Committed++
	case history.Failed:
		l.counts.Aborted++
	case history.Unknown:
		l.counts.Unknown++
	}
	l.history.Operations = append(l.history.Operations, o)
}

// result is how a transaction has ended. One that is aborted, or was given up before a commit was asked for, never
// counts; an answer that comes from a broker that may lie says nothing.
func result(asked, committed bool, err error, deaf bool) history.Result {
	switch {
	case asked && (err != nil || committed && deaf):
		return history.Unknown
	case committed:
		return history.OK
	}
	return history.Failed
}

// wrong notes what a worker has seen by itself.
func (l *Load) wrong(class, format string, arguments ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = append(l.broken, history.Anomaly{Class: class, Detail: fmt.Sprintf(format, arguments...)})
}

// keep has Sever close a client; forget closes it otherwise.
func (l *Load) keep(c client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients[c] = struct{}{}
}

func (l *Load) forget(c client) {
	l.mu.Lock()
	_, mine := l.clients[c]
	delete(l.clients, c)
	l.mu.Unlock()
	if mine {
		c.Close()
	}
}

// options are those of every client: quick to notice that the broker is back.
func (l *Load) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(l.Address), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RetryTimeout(20 * time.Second), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}, more...)
}

// version makes every other worker speak version 1 of transactions.
func version(worker int) []kgo.Opt {
	if worker%2 == 0 {
		return nil
	}
	return []kgo.Opt{kgo.MaxVersions(kversion.V3_9_0())}
}

func (l *Load) admin() (*kadm.Client, error) {
	k, err := kgo.NewClient(l.options()...)
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(k), nil
}

// errGoOn is the end of a client's life, after which another has to go on.
var errGoOn = errors.New("another client has to go on")

// endTime is how long a worker waits for the end of a transaction, also after its round is over: else the next life
// would have to wait for it.
const endTime = 5 * time.Second
