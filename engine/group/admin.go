package group

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Describe answers the part of a DescribeGroups that is about one group. One that does
// not exist is Dead, which version 6 also calls an error. The caller fills in what the
// client may do.
func (c *Coordinator) Describe(_ time.Time, name string, version int16, reply func(*kmsg.DescribeGroupsResponseGroup)) {
	r := kmsg.NewDescribeGroupsResponseGroup()
	r.Group = name
	g := c.groups[name]
	switch err := c.refusal(); {
	case err != nil:
		r.ErrorCode = err.Code
	case g == nil || g.consumer != nil: // members of the one kind mean nothing to tools for the other
		r.State = dead.String()
		if version >= 6 {
			text := fmt.Sprintf("Group %s not found.", name)
			if g != nil {
				text = fmt.Sprintf("Group %s is not a classic group.", name)
			}
			r.ErrorCode, r.ErrorMessage = kerr.GroupIDNotFound.Code, &text
		}
	default:
		g.describe(&r)
	}
	reply(&r)
}

func (g *group) describe(r *kmsg.DescribeGroupsResponseGroup) {
	r.State, r.ProtocolType = g.state.String(), g.protocolType
	if g.state == stable {
		r.Protocol = *g.protocol
	}
	for _, m := range g.members {
		d := kmsg.NewDescribeGroupsResponseGroupMember()
		d.MemberID, d.InstanceID, d.ClientID, d.ClientHost = m.id, m.instance, m.client.ID, m.client.Host
		d.ProtocolMetadata, d.MemberAssignment = []byte{}, notNil(m.assignment)
		if g.state == stable { // while that changes, it means nothing
			d.ProtocolMetadata, _ = m.supports(*g.protocol)
		}
		r.Members = append(r.Members, d)
	}
}

// List answers this coordinator's part of a ListGroups: groups in the wanted states and
// of the wanted types, without regard to case; an empty filter wants all.
func (c *Coordinator) List(_ time.Time, q *kmsg.ListGroupsRequest, reply func([]kmsg.ListGroupsResponseGroup, *kerr.Error)) {
	if err := c.refusal(); err != nil {
		reply(nil, err)
		return
	}
	states, types := anyOf(q.StatesFilter), anyOf(q.TypesFilter)
	var listed []kmsg.ListGroupsResponseGroup
	for _, g := range c.sorted() {
		kind := "classic"
		if g.consumer != nil {
			kind = "consumer"
		}
		if states(g.state.String()) && types(kind) {
			listed = append(listed, kmsg.ListGroupsResponseGroup{
				Group: g.name, ProtocolType: g.protocolType, GroupState: g.state.String(), GroupType: kind,
			})
		}
	}
	reply(listed, nil)
}

// anyOf reads a filter once, however long it is, for all groups that are to pass it.
func anyOf(filter []string) (wants func(value string) bool) {
	if len(filter) == 0 {
		return func(string) bool { return true }
	}
	wanted := make(map[string]bool, len(filter))
	for _, f := range filter {
		wanted[strings.ToLower(strings.TrimSpace(f))] = true
	}
	return func(value string) bool { return wanted[strings.ToLower(value)] }
}

// Delete answers the part of a DeleteGroups that is about one group: it goes, with its
// offsets, if it has no members.
func (c *Coordinator) Delete(_ time.Time, name string, reply func(*kmsg.DeleteGroupsResponseGroup)) {
	answer := func(err *kerr.Error) {
		r := kmsg.NewDeleteGroupsResponseGroup()
		r.Group, r.ErrorCode = name, code(err)
		reply(&r)
	}
	g, err := c.deletable(name)
	switch {
	case err != nil:
		answer(err)
		return
	case g.state != empty:
		answer(kerr.NonEmptyGroup)
		return
	}
	g.clearPending() // they will be told that nobody knows them
	g.appendTombstones(g.everything(), func(err error) {
		if err != nil {
			answer(asError(err))
			return
		}
		answer(nil)
	})
}

func (c *Coordinator) deletable(name string) (*group, *kerr.Error) {
	if err := c.refusal(); err != nil {
		return nil, err
	}
	g := c.groups[name]
	if g == nil || g.deleting {
		return nil, kerr.GroupIDNotFound
	}
	return g, nil
}

// everything returns the removal of all offsets, also of those on their way.
func (g *group) everything() []change {
	var all []change
	for _, t := range g.sortedTopics() {
		for _, p := range t.sorted() {
			all = append(all, change{t.name, p, nil})
		}
	}
	return all
}

// DeleteOffsets answers an OffsetDelete: offsets of topics that no member subscribes to go.
func (c *Coordinator) DeleteOffsets(now time.Time, q *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	fail := func(err *kerr.Error) {
		r := kmsg.NewPtrOffsetDeleteResponse()
		r.ErrorCode = err.Code
		reply(r)
	}
	if err := c.refusalOf(q.Group); err != nil {
		fail(err)
		return
	}
	g, err := c.deletable(q.Group)
	switch {
	case err != nil:
		fail(err)
		return
	case g.state != empty && g.protocolType != consumerType:
		fail(kerr.NonEmptyGroup) // what its members use cannot be told
		return
	}
	r := kmsg.NewPtrOffsetDeleteResponse()
	gone := g.deleteOffsets(q, r)
	if len(gone) == 0 {
		reply(r)
		return
	}
	g.appendChanges(gone, nil, func(err error) {
		if err != nil {
			fail(asError(err))
			return
		}
		g.goneSoon(now)
		reply(r)
	})
}

func (g *group) deleteOffsets(q *kmsg.OffsetDeleteRequest, r *kmsg.OffsetDeleteResponse) []change {
	var gone []change
	for i := range q.Topics {
		name := q.Topics[i].Topic
		t := kmsg.OffsetDeleteResponseTopic{Topic: name}
		for j := range q.Topics[i].Partitions {
			p := kmsg.OffsetDeleteResponseTopicPartition{Partition: q.Topics[i].Partitions[j].Partition}
			if g.subscribes(name) {
				p.ErrorCode = kerr.GroupSubscribedToTopic.Code
			} else if g.offsets[name] != nil {
				if _, ok := g.offsets[name].partitions[p.Partition]; ok {
					gone = append(gone, change{name, p.Partition, nil})
				}
			}
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	return gone
}

// DropTopic removes the offsets of a topic that was deleted from every group. done is
// called once they are gone, or with the reason why some are not; it may be nil.
func (c *Coordinator) DropTopic(now time.Time, name string, done func(error)) {
	c.dropOffsets(now, func(g *group) []string {
		if g.offsets[name] == nil {
			return nil
		}
		return []string{name}
	}, done)
}

// DropGone removes the offsets of topics that do not exist: a crash may have come between the deletion of a topic
// and that of its offsets, and under the same name a new topic would be read from where the old one was left.
func (c *Coordinator) DropGone(now time.Time) {
	if _, blind := c.cluster.(noCluster); blind {
		return // nobody has shown it any topics
	}
	c.dropOffsets(now, func(g *group) (gone []string) {
		for name := range g.offsets {
			if _, ok := c.cluster.Topic(name); !ok {
				gone = append(gone, name)
			}
		}
		slices.Sort(gone)
		return gone
	}, nil)
}

// dropOffsets removes those of the topics that gone names for each group.
func (c *Coordinator) dropOffsets(now time.Time, gone func(*group) []string, done func(error)) {
	open, first := 1, error(nil)
	finish := func(err error) {
		if first == nil {
			first = err
		}
		if open--; open == 0 && done != nil {
			done(first)
		}
	}
	if err := c.refusal(); err != nil {
		finish(err)
		return
	}
	for _, g := range c.sorted() {
		var changes []change
		for _, name := range gone(g) {
			for _, p := range g.offsets[name].sorted() {
				changes = append(changes, change{name, p, nil})
			}
		}
		if len(changes) == 0 {
			continue
		}
		open++
		g.appendChanges(changes, nil, func(err error) {
			g.goneSoon(now)
			finish(err)
		})
	}
	finish(nil)
}

// goneSoon lets a group that lost its last offset be looked at: it may be gone itself.
func (g *group) goneSoon(now time.Time) {
	if g.c.closed == nil && len(g.offsets) == 0 && g.state == empty {
		g.expireBy(now.UnixMilli() + g.c.checkInterval)
	}
}
