package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// without is the scene with something that does not exist in the place of what a right is about.
func (s scene) without(r right, missing string) scene {
	switch r.name {
	case theTopic:
		s.topic = subject{name: missing}
	case theGroup:
		s.group = missing
	case theID:
		s.id = missing
	default:
		s.new = missing
	}
	return s
}

// raw asks a line's question and answers the bytes behind the correlation id.
func (l *line) raw(s *scene) []byte {
	s.client.t.Helper()
	s.client.send(l.version, l.ask(s))
	body, err := s.client.receive()
	if err != nil {
		s.client.t.Fatal(err)
	}
	return body[4:]
}

// unmade is the matrix but for the lines that make what they ask about, which are there as they would be without.
func unmade() (lines []line) {
	for _, l := range matrix() {
		makes := l.key == 20 || l.key == 47 || l.key == 9 && l.what == "all"
		if !makes && !strings.Contains(l.what, "by id") { // an id tells nothing: nobody guesses one
			lines = append(lines, l)
		}
	}
	return append(lines,
		lineOf(20, 5, "", needs(topicNeed(sdk.OperationDelete, newTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDeleteTopicsRequest()
			q.TopicNames, q.TimeoutMillis = []string{s.new}, 5000
			return q
		}, func(_ *scene, a *kmsg.DeleteTopicsResponse) []int16 { return []int16{a.Topics[0].ErrorCode} }),
		lineOf(47, 0, "", needs(groupNeed(sdk.OperationDelete, theGroup), topicNeed(sdk.OperationRead, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrOffsetDeleteRequest()
			t := kmsg.NewOffsetDeleteRequestTopic()
			t.Topic = s.topic.name
			t.Partitions = append(t.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
			q.Group, q.Topics = s.group, append(q.Topics, t)
			return q
		}, func(_ *scene, a *kmsg.OffsetDeleteResponse) []int16 {
			if a.ErrorCode != 0 {
				return []int16{a.ErrorCode}
			}
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}))
}

// What somebody may not see looks like what does not exist: each request of the matrix, with all rights but one, has the
// same answer to the byte whether that is about something that exists or not.
func TestDenialsDoNotTellWhatExists(t *testing.T) {
	address := guarded(t)
	base := unused(t)
	there := newScene(t, address)
	there.topic = there.admin.topicNamed(base+"-yes", 1)
	there.group, there.new = base+"-yes", base+"-yes"
	there.commit()
	there.id = base + "-yes"
	there.admin.transactor(there.id)
	there.admin.forgetRules()
	compared := 0
	for n, l := range unmade() {
		for i, denied := range l.needs {
			r := denied.any[0]
			if r.kind == sdk.ResourceCluster || grantsSame(l.needs, i) {
				continue
			}
			t.Run(fmt.Sprint(kmsg.NameForKey(l.key), "/", l.what, "/", r.kind), func(t *testing.T) {
				s := *there
				s.admin, s.client = s.admin.at(t), s.client.at(t)
				missing := s.without(r, fmt.Sprintf("%s%4d", base, 1000+n)) // as long as the other name
				for k, other := range l.needs {
					if k != i {
						s.admin.rule(acl.Allow, clientHost, s.resolve(other.any[0]))
					}
				}
				defer s.admin.forgetRules()
				if foreign() { // a Kafka learns of ACLs a moment later
					l.refused(&s, "without a right", denied.err)
				}
				yes, no := l.raw(&s), l.raw(&missing)
				no = bytes.ReplaceAll(no, fmt.Append(nil, base, 1000+n), []byte(base+"-yes"))
				if !bytes.Equal(yes, no) {
					t.Fatalf("what exists is answered\n%q, what does not exist\n%q", yes, no)
				}
			})
			compared++
		}
		there.admin, there.client = there.admin.at(t), there.client.at(t)
	}
	if compared < 30 {
		t.Fatalf("only %d answers were compared", compared)
	}
}

// grantsSame reports whether another right about the same resource is granted, by which it may be seen.
func grantsSame(all []need, i int) bool {
	for k, n := range all {
		if k != i && n.any[0].kind == all[i].any[0].kind && n.any[0].name == all[i].any[0].name {
			return true
		}
	}
	return false
}

// Denials are Kafka's beside the code, too: what is empty, what is null, and whose id is not said again.
func TestDenialsAreKafkasToTheLetter(t *testing.T) {
	address := guarded(t)
	dial(t, address).coordinated()
	p, name := dialFrom(t, clientHost, address), unused(t)
	join := ask[*kmsg.JoinGroupResponse](p, 5, joinRequest(name, "nobody", "range"))
	if want(t, "join", join.ErrorCode, kerr.GroupAuthorizationFailed); join.MemberID != "" {
		t.Errorf("the member %q is told", join.MemberID)
	}
	old := kmsg.NewPtrOffsetFetchRequest()
	old.Group, old.Topics = name, []kmsg.OffsetFetchRequestTopic{{Topic: name, Partitions: []int32{0}}}
	offset := ask[*kmsg.OffsetFetchResponse](p, 1, old).Topics[0].Partitions[0]
	if want(t, "fetch an offset", offset.ErrorCode, kerr.GroupAuthorizationFailed); offset.Metadata == nil {
		t.Error("the metadata of no offset is null, not empty")
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	create.Topics = append(create.Topics, topic)
	created := ask[*kmsg.CreateTopicsResponse](p, 5, create).Topics[0]
	if want(t, "create a topic", created.ErrorCode, kerr.TopicAuthorizationFailed); created.Configs == nil || *created.ErrorMessage != "Authorization failed." {
		t.Errorf("created: %+v", created)
	}
	q := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	q.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: name}}
	passwords := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](p, 0, q)
	if want(t, "passwords", passwords.ErrorCode, kerr.ClusterAuthorizationFailed); passwords.ErrorMessage != nil || len(passwords.Results) != 1 || passwords.Results[0].User != "" {
		t.Errorf("passwords: %+v", passwords)
	}
	quotas := ask[*kmsg.DescribeClientQuotasResponse](p, 1, kmsg.NewPtrDescribeClientQuotasRequest())
	if want(t, "quotas", quotas.ErrorCode, kerr.ClusterAuthorizationFailed); quotas.ErrorMessage != nil {
		t.Errorf("quotas: %q", *quotas.ErrorMessage)
	}
}

// Who may not find a coordinator is told so in Kafka's words, which librdkafka shows, and from version 4 on in none.
func TestCoordinatorsAreDeniedInKafkasWords(t *testing.T) {
	address := guarded(t)
	dial(t, address).coordinated()
	for kind, words := range []string{"Group authorization failed.", "Transactional Id authorization failed."} {
		q := kmsg.NewPtrFindCoordinatorRequest()
		q.CoordinatorKey, q.CoordinatorKeys, q.CoordinatorType = unused(t), []string{unused(t)}, int8(kind)
		p := dialFrom(t, clientHost, address)
		old, now := ask[*kmsg.FindCoordinatorResponse](p, 3, q), ask[*kmsg.FindCoordinatorResponse](p, 4, q).Coordinators[0]
		if old.ErrorMessage == nil || now.ErrorMessage == nil {
			t.Fatalf("told %v, and %v", old.ErrorMessage, now.ErrorMessage)
		}
		if *old.ErrorMessage != words || *now.ErrorMessage != "" {
			t.Errorf("told %q, and %q, want %q and none", *old.ErrorMessage, *now.ErrorMessage, words)
		}
	}
}

// Who may not read a topic does not have the broker open it: how long that takes would tell that it exists.
func TestADeniedFetchOpensNothing(t *testing.T) {
	onlyOurs(t)
	folder, authorizer := t.TempDir(), "authorizer.class.name="+acl.StandardName
	b, err := begin(folder, authorizer, "super.users=User:ANONYMOUS")
	if err != nil {
		t.Fatal(err)
	}
	admin := dial(t, b.Addresses()[0])
	admin.administer()
	topic := admin.topic(1)
	want(t, "produce", admin.produce(9, topic, 0, records("1")).ErrorCode, nil)
	stop(t, b)
	b = start(t, folder, authorizer) // which has used nothing yet
	for _, replica := range []int32{-1, 7} {
		q := from(topic, 0, 0)
		q.ReplicaID = replica
		denied := ask[*kmsg.FetchResponse](dialFrom(t, clientHost, b.Addresses()[0]), 11, q)
		want(t, "fetch", denied.Topics[0].Partitions[0].ErrorCode, kerr.TopicAuthorizationFailed)
		if b.registry.Named(topic.name).Replica(0).Settled() {
			t.Fatal("the partition was opened")
		}
	}
	got := ask[*kmsg.FetchResponse](dial(t, b.Addresses()[0]), 11, from(topic, 0, 0))
	if p := got.Topics[0].Partitions[0]; p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
		t.Fatalf("who may read it has %+v", p)
	}
}
