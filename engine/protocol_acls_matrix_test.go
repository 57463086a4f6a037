package engine

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// The hosts of these tests. Nobody proves who they are, so that who may do what depends on
// where they come from: the administrator may do everything.
const (
	administratorHost = "127.0.0.1"
	clientHost        = "127.0.0.2"
	otherHost         = "127.0.0.9"
)

// dialFrom is a connection that comes from an address of this machine's.
func dialFrom(t testing.TB, host, address string) *peer {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newPeer(t, conn)
}

// guarded is a broker with the standard authorizer whose administrator has all rights by
// ACLs. A foreign broker has allow.everyone.if.no.acl.found=true, which means nothing once
// these are there.
func guarded(t testing.TB, overrides ...string) string {
	t.Helper()
	if foreign() {
		address := served(t)
		dial(t, address).administer()
		return address
	}
	folder := t.TempDir()
	overrides = append([]string{"authorizer.class.name=" + acl.StandardName}, overrides...)
	b, err := begin(folder, append([]string{"super.users=User:ANONYMOUS"}, overrides...)...)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, b.Addresses()[0]).administer()
	stop(t, b)
	return start(t, folder, overrides...).Addresses()[0] // and it knows them still
}

// administer gives all rights to whoever comes from the administrator's host.
func (p *peer) administer() {
	p.t.Helper()
	for _, one := range []sdk.ResourceType{sdk.ResourceTopic, sdk.ResourceGroup, sdk.ResourceTransactionalID} {
		p.rule(acl.Allow, administratorHost, right{sdk.OperationAll, one, acl.Wildcard})
	}
	p.rule(acl.Allow, administratorHost, clusterRight(sdk.OperationAll))
}

// right is what a rule is about.
type right struct {
	op   sdk.Operation
	kind sdk.ResourceType
	name string
}

func creation(permission acl.Permission, host string, r right) kmsg.CreateACLsRequestCreation {
	c := kmsg.NewCreateACLsRequestCreation()
	c.ResourceType, c.ResourceName, c.ResourcePatternType = kmsg.ACLResourceType(r.kind), r.name, acl.Literal
	c.Principal, c.Host, c.Operation, c.PermissionType = "User:ANONYMOUS", host, kmsg.ACLOperation(r.op), permission
	return c
}

// rule adds a rule about everybody who comes from a host.
func (p *peer) rule(permission acl.Permission, host string, r right) {
	p.t.Helper()
	q := kmsg.NewPtrCreateACLsRequest()
	q.Creations = append(q.Creations, creation(permission, host, r))
	for _, result := range ask[*kmsg.CreateACLsResponse](p, 2, q).Results {
		want(p.t, "create an ACL", result.ErrorCode, nil)
	}
}

// forgetRules removes all rules but the administrator's.
func (p *peer) forgetRules() {
	p.t.Helper()
	q := kmsg.NewPtrDeleteACLsRequest()
	for _, host := range []string{clientHost, otherHost} {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = kmsg.ACLResourceTypeAny, acl.AnyPattern, kmsg.ACLOperationAny, acl.AnyPermission
		f.Host = kmsg.StringPtr(host)
		q.Filters = append(q.Filters, f)
	}
	for _, result := range ask[*kmsg.DeleteACLsResponse](p, 2, q).Results {
		want(p.t, "delete ACLs", result.ErrorCode, nil)
	}
}

// need is one condition of a request: any of some rights, and what is answered without.
type need struct {
	any []right
	err *kerr.Error
}

// The names in rights that stand for those of a scene.
const (
	theTopic = "<topic>"
	newTopic = "<new topic>"
	theGroup = "<group>"
	newGroup = "<new group>"
	theID    = "<transactional id>"
)

func topicNeed(op sdk.Operation, name string) need {
	return need{[]right{{op, sdk.ResourceTopic, name}}, kerr.TopicAuthorizationFailed}
}

func groupNeed(op sdk.Operation, name string) need {
	return need{[]right{{op, sdk.ResourceGroup, name}}, kerr.GroupAuthorizationFailed}
}

func idNeed(op sdk.Operation) need {
	return need{[]right{{op, sdk.ResourceTransactionalID, theID}}, kerr.TransactionalIDAuthorizationFailed}
}

func clusterRight(op sdk.Operation) right { return right{op, sdk.ResourceCluster, sdk.ClusterName} }

func clusterNeed(op sdk.Operation) need {
	return need{[]right{clusterRight(op)}, kerr.ClusterAuthorizationFailed}
}

// or adds a right that is as good.
func (n need) or(r right) need {
	n.any = append(slices.Clone(n.any), r)
	return n
}

// leftOut is not an error of the protocol: what somebody may not see is not in the answer.
var leftOut = &kerr.Error{Code: -2, Message: "LEFT_OUT"}

func (n need) hidden() need {
	n.err = leftOut
	return n
}

// scene is what requests of the matrix are about.
type scene struct {
	admin, client *peer
	topic         subject
	group, id     string
	new           string // a name that is used for the first time
}

func (s *scene) resolve(r right) right {
	switch r.name {
	case theTopic:
		r.name = s.topic.name
	case newTopic, newGroup:
		r.name = s.new
	case theGroup:
		r.name = s.group
	case theID:
		r.name = s.id
	}
	return r
}

// line is one line of the matrix: a request, what it needs, in the order in which that is
// looked at, and where the answer says that something is missing.
type line struct {
	key, version int16
	what         string
	needs        []need
	ask          func(s *scene) kmsg.Request
	codes        func(s *scene, a kmsg.Response) []int16
}

// lineOf is a line whose answers are of the type A.
func lineOf[A kmsg.Response](key, version int16, what string, needs []need, ask func(s *scene) kmsg.Request, codes func(s *scene, a A) []int16) line {
	return line{key, version, what, needs, ask, func(s *scene, a kmsg.Response) []int16 { return codes(s, a.(A)) }}
}

func needs(all ...need) []need { return all }

// denial reports whether a code says that somebody may not do something.
func denial(code int16) bool {
	return slices.Contains([]int16{
		kerr.TopicAuthorizationFailed.Code, kerr.GroupAuthorizationFailed.Code, kerr.ClusterAuthorizationFailed.Code,
		kerr.TransactionalIDAuthorizationFailed.Code, kerr.SecurityDisabled.Code, leftOut.Code,
	}, code)
}

// answers asks, and tells the codes of the answer.
func (l *line) answers(s *scene) []int16 {
	s.client.t.Helper()
	a := ask[kmsg.Response](s.client, l.version, l.ask(s))
	codes := l.codes(s, a)
	if len(codes) == 0 {
		s.client.t.Fatalf("%s %s: the answer has nothing to judge it by: %+v", kmsg.NameForKey(l.key), l.what, a)
	}
	return codes
}

// refused asks and wants exactly that error, wherever the answer could have it.
func (l *line) refused(s *scene, when string, expected *kerr.Error) {
	s.client.t.Helper()
	var codes []int16
	for end := time.Now().Add(patience); ; {
		codes = l.answers(s)
		if !slices.ContainsFunc(codes, func(code int16) bool { return code != expected.Code }) {
			return
		}
		if !foreign() || time.Now().After(end) { // a Kafka learns of ACLs a moment later
			break
		}
	}
	for _, code := range codes {
		want(s.client.t, when, code, expected)
	}
}

// permitted asks and wants no denial.
func (l *line) permitted(s *scene, when string) {
	s.client.t.Helper()
	var codes []int16
	for end := time.Now().Add(patience); ; {
		codes = l.answers(s)
		if !slices.ContainsFunc(codes, denial) {
			return
		}
		if !foreign() || time.Now().After(end) {
			break
		}
	}
	s.client.t.Fatalf("%s: denied with %s", when, errorName(codes[slices.IndexFunc(codes, denial)]))
}

func (l *line) run(s *scene) {
	grant := func(all []need, which func(i int) right) {
		s.admin.forgetRules()
		s.new = unused(s.client.t)
		for i := range all {
			s.admin.rule(acl.Allow, clientHost, s.resolve(which(i)))
		}
	}
	first := func(i int) right { return l.needs[i].any[0] }
	grant(nil, nil)
	if len(l.needs) == 0 {
		l.permitted(s, "without any rule")
		return
	}
	l.refused(s, "without any rule", l.needs[0].err)
	grant(l.needs, first)
	l.permitted(s, "with all that is needed")
	for i, n := range l.needs {
		what := s.resolve(n.any[0])
		for _, other := range n.any[1:] {
			grant(l.needs, func(k int) right {
				if k == i {
					return other
				}
				return first(k)
			})
			l.permitted(s, "with "+other.op.String()+" on "+other.kind.String()+" instead of "+what.op.String())
		}
		grant(l.needs, first)
		for _, r := range n.any {
			s.admin.rule(acl.Deny, clientHost, s.resolve(r))
		}
		l.refused(s, what.op.String()+" on "+what.kind.String()+" denied", n.err)
		s.admin.forgetRules()
		s.new = unused(s.client.t)
		for k := range l.needs {
			host := clientHost
			if k == i {
				host = otherHost
			}
			s.admin.rule(acl.Allow, host, s.resolve(first(k)))
		}
		l.refused(s, what.op.String()+" on "+what.kind.String()+" from another host", n.err)
	}
}

// newScene makes what is asked for: a topic, a group with an offset, and a transactional id.
func newScene(t testing.TB, address string) *scene {
	t.Helper()
	s := &scene{admin: dial(t, address), client: dialFrom(t, clientHost, address), group: unused(t), id: unused(t)}
	s.topic = s.admin.topic(1)
	s.admin.coordinated()
	s.commit()
	s.admin.transactor(s.id)
	return s
}

// commit makes the group, or makes it again.
func (s *scene) commit() {
	a := repeated(s.admin, 9, commitRequest(9, s.group, s.topic, 0), func(a *kmsg.OffsetCommitResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode })
	want(s.admin.t, "commit", a.Topics[0].Partitions[0].ErrorCode, nil)
}

// transactional is a batch of a producer that nobody knows.
func transactional() []byte {
	o := batch.NoProducer()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = 1<<40, 0, 0, true
	return recordsAt(time.Now().UnixMilli(), o, "x")
}

// TestAuthorizationMatrix asks every API key without rights, with those that it needs, with
// one of them denied, and with one that is another host's. Which they are, which error is
// told, and where, is as in Kafka 4.3. A key without a line fails.
func TestAuthorizationMatrix(t *testing.T) {
	address := guarded(t)
	s := newScene(t, address)
	covered := map[int16]bool{}
	for _, l := range matrix() {
		covered[l.key] = true
		t.Run(kmsg.NameForKey(l.key)+"/"+l.what, func(t *testing.T) {
			before := *s
			defer func() { *s = before }()
			s.admin, s.client = s.admin.at(t), s.client.at(t)
			l.run(s)
		})
		s.admin, s.client = s.admin.at(t), s.client.at(t)
	}
	if foreign() {
		return
	}
	for _, k := range ask[*kmsg.ApiVersionsResponse](s.admin, 3, supportedVersions()).ApiKeys {
		if !covered[k.ApiKey] {
			t.Errorf("%s (%d) is served, and no line of the matrix says who may ask it", kmsg.NameForKey(k.ApiKey), k.ApiKey)
		}
	}
}

func supportedVersions() *kmsg.ApiVersionsRequest {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "test", "1"
	return q
}

// TestSuperUsersNeedNoRule asks all of the matrix as a super user, whom a rule denies it.
func TestSuperUsersNeedNoRule(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "authorizer.class.name="+acl.StandardName, "super.users=User:x; User:ANONYMOUS")
	s := newScene(t, b.Addresses()[0])
	for _, kind := range []sdk.ResourceType{sdk.ResourceTopic, sdk.ResourceGroup, sdk.ResourceTransactionalID} {
		s.admin.rule(acl.Deny, acl.Wildcard, right{sdk.OperationAll, kind, acl.Wildcard})
	}
	s.admin.rule(acl.Deny, acl.Wildcard, clusterRight(sdk.OperationAll))
	for _, l := range matrix() {
		s.new = unused(t)
		l.permitted(s, kmsg.NameForKey(l.key)+" "+l.what)
	}
}
