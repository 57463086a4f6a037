package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// picky is an authorizer as a plugin: it allows everything but topics whose names begin with
// a prefix, and panics when it is asked for others.
type picky struct{ prefix, fatal string }

func (p *picky) Allowed(_ *sdk.Requester, a sdk.Action) bool {
	if p.fatal != "" && strings.HasPrefix(a.Name, p.fatal) {
		panic("a mistake of the plugin's")
	}
	return a.Type != sdk.ResourceTopic || !strings.HasPrefix(a.Name, p.prefix)
}

func (*picky) AllowedAny(*sdk.Requester, sdk.Operation, sdk.ResourceType) bool { panic("another") }

func init() {
	sdk.Authorizers.Register("picky", func(c sdk.Config) (sdk.Authorizer, error) {
		return &picky{c.String("prefix", "secret"), c.String("fatal", "")}, nil
	})
}

func TestWithoutAnAuthorizerThereAreNoACLs(t *testing.T) {
	p := dialed(t)
	d := kmsg.NewPtrDescribeACLsRequest()
	d.ResourceType, d.Operation, d.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, acl.AnyPermission
	said := func(what string, code int16, message *string, words string) { // as Apache Kafka 4.3.1 words them
		t.Helper()
		want(t, what, code, kerr.SecurityDisabled)
		if message == nil {
			t.Errorf("%s: there is no message", what)
		} else if *message != words {
			t.Errorf("%s: the message is %q, want %q", what, *message, words)
		}
	}
	described := ask[*kmsg.DescribeACLsResponse](p, 2, d)
	said("describe", described.ErrorCode, described.ErrorMessage, "No Authorizer is configured on the broker")
	c := kmsg.NewPtrCreateACLsRequest()
	c.Creations = append(c.Creations, creation(acl.Allow, clientHost, clusterRight(sdk.OperationAlter)))
	created := ask[*kmsg.CreateACLsResponse](p, 2, c).Results[0]
	said("create", created.ErrorCode, created.ErrorMessage, "No Authorizer is configured.")
	r := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.Operation, f.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, acl.AnyPermission
	r.Filters = append(r.Filters, f)
	deleted := ask[*kmsg.DeleteACLsResponse](p, 2, r).Results[0]
	said("delete", deleted.ErrorCode, deleted.ErrorMessage, "No Authorizer is configured.")
}

func TestWhatABrokerRefusesToStartWith(t *testing.T) {
	for name, test := range map[string]struct {
		settings []string
		want     string
	}{
		"a class":              {[]string{"authorizer.class.name=com.example.Authorizer"}, "there is no authorizer of that name (there are: " + acl.StandardName + ", picky)"},
		"that of ZooKeeper":    {[]string{"authorizer.class.name=kafka.security.authorizer.AclAuthorizer"}, "kept its ACLs in ZooKeeper; use " + acl.StandardName},
		"no principal":         {[]string{"authorizer.class.name=" + acl.StandardName, "super.users=alice"}, `"alice" is no principal`},
		"a setting misspelt":   {[]string{"authorizer.class.name=picky", "plugin.picky.config.prefx=a"}, `unknown setting "config.prefx"`},
		"a type that is not":   {[]string{"authorizer.class.name=mine", "plugin.mine.type=none"}, "there is no authorizer of that name"},
		"commas between users": {[]string{"authorizer.class.name=" + acl.StandardName, "super.users=User:a;b"}, `"b" is no principal`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := begin(t.TempDir(), test.settings...)
			if err == nil {
				stop(t, b)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("started with %v: %v, want an error with %s", test.settings, err, test.want)
			}
		})
	}
}

// lines collects what is logged.
type lines struct {
	guard sync.Mutex
	text  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.guard.Lock()
	defer l.guard.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.guard.Lock()
	defer l.guard.Unlock()
	return l.text.String()
}

// logged is a broker whose log is kept.
func logged(t *testing.T, overrides ...string) (*Broker, *lines) {
	t.Helper()
	settings, err := config.Parse("", "", append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "admin.listener="}, overrides...))
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	b, err := Start(Options{Settings: settings, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	return b, log
}

func TestAPluginAuthorizes(t *testing.T) {
	b, log := logged(t, "authorizer.class.name=house-rules", "plugin.house-rules.type=picky", "plugin.house-rules.config.fatal=fatal")
	p := dial(t, b.Addresses()[0])
	free := p.topic(1)
	p.put(free, 0, records("x"))
	want(t, "produce to what is denied", p.produce(9, subject{name: "secret-plans"}, 0, records("x")).ErrorCode, kerr.TopicAuthorizationFailed)
	for range 50 {
		want(t, "produce where the plugin panics", p.produce(9, subject{name: "fatal-topic"}, 0, records("x")).ErrorCode, kerr.TopicAuthorizationFailed)
	}
	p.alive()
	if n := strings.Count(log.String(), "the authorizer panicked"); n < 1 || n > 10 {
		t.Errorf("50 panics are logged in %d lines", n)
	}
	d := kmsg.NewPtrDescribeACLsRequest()
	d.ResourceType, d.Operation, d.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, acl.AnyPermission
	want(t, "ACLs of a plugin", ask[*kmsg.DescribeACLsResponse](p, 2, d).ErrorCode, kerr.SecurityDisabled)
}

func TestDenialsAreLoggedAndCounted(t *testing.T) {
	b, log := logged(t, "authorizer.class.name="+acl.StandardName)
	p := dial(t, b.Addresses()[0])
	for range 200 {
		want(t, "produce", p.produce(9, subject{name: "orders"}, 0, records("x")).ErrorCode, kerr.TopicAuthorizationFailed)
	}
	if n := b.metrics.Denials.Load(); n != 200 {
		t.Errorf("200 denials are counted as %d", n)
	}
	text := log.String()
	if !strings.Contains(text, "msg=denied principal=User:ANONYMOUS host=127.0.0.1 operation=WRITE resource=TOPIC:orders api=Produce") {
		t.Errorf("the log does not tell of the denial: %s", text)
	}
	if n := strings.Count(text, "msg=denied"); n > 100 {
		t.Errorf("200 denials are logged in %d lines", n)
	}
}

// TestRulesCountOnOpenConnections: a producer and a consumer that are denied, then allowed,
// then denied again, without connecting anew.
func TestRulesCountOnOpenConnections(t *testing.T) {
	address := guarded(t)
	admin, p := dial(t, address), dialFrom(t, clientHost, address)
	s := admin.topic(1)
	write, read := right{sdk.OperationWrite, sdk.ResourceTopic, s.name}, right{sdk.OperationRead, sdk.ResourceTopic, s.name}
	until := func(what string, expected *kerr.Error, code func() int16) {
		t.Helper()
		for end := time.Now().Add(patience); foreign() && time.Now().Before(end); {
			if wanted := int16(0); expected == nil && code() == wanted || expected != nil && code() == expected.Code {
				return
			}
		}
		want(t, what, code(), expected)
	}
	produced := func() int16 { return p.produce(13, s, 0, records("x")).ErrorCode }
	fetched := func() int16 { return p.fetch(13, from(s, 0, 0)).ErrorCode }
	for range 2 {
		until("produce without a rule", kerr.TopicAuthorizationFailed, produced)
		until("fetch without a rule", kerr.TopicAuthorizationFailed, fetched)
		admin.rule(acl.Allow, clientHost, write)
		until("produce with a rule", nil, produced)
		until("fetch with another rule", kerr.TopicAuthorizationFailed, fetched)
		admin.rule(acl.Allow, clientHost, read)
		until("fetch with a rule", nil, fetched)
		admin.forgetRules()
	}
}

// TestAWaitingFetchEndsWithItsRight: data that comes after a right was taken away is not sent.
func TestAWaitingFetchEndsWithItsRight(t *testing.T) {
	onlyOurs(t)
	address := guarded(t)
	admin, p := dial(t, address), dialFrom(t, clientHost, address)
	s := admin.topic(1)
	admin.rule(acl.Allow, clientHost, right{sdk.OperationRead, sdk.ResourceTopic, s.name})
	q := from(s, 0, 0)
	q.MaxWaitMillis = 60_000
	p.send(13, q)
	waiting := p.last
	p.another() // the loop has seen the fetch, or will before what follows is answered
	admin.forgetRules()
	admin.put(s, 0, records("not for them"))
	a := expect[*kmsg.FetchResponse](p, 13, q, waiting).Topics[0].Partitions[0]
	want(t, "fetch", a.ErrorCode, kerr.TopicAuthorizationFailed)
	if len(a.RecordBatches) > 0 {
		t.Errorf("and %d bytes are sent", len(a.RecordBatches))
	}
}

// TestAuthorizedOperations asks for the bitmaps of KIP-430.
func TestAuthorizedOperations(t *testing.T) {
	address := guarded(t)
	s := newScene(t, address)
	bits := func(ops ...sdk.Operation) (all int32) {
		for _, op := range ops {
			all |= 1 << op
		}
		return all
	}
	for name, test := range map[string]struct {
		rights                []right
		topic, group, cluster int32
	}{
		"none": {nil, notAsked, notAsked, 0},
		"some": {[]right{{sdk.OperationWrite, sdk.ResourceTopic, s.topic.name}, {sdk.OperationRead, sdk.ResourceGroup, s.group}, clusterRight(sdk.OperationCreate)},
			bits(sdk.OperationWrite, sdk.OperationDescribe), bits(sdk.OperationRead, sdk.OperationDescribe), 0},
		"all": {[]right{{sdk.OperationAll, sdk.ResourceTopic, acl.Wildcard}, {sdk.OperationAll, sdk.ResourceGroup, acl.Wildcard}, clusterRight(sdk.OperationAll)},
			0b110111111000, 0b110101001000, 0b1111110100000},
		"alter": {[]right{{sdk.OperationDescribe, sdk.ResourceTopic, s.topic.name}, {sdk.OperationAlterConfigs, sdk.ResourceTopic, s.topic.name}, {sdk.OperationDelete, sdk.ResourceGroup, s.group}, clusterRight(sdk.OperationAlter)},
			bits(sdk.OperationAlterConfigs, sdk.OperationDescribeConfigs, sdk.OperationDescribe), bits(sdk.OperationDelete, sdk.OperationDescribe), bits(sdk.OperationAlter, sdk.OperationDescribe)},
	} {
		t.Run(name, func(t *testing.T) {
			s.admin, s.client = s.admin.at(t), s.client.at(t)
			s.admin.forgetRules()
			for _, r := range test.rights {
				s.admin.rule(acl.Allow, clientHost, r)
			}
			compare := func(what string, expected int32, told func() int32) {
				t.Helper()
				got := told()
				for end := time.Now().Add(patience); foreign() && got != expected && time.Now().Before(end); {
					got = told()
				}
				if got != expected {
					t.Errorf("%s: %b, want %b", what, got, expected)
				}
			}
			compare("topic", test.topic, func() int32 {
				q := kmsg.NewPtrMetadataRequest()
				one := kmsg.NewMetadataRequestTopic()
				one.Topic = &s.topic.name
				q.Topics, q.IncludeTopicAuthorizedOperations = append(q.Topics, one), true
				return ask[*kmsg.MetadataResponse](s.client, 9, q).Topics[0].AuthorizedOperations
			})
			compare("group", test.group, func() int32 {
				q := kmsg.NewPtrDescribeGroupsRequest()
				q.Groups, q.IncludeAuthorizedOperations = []string{s.group}, true
				return ask[*kmsg.DescribeGroupsResponse](s.client, 5, q).Groups[0].AuthorizedOperations
			})
			compare("cluster in Metadata", test.cluster, func() int32 {
				q := kmsg.NewPtrMetadataRequest()
				q.Topics, q.IncludeClusterAuthorizedOperations = []kmsg.MetadataRequestTopic{}, true
				return ask[*kmsg.MetadataResponse](s.client, 9, q).AuthorizedOperations
			})
			compare("cluster", test.cluster, func() int32 {
				q := kmsg.NewPtrDescribeClusterRequest()
				q.IncludeClusterAuthorizedOperations = true
				return ask[*kmsg.DescribeClusterResponse](s.client, 0, q).ClusterAuthorizedOperations
			})
		})
		s.admin, s.client = s.admin.at(t), s.client.at(t)
	}
}

// TestPatternsFindWhatAMemberMaySee: a regular expression of a consumer group finds no topic
// that the member may not describe, and finds it once it may.
func TestPatternsFindWhatAMemberMaySee(t *testing.T) {
	onlyOurs(t)
	address := guarded(t)
	admin, p := dial(t, address), dialFrom(t, clientHost, address)
	admin.coordinated()
	group := unused(t)
	seen, unseen := admin.topicNamed("shown-"+group, 1), admin.topicNamed("hidden-"+group, 1)
	admin.rule(acl.Allow, clientHost, right{sdk.OperationRead, sdk.ResourceGroup, group})
	admin.rule(acl.Allow, clientHost, right{sdk.OperationDescribe, sdk.ResourceTopic, seen.name})
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Group, q.MemberID, q.RebalanceTimeoutMillis = group, "member", 60_000
	q.SubscribedTopicRegex, q.Topics = kmsg.StringPtr(".*"+group), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	a := ask[*kmsg.ConsumerGroupHeartbeatResponse](p, 1, q)
	want(t, "join", a.ErrorCode, nil)
	if a.Assignment == nil || len(a.Assignment.Topics) != 1 || a.Assignment.Topics[0].TopicID != seen.id {
		t.Fatalf("assigned is %+v, want %s alone", a.Assignment, seen.name)
	}
	admin.rule(acl.Allow, clientHost, right{sdk.OperationDescribe, sdk.ResourceTopic, unseen.name})
	for end := time.Now().Add(patience); time.Now().Before(end); { // a new target comes with the interval of assignments
		q.MemberEpoch, q.SubscribedTopicRegex = a.MemberEpoch, nil
		q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: seen.id, Partitions: []int32{0}}}
		a = ask[*kmsg.ConsumerGroupHeartbeatResponse](p, 1, q)
		want(t, "heartbeat", a.ErrorCode, nil)
		if a.Assignment != nil && len(a.Assignment.Topics) == 2 {
			return
		}
	}
	t.Fatalf("%s may be described now, and is not assigned", unseen.name)
}

// TestClientsSeeDenials has a client that others wrote be denied, and go on once it may.
func TestClientsSeeDenials(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "authorizer.class.name="+acl.StandardName, "super.users=User:ANONYMOUS")
	admin := dial(t, b.Addresses()[0])
	s := admin.topic(1)
	admin.rule(acl.Allow, administratorHost, right{sdk.OperationDescribe, sdk.ResourceTopic, s.name})
	p := dial(t, b.Addresses()[0])
	want(t, "produce as a super user", p.produce(13, s, 0, records("x")).ErrorCode, nil)

	other := start(t, t.TempDir(), "authorizer.class.name="+acl.StandardName)
	c := client(t, other, kgo.RecordRetries(0))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.Fatal(fmt.Errorf("produce without a rule: %w", err))
	}
}
