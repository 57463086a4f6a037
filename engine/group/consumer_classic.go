package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// Members of a consumer group that use the classic protocol: JoinGroup does for them what
// a heartbeat does for the others and is answered at once, SyncGroup tells them what they
// have, and Heartbeat sends them back to JoinGroup as long as something is left to do.

// shared reports whether all classic members support a protocol that is also among the
// given ones; nil stands for any.
func (cg *consumerGroup) shared(given []protocol) bool {
	votes := map[string]int{}
	for _, m := range cg.members {
		if m.classic == nil {
			continue
		}
		for _, p := range m.classic.Protocols {
			votes[p.Name]++
		}
	}
	if given == nil {
		for _, n := range votes {
			if n == cg.classics {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(given, func(p protocol) bool { return votes[p.name] == cg.classics })
}

// joinConsumer answers the JoinGroup of a classic member to a consumer group.
func (g *group) joinConsumer(j *join) {
	cg := g.consumer
	id := j.q.MemberID
	if id == "" {
		id = or(deref(j.q.InstanceID), j.client.ID) + "-" + j.uuid()
	}
	said, err := g.checkJoin(j, id)
	if err != nil {
		if err != kerr.MemberIDRequired { //nolint:errorlint // made three lines up, bare
			id = "" // unlike a classic group, Kafka's consumer group does not repeat it
		}
		j.reply(joinError(id, err))
		return
	}
	t := &turn{g: g, now: j.now}
	m, err := t.joiner(j, id)
	if err != nil {
		j.reply(joinError("", err))
		return
	}
	p := m.profile
	p.instance, p.client = orNil(j.q.InstanceID, p.instance), j.client
	p.pattern, p.assignor = nil, nil // what a static member said in a life with the other protocol
	p.subscribe(said)
	p.rebalanceTimeout = int64(j.q.RebalanceTimeoutMillis)
	if j.version == 0 || p.rebalanceTimeout < 0 {
		p.rebalanceTimeout = int64(j.q.SessionTimeoutMillis)
	}
	p.classic = &record.Classic{SessionTimeoutMillis: j.q.SessionTimeoutMillis, Protocols: recordProtocols(j.protocols)}
	changed := t.adopt(m, p)
	g.c.forgetDeadlines(m)
	t.refresh(changed)
	t.reconcile(m, g.ownedBy(said), true)
	r := joinError(m.id, nil)
	protocolType, name := consumerType, j.protocols[0].name
	r.Generation, r.ProtocolType, r.Protocol = m.epoch, &protocolType, &name
	if cg.classics == len(cg.members) && g.downgradable() {
		t.downgrade() // it took the place of the last member that was not classic
	} else {
		g.touchConsumer(j.now, m)
		g.lateAfter(&m.sync, m, j.now)
	}
	t.end(func(err *kerr.Error) {
		if err != nil {
			r = joinError(r.MemberID, err)
		}
		j.reply(r)
	})
}

// checkJoin is what can be said before a member is looked for.
func (g *group) checkJoin(j *join, id string) (*kmsg.ConsumerMemberMetadata, *kerr.Error) {
	cg := g.consumer
	known := cg.members[id] != nil || j.q.InstanceID != nil && cg.static[*j.q.InstanceID] != nil
	switch {
	case g.c.migration == MigrationDisabled:
		return nil, kerr.InconsistentGroupProtocol
	case !known && len(cg.members) >= g.c.consumerMaxSize:
		return nil, kerr.GroupMaxSizeReached
	case j.q.ProtocolType != consumerType || len(j.protocols) == 0 || cg.classics > 0 && !cg.shared(j.protocols):
		return nil, kerr.InconsistentGroupProtocol
	case j.q.MemberID == "" && j.q.InstanceID == nil && j.version >= 4:
		return nil, kerr.MemberIDRequired
	}
	said, err := readSubscription(j.protocols[0].metadata)
	if err != nil {
		return nil, kerr.InconsistentGroupProtocol
	}
	return said, nil
}

// joiner finds or makes the member that a JoinGroup speaks for.
func (t *turn) joiner(j *join, id string) (*consumer, *kerr.Error) {
	cg := t.g.consumer
	if j.q.InstanceID == nil {
		if m := cg.members[id]; m != nil {
			return m, nil
		}
		return t.admitMember(id, nil), nil
	}
	m := cg.static[*j.q.InstanceID]
	switch {
	case m == nil && j.q.MemberID == "":
		return t.admitMember(id, j.q.InstanceID), nil
	case m == nil:
		return nil, kerr.UnknownMemberID
	case j.q.MemberID == "":
		return t.replaceStatic(m, id), nil
	case m.id != id:
		return nil, kerr.FencedInstanceID
	}
	return m, nil
}

// ownedBy is what a classic consumer says it has.
func (g *group) ownedBy(said *kmsg.ConsumerMemberMetadata) assign.Assignment {
	topics := make([]assign.Topic, 0, len(said.OwnedPartitions))
	for i := range said.OwnedPartitions {
		if t, ok := g.c.cluster.Topic(said.OwnedPartitions[i].Topic); ok {
			topics = append(topics, assign.Topic{ID: t.ID, Partitions: slices.Clone(said.OwnedPartitions[i].Partitions)})
		}
	}
	return assign.Of(topics)
}

// lateAfter takes a classic member out if it has not done what it should within its
// rebalance timeout.
func (g *group) lateAfter(d *deadline, m *consumer, now int64) {
	d.fire = func(now int64) { g.fence(now, m) }
	g.c.deadlines.move(d, now+max(m.rebalanceTimeout, 1))
}

// findClassic returns the classic member of a consumer group that a request speaks for.
func (cg *consumerGroup) findClassic(id string, instance *string) (*consumer, *kerr.Error) {
	m := cg.members[id]
	if instance != nil {
		m = cg.static[*instance]
		if m != nil && m.id != id {
			return nil, kerr.FencedInstanceID
		}
	}
	if m == nil || m.classic == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}

// syncConsumer answers the SyncGroup of a classic member.
func (g *group) syncConsumer(now int64, q *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	m, err := g.checkSync(now, q)
	if err != nil {
		reply(syncError(err))
		return
	}
	r := syncError(nil)
	r.ProtocolType, r.Protocol, r.MemberAssignment = q.ProtocolType, q.Protocol, g.classicAssignment(m)
	g.c.deadlines.clear(&m.sync)
	g.touchConsumer(now, m)
	(&turn{g: g, now: now}).end(func(err *kerr.Error) {
		if err != nil {
			r = syncError(err)
		}
		reply(r)
	})
}

func (g *group) checkSync(now int64, q *kmsg.SyncGroupRequest) (*consumer, *kerr.Error) {
	m, err := g.consumer.findClassic(q.MemberID, q.InstanceID)
	switch {
	case err != nil:
		return nil, err
	case m.epoch != q.Generation:
		return nil, kerr.IllegalGeneration
	}
	protocolType, name := consumerType, m.classic.Protocols[0].Name
	switch {
	case differs(q.ProtocolType, &protocolType) || differs(q.Protocol, &name):
		return nil, kerr.InconsistentGroupProtocol
	case g.consumer.assignmentEpoch > m.epoch && m.state != unrevoked:
		g.mustRejoin(now, m)
		return nil, kerr.RebalanceInProgress
	}
	return m, nil
}

// mustRejoin gives a classic member its rebalance timeout to join again.
func (g *group) mustRejoin(now int64, m *consumer) {
	if !m.rebalance.set() {
		g.lateAfter(&m.rebalance, m, now)
	}
}

// heartbeatConsumer answers the Heartbeat of a classic member: it has to join again when
// there is a later target, when it has partitions to give up, and when it can have more. As
// long as the target waits for its time, joining again would bring nothing.
func (g *group) heartbeatConsumer(now int64, q *kmsg.HeartbeatRequest, reply func(*kerr.Error)) {
	m, err := g.consumer.findClassic(q.MemberID, q.InstanceID)
	switch {
	case err != nil:
		reply(err)
		return
	case m.epoch != q.Generation:
		reply(kerr.IllegalGeneration)
		return
	}
	g.touchConsumer(now, m)
	t := &turn{g: g, now: now}
	t.refresh(false)
	var again *kerr.Error
	if m.epoch < g.consumer.assignmentEpoch || m.state == unrevoked || m.state == unreleased && !g.waitsForOthers(m) {
		g.mustRejoin(now, m)
		again = kerr.RebalanceInProgress
	}
	t.end(func(err *kerr.Error) {
		if err != nil {
			again = err
		}
		reply(again)
	})
}

// leaveConsumer takes members out that LeaveGroup names, of either protocol, and answers
// for each.
func (g *group) leaveConsumer(now int64, members []kmsg.LeaveGroupRequestMember, done func([]*kerr.Error)) {
	t := &turn{g: g, now: now}
	answers := make([]*kerr.Error, len(members))
	var gone []*consumer
	for i := range members {
		m, err := g.consumer.leaverOf(&members[i])
		if answers[i] = err; err == nil && !slices.Contains(gone, m) {
			gone = append(gone, m)
		}
	}
	finish := func(err *kerr.Error) {
		for i := range answers {
			if err != nil && answers[i] == nil {
				answers[i] = err
			}
		}
		done(answers)
	}
	if len(gone) == 0 {
		finish(nil)
		return
	}
	t.depart(gone, finish)
}

func (cg *consumerGroup) leaverOf(l *kmsg.LeaveGroupRequestMember) (*consumer, *kerr.Error) {
	m := cg.members[l.MemberID]
	if l.InstanceID != nil {
		m = cg.static[*l.InstanceID]
	}
	switch {
	case m == nil:
		return nil, kerr.UnknownMemberID
	case l.InstanceID != nil && l.MemberID != "" && l.MemberID != m.id:
		return nil, kerr.FencedInstanceID
	}
	return m, nil
}

// classicAssignment is what a member has, in the words of the classic consumer.
func (g *group) classicAssignment(m *consumer) []byte {
	var a kmsg.ConsumerMemberAssignment
	a.Default()
	if said, err := readSubscription(m.classic.Protocols[0].Metadata); err == nil {
		a.Version = min(max(said.Version, 0), 3)
	}
	for i := range m.assigned {
		if t, ok := g.c.cluster.TopicByID(m.assigned[i].ID); ok {
			a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: t.Name, Partitions: m.assigned[i].Partitions})
		}
	}
	return a.AppendTo(nil)
}
