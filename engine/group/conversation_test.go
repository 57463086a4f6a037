package group

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestConversations plays testdata: requests to one coordinator, and below each what it
// led to: replies, appended records. Appends are committed after each command, unless
// "hold" came before; then "commit" and "fail" end them, oldest first.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversations", func(t *testing.T, path string) {
		s := &talk{t: t}
		s.start(Options{InitialDelay: -1})
		datadriven.RunTest(t, path, s.run)
	})
}

// talk is one conversation.
type talk struct {
	t       *testing.T
	c       *Coordinator
	j       *journal
	o       Options
	now     time.Time
	ids     int
	held    bool
	picture *picture
	printed int // appends shown so far
	out     strings.Builder
}

func (s *talk) start(o Options) {
	s.o, s.now, s.j = o, time.UnixMilli(1_000_000_000), &journal{}
	s.picture = pictureOf(topicOf("t", 1, 4), topicOf("u", 2, 2))
	s.c = New(o, s.j)
	s.c.SetCluster(s.picture)
	s.c.Loaded(s.now)
}

func (s *talk) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *talk) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	s.out.Reset()
	verbs := map[string]func(*request){
		"options": s.options, "join": s.join, "sync": s.sync, "heartbeat": s.heartbeat, "leave": s.leave,
		"commit-offset": s.commitOffset, "fetch": s.fetch, "describe": s.describe, "list": s.list, "delete": s.remove,
		"delete-offsets": s.deleteOffsets, "drop-topic": s.dropTopic, "tick": s.tick, "hold": s.hold,
		"beat": s.beat, "describe-consumer": s.describeConsumer, "topics": s.topics, "settings": s.settings,
		"commit": s.commit, "fail": s.fail, "commit-in": s.commitIn, "end": s.end, "restart": s.restart, "close": s.close, "unloaded": s.unloaded, "loaded": s.loaded,
	}
	verb := verbs[d.Cmd]
	if verb == nil {
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	verb(&request{d: d})
	s.show()
	for !s.held && len(s.j.waiting) > 0 {
		s.j.settle(nil)
		s.show()
	}
	if err := s.c.Check(); err != nil {
		d.Fatalf(t, "after %s: %v", d.Cmd, err)
	}
	return s.out.String()
}

// show prints the appends that are new.
func (s *talk) show() {
	for _, w := range s.j.waiting {
		if w.number <= s.printed {
			continue
		}
		s.printed = w.number
		for _, r := range w.records {
			s.say("append %s", describeRecord(r))
		}
	}
}

// request reads the arguments of a command.
type request struct{ d *datadriven.TestData }

func (r *request) text(key, otherwise string) string {
	for _, a := range r.d.CmdArgs {
		if a.Key == key {
			return strings.Join(a.Vals, ",")
		}
	}
	return otherwise
}

func (r *request) optional(key string) *string {
	if !r.d.HasArg(key) {
		return nil
	}
	v := r.text(key, "")
	return &v
}

func (r *request) list(key string) []string {
	if !r.d.HasArg(key) {
		return nil
	}
	return strings.Split(r.text(key, ""), ",")
}

func (r *request) number(key string, otherwise int) int {
	v := otherwise
	if r.d.HasArg(key) {
		if _, err := fmt.Sscan(r.text(key, ""), &v); err != nil {
			panic(err)
		}
	}
	return v
}

func (r *request) millis(key string, otherwise time.Duration) int32 {
	return int32(r.duration(key, otherwise).Milliseconds())
}

func (r *request) duration(key string, otherwise time.Duration) time.Duration {
	if !r.d.HasArg(key) {
		return otherwise
	}
	d, err := time.ParseDuration(r.text(key, ""))
	if err != nil {
		panic(err)
	}
	return d
}

func (s *talk) options(r *request) {
	s.start(Options{
		InitialDelay: r.duration("initial-delay", -1), MaxSize: r.number("max-size", 0),
		MetadataMax: r.number("metadata-max", 0), AppendBytes: r.number("append-bytes", 0),
		Retention: r.duration("retention", 0), CheckInterval: r.duration("check", 0),
		ConsumerMaxSize: r.number("consumer-max-size", 0), Assignors: r.list("assignors"),
		Migration:          map[string]Migration{"": 0, "upgrade": MigrationUpgrade, "downgrade": MigrationDowngrade, "disabled": MigrationDisabled}[r.text("migration", "")],
		AssignmentInterval: Bounds{r.duration("assignment-interval", 0), 0, 15 * time.Second},
	})
	s.printed = 0
}

func (s *talk) join(r *request) {
	q := kmsg.NewPtrJoinGroupRequest()
	version := int16(r.number("version", 9))
	q.Group, q.MemberID, q.InstanceID = r.text("group", "g"), r.text("id", ""), r.optional("instance")
	q.ProtocolType = r.text("type", "consumer")
	q.SessionTimeoutMillis = r.millis("session", 10*time.Second)
	q.RebalanceTimeoutMillis = r.millis("rebalance", time.Minute)
	names := r.list("protocols")
	if names == nil {
		names = []string{"range"}
	}
	metadata := subscription(append([]string{}, r.list("topics")...)...)
	if r.d.HasArg("raw") {
		metadata = []byte(r.text("raw", ""))
	}
	q.Protocols = protocols(metadata, names...)
	who := r.text("as", or(q.MemberID, r.text("client", "c")))
	client := Client{r.text("client", "c"), "/" + "10.0.0.1"}
	uuid := func() string { s.ids++; return fmt.Sprint(s.ids) }
	s.c.Join(s.now, client, version, q, uuid, func(a *kmsg.JoinGroupResponse) {
		if a.ErrorCode != 0 {
			s.say("%s join: %s id=%q", who, codeName(a.ErrorCode), a.MemberID)
			return
		}
		line := fmt.Sprintf("%s join: ok id=%s generation=%d type=%s protocol=%s leader=%s", who, a.MemberID, a.Generation, text(a.ProtocolType), text(a.Protocol), a.LeaderID)
		if a.SkipAssignment {
			line += " skip-assignment"
		}
		for _, m := range a.Members {
			line += " [" + m.MemberID + " instance=" + text(m.InstanceID) + "]"
		}
		s.say("%s", line)
	})
}

func (s *talk) sync(r *request) {
	q := kmsg.NewPtrSyncGroupRequest()
	q.Version = int16(r.number("version", 5))
	q.Group, q.MemberID, q.InstanceID = r.text("group", "g"), r.text("id", ""), r.optional("instance")
	q.Generation = int32(r.number("generation", 1))
	if q.Version >= 5 && !r.d.HasArg("bare") {
		protocolType, name := r.text("type", "consumer"), r.text("protocol", "range")
		q.ProtocolType, q.Protocol = &protocolType, &name
	}
	for _, a := range r.list("assign") {
		id, share, _ := strings.Cut(a, ":")
		if bytes, err := strconv.Unquote(`"` + share + `"`); err == nil {
			share = bytes
		}
		q.GroupAssignment = append(q.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: []byte(share)})
	}
	who := r.text("as", q.MemberID)
	s.c.Sync(s.now, q, func(a *kmsg.SyncGroupResponse) {
		if a.ErrorCode != 0 {
			s.say("%s sync: %s", who, codeName(a.ErrorCode))
			return
		}
		s.say("%s sync: ok assignment=%q protocol=%s", who, a.MemberAssignment, text(a.Protocol))
	})
}

func (s *talk) heartbeat(r *request) {
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.MemberID, q.InstanceID = r.text("group", "g"), r.text("id", ""), r.optional("instance")
	q.Generation = int32(r.number("generation", 1))
	s.c.Heartbeat(s.now, q, func(a *kmsg.HeartbeatResponse) { s.say("%s heartbeat: %s", q.MemberID, codeName(a.ErrorCode)) })
}

func (s *talk) leave(r *request) {
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Version = int16(r.number("version", 5))
	q.Group, q.MemberID = r.text("group", "g"), r.text("id", "")
	for _, id := range r.list("ids") {
		q.Members = append(q.Members, kmsg.LeaveGroupRequestMember{MemberID: id})
	}
	for _, instance := range r.list("instances") {
		q.Members = append(q.Members, kmsg.LeaveGroupRequestMember{InstanceID: &instance})
	}
	if q.Version >= 3 && q.MemberID != "" {
		q.Members = append(q.Members, kmsg.LeaveGroupRequestMember{MemberID: q.MemberID, InstanceID: r.optional("instance")})
	}
	s.c.Leave(s.now, q, func(a *kmsg.LeaveGroupResponse) {
		line := "leave: " + codeName(a.ErrorCode)
		for _, m := range a.Members {
			line += fmt.Sprintf(" [%s instance=%s %s]", m.MemberID, text(m.InstanceID), codeName(m.ErrorCode))
		}
		s.say("%s", line)
	})
}

func (s *talk) commitOffset(r *request) {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version = int16(r.number("version", 9))
	q.Group, q.MemberID, q.InstanceID = r.text("group", "g"), r.text("id", ""), r.optional("instance")
	q.Generation = int32(r.number("generation", -1))
	q.RetentionTimeMillis = r.duration("retention", -time.Millisecond).Milliseconds()
	for _, name := range r.list("topics") {
		t := kmsg.OffsetCommitRequestTopic{Topic: name, TopicID: topicID(r)}
		for p := range r.number("partitions", 1) {
			c := kmsg.NewOffsetCommitRequestTopicPartition()
			c.Partition, c.Offset, c.Metadata = int32(p), int64(r.number("offset", 5)), r.optional("metadata")
			t.Partitions = append(t.Partitions, c)
		}
		q.Topics = append(q.Topics, t)
	}
	s.c.Commit(s.now, q, func(a *kmsg.OffsetCommitResponse) {
		line := "commit-offset:"
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s-%d %s", t.Topic, p.Partition, codeName(p.ErrorCode))
			}
		}
		s.say("%s", line)
	})
}

// commitIn commits an offset in the transaction of a producer.
func (s *talk) commitIn(r *request) {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.MemberID, q.InstanceID = 9, r.text("group", "g"), r.text("id", ""), r.optional("instance")
	q.Generation = int32(r.number("generation", -1))
	for _, name := range r.list("topics") {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset = int64(r.number("offset", 5))
		q.Topics = append(q.Topics, kmsg.OffsetCommitRequestTopic{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	s.c.CommitIn(s.now, Transaction{ID: "x", ProducerID: int64(r.number("producer", 1))}, q, func(a *kmsg.OffsetCommitResponse) {
		for _, t := range a.Topics {
			s.say("commit-in: %s-0 %s", t.Topic, codeName(t.Partitions[0].ErrorCode))
		}
	})
}

func (s *talk) end(r *request) {
	s.j.end(s.c, int64(r.number("producer", 1)), r.d.HasArg("committed"))
}

func topicID(r *request) (id [16]byte) {
	id[15] = byte(r.number("topic-id", 0))
	return id
}

func (s *talk) fetch(r *request) {
	q := kmsg.NewOffsetFetchRequestGroup()
	q.Group = r.text("group", "g")
	if q.MemberID = r.optional("id"); q.MemberID != nil {
		q.MemberEpoch = int32(r.number("epoch", 1))
	}
	for _, name := range r.list("topics") {
		t := kmsg.OffsetFetchRequestGroupTopic{Topic: name, TopicID: topicID(r)}
		for p := range r.number("partitions", 1) {
			t.Partitions = append(t.Partitions, int32(p))
		}
		q.Topics = append(q.Topics, t)
	}
	s.c.Fetch(s.now, &q, r.d.HasArg("stable"), func(a *kmsg.OffsetFetchResponseGroup) {
		line := "fetch: " + codeName(a.ErrorCode)
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s-%d=%d", t.Topic, p.Partition, p.Offset)
				if p.ErrorCode != 0 {
					line += " " + codeName(p.ErrorCode)
				}
				if *p.Metadata != "" {
					line += fmt.Sprintf("(%s)", *p.Metadata)
				}
			}
		}
		s.say("%s", line)
	})
}

func (s *talk) describe(r *request) {
	s.c.Describe(s.now, r.text("group", "g"), int16(r.number("version", 6)), func(a *kmsg.DescribeGroupsResponseGroup) {
		s.say("describe: %s %s type=%q protocol=%q message=%s", codeName(a.ErrorCode), a.State, a.ProtocolType, a.Protocol, text(a.ErrorMessage))
		for _, m := range a.Members {
			s.say("  %s instance=%s client=%s host=%s metadata=%d bytes assignment=%q", m.MemberID, text(m.InstanceID), m.ClientID, m.ClientHost, len(m.ProtocolMetadata), m.MemberAssignment)
		}
	})
}

func (s *talk) list(r *request) {
	q := kmsg.NewPtrListGroupsRequest()
	q.StatesFilter, q.TypesFilter = r.list("states"), r.list("types")
	s.c.List(s.now, q, func(groups []kmsg.ListGroupsResponseGroup, err *kerr.Error) {
		s.say("list: %s", codeName(code(err)))
		for _, g := range groups {
			s.say("  %s type=%q %s %s", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
		}
	})
}

func (s *talk) remove(r *request) {
	s.c.Delete(s.now, r.text("group", "g"), func(a *kmsg.DeleteGroupsResponseGroup) { s.say("delete %s: %s", a.Group, codeName(a.ErrorCode)) })
}

func (s *talk) deleteOffsets(r *request) {
	q := kmsg.NewPtrOffsetDeleteRequest()
	q.Group = r.text("group", "g")
	for _, name := range r.list("topics") {
		t := kmsg.OffsetDeleteRequestTopic{Topic: name}
		for p := range r.number("partitions", 1) {
			t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: int32(p)})
		}
		q.Topics = append(q.Topics, t)
	}
	s.c.DeleteOffsets(s.now, q, func(a *kmsg.OffsetDeleteResponse) {
		line := "delete-offsets: " + codeName(a.ErrorCode)
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s-%d %s", t.Topic, p.Partition, codeName(p.ErrorCode))
			}
		}
		s.say("%s", line)
	})
}

func (s *talk) dropTopic(r *request) {
	s.c.DropTopic(s.now, r.text("topic", "t"), func(err error) { s.say("drop-topic: %v", err) })
}

// tick lets time pass, stopping wherever the coordinator wants to be woken.
func (s *talk) tick(r *request) {
	until := s.now.Add(r.duration("by", 0))
	begin := s.now
	for {
		next := s.c.NextTick()
		if next.IsZero() || next.After(until) {
			break
		}
		s.now = next
		before := s.out.Len()
		s.c.Tick(s.now)
		s.show()
		for !s.held && len(s.j.waiting) > 0 {
			s.j.settle(nil)
			s.show()
		}
		if s.out.Len() > before {
			s.say("  after %v", s.now.Sub(begin))
		}
	}
	s.now = until
}

func (s *talk) hold(*request)   { s.held = true }
func (s *talk) commit(*request) { s.held = false }

// fail ends the oldest held append without success.
func (s *talk) fail(r *request) {
	err := fmt.Errorf("disk is gone")
	if r.d.HasArg("error") {
		err = fmt.Errorf("append: %w", map[string]error{
			"NOT_ENOUGH_REPLICAS": kerr.NotEnoughReplicas, "NOT_LEADER": kerr.NotLeaderForPartition,
			"MESSAGE_TOO_LARGE": kerr.MessageTooLarge,
		}[r.text("error", "")])
	}
	s.j.settle(err)
	s.held = len(s.j.waiting) > 0
}

func (s *talk) restart(r *request) {
	s.o.MaxSize = r.number("max-size", s.o.MaxSize)
	s.c.Close(nil)
	s.j.waiting = nil
	s.c = s.j.replayedIn(s.t, s.o, s.now, s.picture)
}

func (s *talk) close(*request) { s.c.Close(nil) }

func (s *talk) unloaded(*request) { s.c = New(s.o, s.j) }
func (s *talk) loaded(*request)   { s.c.Loaded(s.now) }
