package group

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// A group changes its kind with its members. The first member of KIP-848 that joins a
// classic group makes a consumer group of it, if the others are consumers: what they have
// said of themselves to the leader, the coordinator reads now. They go on with JoinGroup,
// SyncGroup and Heartbeat, and are told to join again whenever something changes for them
// (consumer_classic.go). When the last member of KIP-848 goes, the group is classic again.

// Migration says which of the two ways may be gone (group.consumer.migration.policy).
type Migration int8

// The policies.
const (
	MigrationBidirectional Migration = iota
	MigrationUpgrade
	MigrationDowngrade
	MigrationDisabled
)

func (m Migration) up() bool   { return m == MigrationBidirectional || m == MigrationUpgrade }
func (m Migration) down() bool { return m == MigrationBidirectional || m == MigrationDowngrade }

// replaceClassic makes a consumer group of a classic one without members; its offsets stay.
func (t *turn) replaceClassic() {
	g := t.g
	g.clearPending()
	if g.stored > 0 {
		t.records = append(t.records, Record{Key: g.metadataKey()})
		g.stored = 0
	}
	g.generation, g.assigning, g.protocol = 0, none, nil
	g.beConsumer()
}

// upgradable reports whether the members of a classic group can come along.
func (g *group) upgradable() bool {
	return g.c.migration.up() && g.protocolType == consumerType && len(g.members) < g.c.consumerMaxSize
}

// errCustomAssignor is said of a group whose leader put more into an assignment than partitions.
var errCustomAssignor = errors.New("an assignment has user data")

// upgrade makes a consumer group of a classic one. It changes nothing when a member's
// subscription or assignment cannot be read, or says more than a consumer group could.
func (t *turn) upgrade() error {
	g := t.g
	cg := newConsumerGroup()
	cg.epoch, cg.assignmentEpoch = g.generation, g.generation
	for _, m := range g.members {
		converted, err := g.toConsumer(m)
		if err != nil {
			return err
		}
		free := converted.assigned.Keep(func(id assign.ID, p int32) bool { return cg.owners[place{id, p}] == nil })
		converted.assigned, converted.target = free.Since(g.generation), free
		cg.add(converted)
	}
	for _, m := range g.members {
		g.answerJoin(m, joinError(m.id, kerr.RebalanceInProgress))
		g.answerSync(m, syncError(kerr.RebalanceInProgress))
		g.c.deadlines.clear(&m.session)
	}
	g.endSync()
	g.c.deadlines.clear(&g.join)
	g.members, g.leader = nil, ""
	clear(g.byID)
	clear(g.static)
	clear(g.voters)
	g.weight = 0
	t.replaceClassic()
	g.consumer = cg
	g.become(t.now, cg.state())
	t.writeAll()
	for _, m := range cg.sorted() {
		g.touchConsumer(t.now, m)
	}
	return nil
}

// toConsumer is a classic member as one of a consumer group.
func (g *group) toConsumer(m *member) (*consumer, error) {
	metadata, ok := m.supports(deref(g.protocol))
	if !ok {
		metadata = m.protocols[0].metadata
	}
	said, err := readSubscription(metadata)
	if err != nil {
		return nil, err
	}
	out := &consumer{id: m.id}
	out.profile = profile{instance: m.instance, client: m.client, rebalanceTimeout: m.rebalanceTimeout}
	out.subscribe(said)
	out.classic = &record.Classic{SessionTimeoutMillis: int32(m.sessionTimeout), Protocols: recordProtocols(m.protocols)}
	out.epoch, out.previous = g.generation, g.generation
	var a kmsg.ConsumerMemberAssignment
	if len(m.assignment) > 0 {
		if err := a.ReadFrom(m.assignment); err != nil {
			return nil, err
		}
	}
	if len(a.UserData) > 0 {
		return nil, errCustomAssignor // the assignor lives by what is in there, and a consumer group would lose it
	}
	topics := make([]assign.Topic, 0, len(a.Topics))
	for i := range a.Topics {
		if t, ok := g.c.cluster.Topic(a.Topics[i].Topic); ok {
			topics = append(topics, assign.Topic{ID: t.ID, Partitions: slices.Clone(a.Topics[i].Partitions)})
		}
	}
	out.assigned = assign.Of(topics)
	return out, nil
}

func recordProtocols(given []protocol) []record.Protocol {
	out := make([]record.Protocol, len(given))
	for i, p := range given {
		out[i] = record.Protocol{Name: p.name, Metadata: p.metadata}
	}
	return out
}

// readSubscription reads what a classic consumer says of itself.
func readSubscription(metadata []byte) (*kmsg.ConsumerMemberMetadata, error) {
	if err := subscriptionTopics(metadata, func([]byte) {}); err != nil { // bounds before memory is taken
		return nil, err
	}
	var said kmsg.ConsumerMemberMetadata
	said.Default()
	if err := said.ReadFrom(metadata); err != nil {
		return nil, err
	}
	return &said, nil
}

// subscribe takes over the topics of a classic subscription.
func (p *profile) subscribe(said *kmsg.ConsumerMemberMetadata) {
	p.topics = slices.Clone(said.Topics)
	slices.Sort(p.topics)
	p.topics = slices.Compact(p.topics)
	p.rack = orNil(said.Rack, p.rack)
}

// downgradable reports whether only classic members are left, who can go on by themselves.
func (g *group) downgradable() bool {
	cg := g.consumer
	return len(cg.members) > 0 && cg.classics == len(cg.members) && g.c.migration.down() &&
		len(cg.members) <= g.c.maxSize && cg.shared(nil)
}

// downgrade makes a classic group of a consumer group whose members are all classic. The
// caller ends the turn and, if somebody left, begins a rebalance.
func (t *turn) downgrade() {
	g, cg := t.g, t.g.consumer
	members := cg.sorted()
	for _, m := range members {
		t.removeMember(m)
	}
	t.matchPatterns() // nobody wants any now: their records go
	t.eraseConsumer()
	g.consumer = nil
	g.generation, g.assigning = cg.epoch, none
	g.become(t.now, stable)
	g.leader = ""
	for _, m := range members {
		c := g.toClassic(m)
		g.add(c, consumerType)
		g.touch(t.now, c)
	}
	name := g.vote()
	g.protocol = &name
	g.subscribed = g.subscriptions()
	t.records = append(t.records, g.metadata(nil))
	t.downgraded = true
}

func (g *group) toClassic(m *consumer) *member {
	c := &member{
		id: m.id, instance: m.instance, client: m.client, rebalanceTimeout: m.rebalanceTimeout,
		sessionTimeout: int64(m.classic.SessionTimeoutMillis), assignment: g.classicAssignment(m),
	}
	for _, p := range m.classic.Protocols {
		c.protocols = append(c.protocols, protocol{p.Name, p.Metadata})
	}
	return c
}

// turnClassic makes a classic group of a consumer group without members.
func (g *group) turnClassic(now int64) {
	t := &turn{g: g, now: now}
	if g.consumer.logged {
		t.eraseConsumer()
	}
	g.consumer, g.protocolType = nil, ""
	if len(t.records) > 0 {
		t.end(func(*kerr.Error) {})
	}
}
