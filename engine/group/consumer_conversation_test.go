package group

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// Commands about consumer groups. Partitions are written "t:0,1;u:2".

func (s *talk) partitions(text string) assign.Assignment {
	var topics []assign.Topic
	for part := range strings.SplitSeq(text, ";") {
		name, list, _ := strings.Cut(part, ":")
		t, ok := s.picture.Topic(name)
		if !ok {
			continue
		}
		one := assign.Topic{ID: t.ID}
		for p := range strings.SplitSeq(list, ",") {
			var n int32
			_, err := fmt.Sscan(p, &n)
			must(err)
			one.Partitions = append(one.Partitions, n)
		}
		topics = append(topics, one)
	}
	return assign.Of(topics)
}

// showPartitions prints an assignment; a topic is told by the number in its id.
func showPartitions(a assign.Assignment) string {
	var out []string
	for i := range a {
		text := fmt.Sprintf("%d:%v", a[i].ID[15], a[i].Partitions)
		if a[i].Epochs != nil {
			text += fmt.Sprintf("since%v", a[i].Epochs)
		}
		out = append(out, text)
	}
	return "{" + strings.Join(out, " ") + "}"
}

func (s *talk) topics(r *request) {
	s.picture = pictureOf()
	for i, name := range []string{"t", "u", "v", "tt"} {
		if n := r.number(name, 0); n > 0 {
			s.picture.topics[name] = topicOf(name, i+1+r.number("ids", 0), n)
		}
	}
	s.c.SetCluster(s.picture)
}

func (s *talk) settings(r *request) {
	next := &picture{topics: s.picture.topics, settings: map[string]GroupSettings{
		r.text("group", "g"): {Session: r.duration("session", 0), Heartbeat: r.duration("heartbeat", 0), AssignmentInterval: r.duration("assignment-interval", 0)},
	}}
	s.picture = next
	s.c.SetCluster(next)
}

func (s *talk) beat(r *request) {
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version = int16(r.number("version", 1))
	q.Group, q.MemberID, q.MemberEpoch = r.text("group", "g"), r.text("id", ""), int32(r.number("epoch", 0))
	q.InstanceID, q.ServerAssignor, q.SubscribedTopicRegex = r.optional("instance"), r.optional("assignor"), r.optional("regex")
	q.SubscribedTopicNames = r.list("topics")
	if q.MemberEpoch == 0 || r.d.HasArg("rebalance") {
		q.RebalanceTimeoutMillis = r.millis("rebalance", time.Minute)
	}
	if r.d.HasArg("bare") {
		q.RebalanceTimeoutMillis = -1
	}
	if q.MemberEpoch == 0 && !r.d.HasArg("bare") || r.d.HasArg("owned") {
		q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range s.partitions(r.text("owned", "")) {
			q.Topics = append(q.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.ID, Partitions: t.Partitions})
		}
	}
	who := or(q.MemberID, "nameless")
	uuid := func() string { s.ids++; return fmt.Sprint("made-", s.ids) }
	s.c.ConsumerHeartbeat(s.now, Client{r.text("client", "c"), "/10.0.0.1"}, q, uuid, func(a *kmsg.ConsumerGroupHeartbeatResponse) {
		if a.ErrorCode != 0 {
			s.say("%s beat: %s %s", who, codeName(a.ErrorCode), text(a.ErrorMessage))
			return
		}
		line := fmt.Sprintf("%s beat: ok id=%s epoch=%d", who, text(a.MemberID), a.MemberEpoch)
		if a.HeartbeatIntervalMillis != 5000 && a.MemberEpoch >= 0 {
			line += fmt.Sprintf(" every %dms", a.HeartbeatIntervalMillis)
		}
		if a.Assignment != nil {
			line += " has " + showAnswer(a.Assignment)
		}
		s.say("%s", line)
	})
}

func showAnswer(a *kmsg.ConsumerGroupHeartbeatResponseAssignment) string {
	out := make(assign.Assignment, len(a.Topics))
	for i, t := range a.Topics {
		out[i] = assign.Topic{ID: t.TopicID, Partitions: t.Partitions}
	}
	return showPartitions(out)
}

func (s *talk) describeConsumer(r *request) {
	s.c.ConsumerDescribe(s.now, r.text("group", "g"), func(a *kmsg.ConsumerGroupDescribeResponseGroup) {
		if a.ErrorCode != 0 {
			s.say("describe-consumer: %s %s", codeName(a.ErrorCode), text(a.ErrorMessage))
			return
		}
		s.say("describe-consumer: %s epoch=%d assignment=%d assignor=%s", a.State, a.Epoch, a.AssignmentEpoch, a.AssignorName)
		for _, m := range a.Members {
			s.say("  %s type=%d instance=%s epoch=%d topics=%v regex=%s has=%s target=%s", m.MemberID, m.MemberType, text(m.InstanceID),
				m.MemberEpoch, m.SubscribedTopics, text(m.SubscribedTopicRegex), showNamed(m.Assignment), showNamed(m.TargetAssignment))
		}
	})
}

func showNamed(a kmsg.Assignment) string {
	var out []string
	for _, t := range a.TopicPartitions {
		out = append(out, fmt.Sprintf("%s:%v", t.Topic, t.Partitions))
	}
	return "{" + strings.Join(out, " ") + "}"
}

// describeConsumerRecord prints a record of a consumer group as a person would.
func describeConsumerRecord(r Record) string {
	k, known, err := record.ReadKey(r.Key)
	must(err)
	name := map[record.Kind]string{
		record.KindGroup: "epoch", record.KindMember: "member", record.KindTarget: "target epoch",
		record.KindTargetMember: "target", record.KindCurrent: "current", record.KindPattern: "pattern",
	}[k.Kind]
	if !known {
		return fmt.Sprintf("kind %d", k.Kind)
	}
	about := strings.TrimSpace(fmt.Sprintf("%s %s %s", name, k.Group, k.Of))
	if r.Value == nil {
		return about + " gone"
	}
	switch k.Kind {
	case record.KindGroup:
		var v record.Group
		must(v.Read(r.Value))
		return fmt.Sprintf("%s = %d", about, v.Epoch)
	case record.KindTarget:
		var v record.Target
		must(v.Read(r.Value))
		return fmt.Sprintf("%s = %d", about, v.Epoch)
	case record.KindTargetMember:
		var v record.TargetMember
		must(v.Read(r.Value))
		return fmt.Sprintf("%s = %s", about, showPartitions(v.Partitions))
	case record.KindPattern:
		var v record.Pattern
		must(v.Read(r.Value))
		return fmt.Sprintf("%s = %v", about, v.Topics)
	case record.KindMember:
		var v record.Member
		must(v.Read(r.Value))
		return fmt.Sprintf("%s = topics=%v regex=%s instance=%s assignor=%s classic=%t", about, v.Topics, text(v.Pattern), text(v.Instance), text(v.Assignor), v.Classic != nil)
	default:
		var v record.Current
		must(v.Read(r.Value))
		return fmt.Sprintf("%s = epoch=%d previous=%d %s assigned=%s revoking=%s", about, v.Epoch, v.Previous,
			[]string{"settled", "unrevoked", "unreleased"}[v.State], showPartitions(v.Assigned), showPartitions(v.Revoking))
	}
}
