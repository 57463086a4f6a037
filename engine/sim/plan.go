package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk/setting"
)

// Names of what there is in every world.
const (
	source = "source" // what producers write
	sink   = "sink"   // what copiers make of it
)

// plan is what a seed draws before anything happens: how large the world is, who lives in it
// and what may go wrong. Not everything goes wrong in every world, so that no fault
// hides another.
type plan struct {
	directory  cluster.ID
	partitions map[string]int32
	shards     int
	guests     bool
	segment    int64

	length   time.Duration // until everybody comes to an end
	think    time.Duration
	patience time.Duration // with one request
	// perseverance is how long somebody asks again and again.
	perseverance, backoff time.Duration
	latency, slowest      time.Duration
	lateness, downtime    time.Duration
	drops, stalls         float64
	crashes               int
	powers                float64       // share of crashes that are losses of power
	limit                 time.Duration // of transactions
	session               time.Duration // of members

	idempotent, writersV1, writersV2 int
	copiers                          []copier
	readers                          int
	committers                       []kind
}

// kind is how a client is part of a group.
type kind int

const (
	alone    kind = iota // it is not: its partition is its own
	classic              // JoinGroup and SyncGroup
	consumer             // KIP-848
)

func (k kind) String() string { return [...]string{"alone", "classic", "consumer"}[k] }

// draw makes the plan of a seed.
func (w *world) draw() plan {
	r := w.random
	upTo := func(n int) int { return r.IntN(n + 1) }
	ms := func(least, most int64) time.Duration {
		return time.Duration(least+r.Int64N(most-least+1)) * time.Millisecond
	}
	p := plan{
		directory: cluster.NewID(w.bytes16),
		partitions: map[string]int32{
			source: int32(1 + upTo(2)), sink: int32(1 + upTo(1)), api.OffsetsTopic: int32(1 + upTo(1)), cluster.TransactionsTopic: int32(1 + upTo(1)),
		},
		shards: 1 + upTo(1), guests: r.IntN(2) == 0, segment: int64(600 << upTo(7)),
		length: ms(4000, 15000), think: ms(20, 300), patience: ms(500, 3000), perseverance: 90 * time.Second, backoff: ms(5, 200),
		latency: ms(1, 20), slowest: ms(1, 50), lateness: ms(10, 8000), downtime: ms(5, 1500),
		crashes: upTo(4), powers: float64(upTo(4)) / 4, limit: ms(1000, 6000), session: ms(1000, 4000),
		idempotent: upTo(2), writersV1: upTo(1), writersV2: upTo(2), readers: 1 + upTo(2),
	}
	if r.IntN(4) > 0 {
		p.drops = r.Float64() * 0.05
	}
	if r.IntN(4) > 0 {
		p.stalls = r.Float64() * 0.03
	}
	if p.idempotent+p.writersV1+p.writersV2 == 0 {
		p.writersV2 = 1
	}
	how := kind(r.IntN(3))
	for range upTo(3) {
		p.copiers = append(p.copiers, copier{how: how, v2: r.IntN(3) > 0})
	}
	how = classic + kind(r.IntN(2))
	for range upTo(2) {
		p.committers = append(p.committers, how)
	}
	return p
}

// String tells the plan for the head of a trace.
func (p plan) String() string {
	type bare plan // has no String
	return fmt.Sprintf("%+v", bare(p))
}

// settings of the broker are the same in every world but for what the plan says.
var parsed = func() *setting.Values {
	b, err := config.Parse("", "", []string{
		"group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=500", "group.consumer.min.session.timeout.ms=500",
		"group.consumer.session.timeout.ms=2500", "group.consumer.min.heartbeat.interval.ms=100", "group.consumer.heartbeat.interval.ms=300",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=700", "transaction.max.timeout.ms=60000",
	})
	if err != nil {
		panic(err)
	}
	return b.Values
}()

func (w *world) settingsOfBroker() *setting.Values { return w.values }

// foundCluster begins the metadata: the cluster and its topics.
func (w *world) foundCluster() {
	w.values, w.image = parsed, cluster.Empty()
	w.applied(cluster.Found("simulated"))
	w.register()
	n := cluster.NewTopics{NewID: func() cluster.ID { return cluster.NewID(w.bytes16) }}
	for _, name := range []string{source, sink, api.OffsetsTopic, cluster.TransactionsTopic} {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, w.plan.partitions[name], 1
		n.Topics = append(n.Topics, t)
	}
	records, answers := cluster.CreateTopics(w.image, n)
	for _, a := range answers {
		if a.Refusal != nil {
			panic(a.Refusal)
		}
	}
	w.applied(records)
}

// planCrash decides how this life ends, if it does before the world comes to rest.
func (w *world) planCrash(l *life) {
	if w.calm || w.lives > w.plan.crashes {
		return
	}
	l.power = w.chance(w.plan.powers)
	if w.chance(0.6) {
		l.left = 1 + w.random.IntN(400)
		if w.chance(0.3) {
			l.left = 1 + w.random.IntN(30) // while it starts
		}
		return
	}
	l.after(w.between(0, 2*w.plan.length/time.Duration(w.plan.crashes+1)), l.die)
}
