package group

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// turn is one change of a consumer group: what is decided goes into memory at once, and
// as records into the log with a single append at the end.
type turn struct {
	g       *group
	now     int64
	records []Record
	// downgraded means that the group is a classic one from here on, and its record among these.
	downgraded bool
	work       int // what patterns have taken of it; see mostWork
}

// encodable is the value of a record.
type encodable interface{ Append(dst []byte) []byte }

// write adds a record, or with a nil value a tombstone.
func (t *turn) write(key record.Key, v encodable) { t.records = append(t.records, encode(key, v)) }

func encode(key record.Key, v encodable) Record {
	r := Record{Key: key.Append(nil)}
	if v != nil {
		r.Value = v.Append(nil)
	}
	return r
}

func (t *turn) key(kind record.Kind, of string) record.Key {
	return record.Key{Kind: kind, Group: t.g.name, Of: of}
}

// writeMember, writeTarget, writeHolding and writeEpochs write parts of the group as they are.

func (t *turn) writeMember(m *consumer) {
	t.write(t.key(record.KindMember, m.id), &record.Member{
		Instance: m.instance, Rack: m.rack, ClientID: m.client.ID, ClientHost: m.client.Host,
		Topics: m.topics, Pattern: m.pattern, RebalanceTimeoutMillis: int32(m.rebalanceTimeout),
		Assignor: m.assignor, Classic: m.classic,
	})
}

func (t *turn) writeTarget(m *consumer) {
	t.write(t.key(record.KindTargetMember, m.id), &record.TargetMember{Partitions: m.target})
}

func (t *turn) writeHolding(m *consumer) {
	t.write(t.key(record.KindCurrent, m.id), &record.Current{
		Epoch: m.epoch, Previous: m.previous, State: int8(m.state), Assigned: m.assigned, Revoking: m.revoking,
	})
}

func (t *turn) writeEpoch() {
	t.write(t.key(record.KindGroup, ""), &record.Group{Epoch: t.g.consumer.epoch, Hash: t.g.consumer.hash})
}

func (t *turn) writeAssignmentEpoch() {
	t.write(t.key(record.KindTarget, ""), &record.Target{Epoch: t.g.consumer.assignmentEpoch, At: t.g.consumer.assignedAt})
}

// writeAll writes the whole group.
func (t *turn) writeAll() {
	cg := t.g.consumer
	members := cg.sorted()
	for _, m := range members {
		t.writeMember(m)
	}
	t.writeEpoch()
	for _, m := range members {
		t.writeTarget(m)
	}
	t.writeAssignmentEpoch()
	for _, m := range members {
		t.writeHolding(m)
	}
	for _, text := range slices.Sorted(maps.Keys(cg.patterns)) {
		p := cg.patterns[text]
		t.write(t.key(record.KindPattern, text), &record.Pattern{Topics: p.topics, Version: int64(p.picture), At: t.now})
	}
}

// memberKinds are the records of a member, in the order in which they are deleted.
var memberKinds = [...]record.Kind{record.KindCurrent, record.KindTargetMember, record.KindMember}

// removeMember takes a member out, and its records.
func (t *turn) removeMember(m *consumer) {
	t.g.c.forgetDeadlines(m)
	t.g.consumer.remove(m)
	for _, kind := range memberKinds {
		t.write(t.key(kind, m.id), nil)
	}
}

// eraseConsumer removes what is left of a consumer group when its members are gone.
func (t *turn) eraseConsumer() {
	for _, text := range slices.Sorted(maps.Keys(t.g.consumer.patterns)) {
		t.write(t.key(record.KindPattern, text), nil)
	}
	t.write(t.key(record.KindTarget, ""), nil)
	t.write(t.key(record.KindGroup, ""), nil)
}

// setProfile, setHolding, setTarget and bump change the group and write what they changed.

func (t *turn) setProfile(m *consumer, p profile) {
	t.g.consumer.setProfile(m, p)
	t.writeMember(m)
}

func (t *turn) setHolding(m *consumer, h holding) {
	t.g.consumer.setHolding(m, h)
	t.writeHolding(m)
}

func (t *turn) setTarget(m *consumer, a assign.Assignment) {
	m.target = a
	t.writeTarget(m)
}

// bump begins a new epoch of the group: the target has to be decided again.
func (t *turn) bump() {
	t.g.consumer.epoch++
	t.writeEpoch()
}

// end appends what the turn changed and calls done once it is in the log, or with the
// answer to whoever asked for it. A turn that changed nothing waits for those before it:
// what they decided must not be told before it is certain.
func (t *turn) end(done func(*kerr.Error)) {
	g := t.g
	cg := g.consumer
	g.settleState(t.now)
	if len(t.records) == 0 && g.damage == nil {
		t.wait(done)
		return
	}
	switch {
	case g.damage != nil && cg != nil:
		t.records = append(slices.Clone(g.damage.gone), tombstones(t.records)...)
		t.writeAll()
	case g.damage != nil:
		t.records = append(slices.Clone(g.damage.gone), t.records...)
	}
	var w *write
	records := t.records
	w = g.c.append(records, func(err error) { done(g.wrote(w, records, err)) })
	switch {
	case cg != nil:
		cg.written, cg.logged = w, true
	case t.downgraded:
		g.stored = w.sequence
	}
}

// wait calls done once what was decided before is in the log.
func (t *turn) wait(done func(*kerr.Error)) {
	cg := t.g.consumer
	if cg == nil || cg.written == nil || cg.written.ended {
		done(nil)
		return
	}
	w := cg.written
	w.after = append(w.after, func(refused *kerr.Error) {
		if refused == nil && t.g.damage != nil {
			refused = asError(w.err)
		}
		done(refused)
	})
}

// damage is what the log misses of a group because an append failed. Until a later one
// has brought the whole group, nobody is told anything that is not certain.
type damage struct {
	gone  []Record // tombstones that were not written
	since uint64   // no write up to this one repairs it
}

// wrote notes the end of an append and returns the answer to who waits for it.
func (g *group) wrote(w *write, records []Record, err error) *kerr.Error {
	switch {
	case err != nil:
		if g.damage == nil {
			g.damage = &damage{}
		}
		g.damage.gone = append(g.damage.gone, tombstones(records)...)
		g.damage.since = g.c.sequence
		return asError(err)
	case g.damage == nil:
		return nil
	case w.sequence <= g.damage.since:
		return kerr.CoordinatorNotAvailable
	}
	g.damage = nil
	return nil
}

func tombstones(records []Record) (gone []Record) {
	for _, r := range records {
		if r.Value == nil {
			gone = append(gone, r)
		}
	}
	return gone
}

// settleState brings the group's state up to date.
func (g *group) settleState(now int64) {
	if g.consumer == nil {
		return
	}
	s := g.consumer.state()
	if s == g.state {
		return
	}
	g.become(now, s)
	if s == empty {
		g.expireAfterEmpty(now)
	}
}
