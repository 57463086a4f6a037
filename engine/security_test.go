package engine

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/security"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// What a plugin that lets clients in goes by stands in the file: nothing that was set while a broker
// ran counts, and nothing can be set while the plugin is in use.
func TestSettingsOfAuthenticatorsComeFromTheFile(t *testing.T) {
	onlyOurs(t)
	folder := t.TempDir()
	word := "salami"
	alter := func(b *Broker) error {
		admin := kadm.NewClient(client(t, b, kgo.SeedBrokers(b.Addresses()[0])))
		answers, err := admin.AlterBrokerConfigs(limited(t), []kadm.AlterConfig{{Name: "plugin.guard.config.word", Value: &word}})
		if err != nil {
			t.Fatal(err)
		}
		return answers[0].Err
	}
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := alter(b); err != nil {
		t.Fatalf("while it is no authenticator's: %v", err)
	}
	stop(t, b)
	b = start(t, folder, "listeners=PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=BADGE", "authenticators=guard",
		"plugin.guard.type=badge", "plugin.guard.config.word=sesame", "connection.failed.authentication.delay.ms=0")
	for shown, outcome := range map[string]*kerr.Error{"sesame": nil, "salami": kerr.SaslAuthenticationFailed} {
		p := stranger(t, b)
		want(t, "handshake", ask[*kmsg.SASLHandshakeResponse](p, 1, handshake("BADGE")).ErrorCode, nil)
		want(t, shown, ask[*kmsg.SASLAuthenticateResponse](p, 1, proofToken(shown)).ErrorCode, outcome)
	}
	word = "other"
	if err := alter(b); !errors.Is(err, kerr.InvalidRequest) {
		t.Fatalf("while it is an authenticator's: %v", err)
	}
}

// permit lets a principal do something, wherever it comes from.
func (p *peer) permit(principal string, r right) {
	p.t.Helper()
	q := kmsg.NewPtrCreateACLsRequest()
	one := creation(acl.Allow, "*", r)
	one.Principal = principal
	q.Creations = append(q.Creations, one)
	want(p.t, "let "+principal, ask[*kmsg.CreateACLsResponse](p, 2, q).Results[0].ErrorCode, nil)
}

// Who somebody proved to be is whom rules and super.users are about, and nobody else.
func TestRulesAreAboutWhoWasProved(t *testing.T) {
	onlyOurs(t)
	b := proving(t, "authorizer.class.name="+acl.StandardName, "super.users=User:root", "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,BADGE",
		"authenticators=guard", "plugin.guard.type=badge", "plugin.guard.config.word=sesame", "connections.max.reauth.ms=60000",
		`listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_root="root-hush" user_alice="alice-hush" user_bob="bob-hush";`)
	root := stranger(t, b)
	root.proved(1, "\x00root\x00root-hush")
	topic := root.topic(1)
	root.put(topic, 0, records("a super user"))
	for _, principal := range []string{"User:alice", "Robot:r2"} {
		root.permit(principal, right{sdk.OperationWrite, sdk.ResourceTopic, topic.name})
	}
	try := func(who string, p *peer, outcome *kerr.Error) {
		t.Helper()
		want(t, who, p.produce(9, topic, 0, records(who)).ErrorCode, outcome)
	}
	alice, bob, robot := stranger(t, b), stranger(t, b), stranger(t, b)
	alice.proved(1, "\x00alice\x00alice-hush")
	try("alice", alice, nil)
	alice.proved(1, "\x00alice\x00alice-hush")
	try("alice, proved again", alice, nil)
	bob.proved(1, "\x00bob\x00bob-hush")
	try("bob", bob, kerr.TopicAuthorizationFailed)
	want(t, "handshake", ask[*kmsg.SASLHandshakeResponse](robot, 1, handshake("BADGE")).ErrorCode, nil)
	want(t, "badge", ask[*kmsg.SASLAuthenticateResponse](robot, 1, proofToken("sesame")).ErrorCode, nil)
	try("a plugin's principal", robot, nil)
	try("nobody in particular", dial(t, b.Addresses()[0]), kerr.TopicAuthorizationFailed)

	var set []kadm.UpsertSCRAM
	for _, user := range []string{"alice", "bob", "r2", "root"} {
		set = append(set, kadm.UpsertSCRAM{User: user, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: user + "-scram"})
	}
	answers, err := kadm.NewClient(secure(t, b, mechanism("PLAIN", "root", "root-hush"))).AlterUserSCRAMs(limited(t), nil, set)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range set {
		c := secure(t, b, mechanism("SCRAM-SHA-256", one.User, one.Password))
		err := c.ProduceSync(limited(t), &kgo.Record{Topic: topic.name}).FirstErr()
		if slices.Contains([]string{"alice", "root"}, one.User) != (err == nil) || err != nil && !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("%s by SCRAM: %v", one.User, err)
		}
	}
}

// Whom nobody had time to judge is not told that the password is wrong, which clients never try again
// after: the connection ends.
func TestWhoCannotBeJudgedMayComeAgain(t *testing.T) {
	onlyOurs(t)
	b, log := logged(t, "listeners=PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=BADGE", "authenticators=guard",
		"plugin.guard.type=badge", "plugin.guard.config.word=sesame", "connection.failed.authentication.delay.ms=0")
	ended := func(word, why string) {
		t.Helper()
		p := stranger(t, b)
		want(t, "handshake", ask[*kmsg.SASLHandshakeResponse](p, 1, handshake("BADGE")).ErrorCode, nil)
		p.send(1, proofToken(word))
		p.ended()
		if !strings.Contains(log.String(), why) {
			t.Errorf("%s: nothing in the log says %q", word, why)
		}
	}
	ended("late", "ask the directory")
	guard := b.proofs.workers[0]
	var waiting []*security.Exchange
	const workers = 4
	soon(t, "all workers are busy, and as many wait as may", func() bool {
		busy := judging.Load() == workers // then what waits is taken by nobody
		e := guard.Begin(sdk.Peer{}, time.Hour)
		waiting = append(waiting, e)
		return !e.Step([]byte("wait"), func(security.Answer) {}) && busy
	})
	ended("sesame", "too many clients")
	for _, e := range waiting {
		e.End()
	}
}

// A listener that demands a proof is not opened without a way to give one.
func TestAListenerWithoutMechanismsIsNotOpened(t *testing.T) {
	settings, err := config.Parse("", "", []string{"listeners=SASL_PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "admin.listener=", "sasl.enabled.mechanisms=SCRAM-SHA-256"})
	if err != nil {
		t.Fatal(err)
	}
	settings.Mechanisms = nil
	b, err := Start(Options{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		stop(t, b)
	}
	if err == nil || !strings.Contains(err.Error(), "without a mechanism would take everybody") {
		t.Fatal(err)
	}
}

// Strangers cannot fill the log, and each that came without a proof is counted.
func TestStrangersAreLoggedSparingly(t *testing.T) {
	onlyOurs(t)
	b, log := logged(t, "listeners=PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=SCRAM-SHA-256", "max.connections.per.ip=1000",
		"admin.listener=127.0.0.1:0", "connection.failed.authentication.delay.ms=0")
	const each = 50
	for range each {
		p := stranger(t, b)
		p.alive()
		p.send(4, kmsg.NewPtrMetadataRequest()) // as one that knows of no proof
		p.ended()
		p = stranger(t, b)
		want(t, "handshake", ask[*kmsg.SASLHandshakeResponse](p, 1, handshake("GSSAPI")).ErrorCode, kerr.UnsupportedSaslMechanism)
		p.ended()
	}
	a, err := http.Get("http://" + b.AdminAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	served, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`failed_authentication_total{listener="SASL_PLAINTEXT",mechanism=""} %d`, 2*each)
	if !strings.Contains(string(served), text+"\n") {
		t.Errorf("not all that failed are counted")
	}
	if n := strings.Count(log.String(), "peer="); n < 1 || n > each {
		t.Errorf("%d lines for %d failures", n, 2*each)
	}
}

// Who proves again who it is has time from when it can: what it asked for before is answered first.
func TestARenewalWaitsForWhatIsOwed(t *testing.T) {
	onlyOurs(t)
	b := proving(t, "connections.max.reauth.ms=60000", "sasl.authentication.timeout.ms=1500")
	p := stranger(t, b)
	p.proved(1, "\x00alice\x00alice-hush")
	q := from(p.topic(1), 0, 0)
	q.MaxWaitMillis = 4000
	p.waiting(12, q)
	fetch := p.last
	p.send(1, handshake("PLAIN"))
	expect[*kmsg.FetchResponse](p, 12, q, fetch)
	want(t, "handshake", expect[*kmsg.SASLHandshakeResponse](p, 1, handshake(""), p.last).ErrorCode, nil)
	want(t, "proof", ask[*kmsg.SASLAuthenticateResponse](p, 1, proofToken("\x00alice\x00alice-hush")).ErrorCode, nil)
	p.alive()

	idle := stranger(t, b)
	idle.proved(1, "\x00alice\x00alice-hush")
	want(t, "handshake", ask[*kmsg.SASLHandshakeResponse](idle, 1, handshake("PLAIN")).ErrorCode, nil)
	idle.ended() // it could go on and does not
}

// A stranger's time begins once.
func TestAHandshakeGivesNoMoreTime(t *testing.T) {
	onlyOurs(t)
	b := proving(t, "sasl.authentication.timeout.ms=3000")
	p := stranger(t, b)
	<-time.NewTimer(time.Second).C
	later := stranger(t, b)
	later.alive()                  // its time has begun
	<-time.NewTimer(time.Second).C // so that a time begun anew with the handshake ends well after that
	want(t, "handshake", ask[*kmsg.SASLHandshakeResponse](p, 1, handshake("PLAIN")).ErrorCode, nil)
	p.ended()
	want(t, "handshake of who came later", ask[*kmsg.SASLHandshakeResponse](later, 1, handshake("PLAIN")).ErrorCode, nil) // it is there still
}

// Users that do not exist look like those there are, and these are sorted only when they change.
func TestUsersAreSortedWhenTheyChange(t *testing.T) {
	onlyOurs(t)
	b := proving(t)
	remember(t, b, "alice")
	c := &scramCredentials{image: b.quorum.Image}
	sampled := func() *scramSamples {
		if one, ok := c.Sample("SCRAM-SHA-256", 7); !ok || len(one.Salt) == 0 {
			t.Fatalf("the sample is %+v", one)
		}
		return c.samples.Load()
	}
	first, image := sampled(), b.quorum.Image()
	dial(t, b.Addresses()[0]).topic(1)
	if b.quorum.Image() == image || sampled() != first {
		t.Error("a topic has users sorted anew")
	}
	remember(t, b, "bob")
	if got := sampled(); got == first || len(got.users["SCRAM-SHA-256"]) != 2 {
		t.Errorf("a user came, and there are %v", got.users)
	}
}
