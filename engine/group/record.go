package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/sdk/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is one record of __consumer_offsets, in Kafka's own schemas: see FORMAT.md.
type Record struct {
	Key   []byte
	Value []byte // nil: a tombstone, which deletes what the key names
}

// The versions of keys tell what a record is about.
const (
	keyOffset0  = 0
	keyOffset   = 1
	keyMetadata = 2
)

var (
	errNoProtocol = errors.New("the group has members but no protocol")
	errValue      = errors.New("what it says to be in it is not there")
	errMemberID   = errors.New("two members have one id")
)

// Replay applies a record that was read from the log at start-up. Records of kinds that
// are not known are left alone. timestamp is the record's own, in milliseconds. The
// error says what is wrong with a record that is known but damaged; it changed nothing.
func (c *Coordinator) Replay(r Record, timestamp int64) error {
	if len(r.Key) < 2 {
		return fmt.Errorf("read key of a group record of %d bytes: %w", len(r.Key), errShortKey)
	}
	switch kind := int16(r.Key[0])<<8 | int16(r.Key[1]); kind {
	case keyOffset0, keyOffset:
		return c.replayOffset(r, timestamp)
	case keyMetadata:
		return c.replayMetadata(r, timestamp)
	}
	return c.replayConsumer(r, timestamp)
}

var errShortKey = errors.New("key has no version")

func (c *Coordinator) replayOffset(r Record, timestamp int64) error {
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("read key of a committed offset: %w", err)
	}
	g := c.groups[key.Group]
	if r.Value == nil {
		if g != nil {
			g.entry(key.Topic, key.Partition)
			g.settle(key.Topic, key.Partition, nil)
		}
		return nil
	}
	v, err := decodeOffset(r.Value)
	if err != nil {
		return fmt.Errorf("read offset of group %q for %s-%d: %w", key.Group, key.Topic, key.Partition, err)
	}
	if g == nil {
		g = c.create(timestamp, key.Group)
	}
	g.entry(key.Topic, key.Partition)
	g.settle(key.Topic, key.Partition, v)
	return nil
}

// flexible reports whether a value is of a version that has tags.
func flexible(p []byte) bool { return len(p) > 1 && int16(binary.BigEndian.Uint16(p)) >= 4 }

func decodeOffset(p []byte) (*committed, error) {
	if flexible(p) && !wire.Fits(p[2:], wire.OffsetValue) {
		return nil, errValue
	}
	var v kmsg.OffsetCommitValue
	v.Default()
	if err := v.ReadFrom(p); err != nil {
		return nil, err
	}
	if v.Version < 0 || v.Version > 4 {
		return nil, fmt.Errorf("version %d is not known", v.Version)
	}
	c := &committed{
		offset: v.Offset, epoch: v.LeaderEpoch, metadata: v.Metadata,
		at: v.CommitTimestamp, expire: -1, topicID: v.TopicID,
	}
	if v.Version < 3 {
		c.epoch = -1
	}
	if v.Version == 1 {
		c.expire = v.ExpireTimestamp
	}
	return c, nil
}

// offsetRecord encodes one committed offset, or its tombstone when v is nil.
func offsetRecord(dst []byte, group, topic string, partition int32, v *committed) (Record, []byte) {
	key := kmsg.OffsetCommitKey{Version: keyOffset, Group: group, Topic: topic, Partition: partition}
	from := len(dst)
	dst = key.AppendTo(dst)
	r := Record{Key: dst[from:len(dst):len(dst)]}
	if v == nil {
		return r, dst
	}
	value := kmsg.OffsetCommitValue{
		Version: 3, Offset: v.offset, LeaderEpoch: v.epoch, Metadata: v.metadata,
		CommitTimestamp: v.at, ExpireTimestamp: v.expire, TopicID: v.topicID,
	}
	switch {
	case v.expire >= 0:
		value.Version = 1 // the only one that has it
	case v.topicID != [16]byte{}:
		value.Version = 4
	}
	from = len(dst)
	dst = value.AppendTo(dst)
	r.Value = dst[from:len(dst):len(dst)]
	return r, dst
}

// metadata encodes the group as it is now, with the given assignments or, when nil, with
// those that the members have.
func (g *group) metadata(assignments map[string][]byte) Record {
	v := kmsg.GroupMetadataValue{
		Version: 3, ProtocolType: g.protocolType, Generation: g.generation,
		Protocol: g.protocol, CurrentStateTimestamp: g.since,
	}
	if g.leader != "" {
		v.Leader = &g.leader
	}
	for _, m := range g.members {
		a := m.assignment
		if assignments != nil {
			a = assignments[m.id]
		}
		metadata, _ := m.supports(*g.protocol)
		v.Members = append(v.Members, kmsg.GroupMetadataValueMember{
			MemberID: m.id, InstanceID: m.instance, ClientID: m.client.ID, ClientHost: m.client.Host,
			RebalanceTimeoutMillis: int32(m.rebalanceTimeout), SessionTimeoutMillis: int32(m.sessionTimeout),
			Subscription: metadata, Assignment: notNil(a),
		})
	}
	return Record{Key: g.metadataKey(), Value: v.AppendTo(nil)}
}

func (g *group) metadataKey() []byte {
	key := kmsg.GroupMetadataKey{Version: keyMetadata, Group: g.name}
	return key.AppendTo(nil)
}

// store appends a group metadata record.
func (g *group) store(r Record, finish func(error)) {
	records := []Record{r}
	if g.damage == nil {
		g.stored = g.c.append(records, finish).sequence
		return
	}
	// Records of the consumer group that this was are still to be deleted.
	records = append(slices.Clone(g.damage.gone), records...)
	var w *write
	w = g.c.append(records, func(err error) {
		if err == nil && g.damage != nil && w.sequence > g.damage.since {
			g.damage = nil
		}
		finish(err)
	})
	g.stored = w.sequence
}

func (c *Coordinator) replayMetadata(r Record, timestamp int64) error {
	var key kmsg.GroupMetadataKey
	if err := key.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("read key of group metadata: %w", err)
	}
	old := c.groups[key.Group]
	if r.Value == nil {
		if old != nil {
			c.restore(old, newGroup(c, key.Group, timestamp))
			c.dropIfBare(c.groups[key.Group])
		}
		return nil
	}
	g, err := c.decodeGroup(key.Group, r.Value)
	if err != nil {
		return fmt.Errorf("read metadata of group %q: %w", key.Group, err)
	}
	c.restore(old, g)
	return nil
}

// restore puts g in the place of old, whose offsets it keeps.
func (c *Coordinator) restore(old, g *group) {
	if old != nil {
		g.offsets, g.consumer = old.offsets, old.consumer
		c.drop(old)
	}
	c.groups[g.name] = g
}

func (c *Coordinator) decodeGroup(name string, p []byte) (*group, error) {
	if flexible(p) && !wire.Fits(p[2:], wire.GroupValue) {
		return nil, errValue
	}
	var v kmsg.GroupMetadataValue
	v.Default()
	if err := v.ReadFrom(p); err != nil {
		return nil, err
	}
	if v.Version < 0 || v.Version > 4 {
		return nil, fmt.Errorf("version %d is not known", v.Version)
	}
	if err := believe(nil, v.Generation); err != nil {
		return nil, err
	}
	g := newGroup(c, name, v.CurrentStateTimestamp)
	g.stored, g.generation, g.protocol, g.protocolType = 1, v.Generation, v.Protocol, v.ProtocolType
	if len(v.Members) == 0 {
		g.subscribed = g.subscriptions()
		return g, nil
	}
	if v.Protocol == nil {
		return nil, errNoProtocol
	}
	g.state = stable
	for i := range v.Members {
		m := loadMember(&v.Members[i], *v.Protocol)
		if g.byID[m.id] != nil || m.instance != nil && g.static[*m.instance] != nil {
			return nil, errMemberID
		}
		g.add(m, v.ProtocolType)
	}
	if v.Leader != nil && g.byID[*v.Leader] != nil {
		g.leader = *v.Leader
	}
	g.subscribed = g.subscriptions()
	return g, nil
}

func loadMember(v *kmsg.GroupMetadataValueMember, protocolName string) *member {
	m := &member{
		id: v.MemberID, instance: v.InstanceID, client: Client{v.ClientID, v.ClientHost},
		sessionTimeout: int64(v.SessionTimeoutMillis), rebalanceTimeout: int64(v.RebalanceTimeoutMillis),
		protocols:  []protocol{{protocolName, append([]byte{}, v.Subscription...)}},
		assignment: append([]byte{}, v.Assignment...),
	}
	if m.rebalanceTimeout < 0 {
		m.rebalanceTimeout = m.sessionTimeout
	}
	return m
}
