package session

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fake(t *testing.T, options ...kfake.Opt) string {
	t.Helper()
	cluster, err := kfake.NewCluster(append(options, kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestOpen(t *testing.T) {
	var errs bytes.Buffer
	s, err := Open(t.Context(), Options{Streams: Streams{Err: &errs}, Servers: fake(t), Properties: Properties{
		"client.id": "me", "request.timeout.ms": "30000", "acks": "1", "retry.backoff.ms": "10", "key.serializer": "any", "reties": "3"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if want := "WARN The property reties is not known here and is ignored.\n"; errs.String() != want {
		t.Errorf("warned %q, want %q", errs.String(), want)
	}
	if !s.Supports(kmsg.Metadata) || s.Supports(kmsg.Key(999)) {
		t.Error("Supports tells wrong")
	}
	topics, err := s.Topics(t.Context(), "orders", "none")
	if err != nil || len(topics["orders"].Partitions) != 2 || !errors.Is(topics["none"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("topics %v, %v", topics, err)
	}
	offsets, err := s.Offsets(t.Context(), []Partition{{"orders", 0}, {"orders", 1}}, Latest)
	if err != nil || len(offsets) != 2 || offsets[Partition{"orders", 1}].At != 0 {
		t.Errorf("offsets %v, %v", offsets, err)
	}
}

// When nobody answers, the error says where, why and what to do; and it comes soon.
func TestOpenWithoutBroker(t *testing.T) {
	address := nobody(t)
	start := time.Now()
	_, err := Open(t.Context(), Options{Servers: address, Properties: Properties{"default.api.timeout.ms": "200"}})
	var unreachable *Unreachable
	if !errors.As(err, &unreachable) || time.Since(start) > 30*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
	for _, want := range []string{"no broker answers at " + address, "200ms", "connection refused", "millrace serve", "--bootstrap-server"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

// A broker that starts while we wait is found.
func TestOpenWaitsForBroker(t *testing.T) {
	address := nobody(t)
	opened := make(chan error, 1)
	first := make(chan struct{}, 1)
	dial := kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
		select {
		case first <- struct{}{}:
		default:
		}
		return (&net.Dialer{}).DialContext(ctx, network, host)
	})
	go func() {
		s, err := Open(t.Context(), Options{Servers: address, Wait: 20 * time.Second, Client: []kgo.Opt{dial}})
		if err == nil {
			s.Close()
		}
		opened <- err
	}()
	<-first // it has been refused once, or is about to be
	fake(t, kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, address) }))
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestOpenMistakes(t *testing.T) {
	for want, o := range map[string]Options{
		"no bootstrap server given":                   {},
		`bootstrap server "here": expected host:port`: {Servers: "127.0.0.1:1,here"},
		"Invalid value two for configuration acks":    {Servers: "127.0.0.1:1", Role: Producer, Properties: Properties{"acks": "two"}},
		"in order to use the idempotent producer":     {Servers: "127.0.0.1:1", Role: Producer, Properties: Properties{"acks": "1", "enable.idempotence": "true"}},
		"security.protocol=SECRET":                    {Servers: "127.0.0.1:1", Properties: Properties{"security.protocol": "secret"}},
		"sasl.jaas.config: there is no login module":  {Servers: "127.0.0.1:1", Properties: Properties{"security.protocol": "SASL_PLAINTEXT"}},
		"only PEM stores can be read":                 {Servers: "127.0.0.1:1", Properties: Properties{"security.protocol": "SSL", "ssl.truststore.location": "x.jks", "ssl.truststore.type": "JKS"}},
	} {
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Every property that is known makes options of a value that Kafka accepts.
func TestProperties(t *testing.T) {
	values := Properties{"acks": "all", "enable.idempotence": "true", "compression.type": "zstd", "compression.zstd.level": "3", "isolation.level": "read_committed",
		"auto.offset.reset": "earliest", "check.crcs": "false", "enable.auto.commit": "true", "group.protocol": "classic", "client.id": "c", "client.rack": "r",
		"transactional.id": "t", "group.id": "g", "group.instance.id": "i",
		"partition.assignment.strategy": "org.apache.kafka.clients.consumer.RangeAssignor, org.apache.kafka.clients.consumer.CooperativeStickyAssignor"}
	for name := range known {
		values.Default(name, "6000")
	}
	options, unknown, err := clientOptions(values, Producer|Consumer|Group)
	if err != nil || len(unknown) > 0 {
		t.Fatalf("unknown %v: %v", unknown, err)
	}
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers("127.0.0.1:1"), kgo.ConsumeTopics("t"))...)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if admin, _, err := clientOptions(values, Admin); err != nil || len(admin) >= len(options) {
		t.Errorf("an admin client has %d options, a full one %d: %v", len(admin), len(options), err)
	}
	for name := range known {
		if elsewhere[name] {
			t.Errorf("%s is declared twice", name)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(path, []byte("# mine\nclient.id = me\nacks: all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Properties{"acks": "1"}
	if err := p.Load(path); err != nil || p["client.id"] != "me" || p["acks"] != "all" {
		t.Errorf("%v %v", p, err)
	}
	p.Merge([]string{"acks=0", "empty"})
	if p["acks"] != "0" || p["empty"] != "" {
		t.Errorf("%v", p)
	}
	if err := p.Load(path + ".none"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestLogin(t *testing.T) {
	user, password, err := login(`org.apache.kafka.common.security.scram.ScramLoginModule required username="al\"ice" password='pa ss' serviceName=kafka;`)
	if err != nil || user != `al"ice` || password != "pa ss" {
		t.Errorf("%q %q, %v", user, password, err)
	}
	for _, text := range []string{"", "x required;", `x required username="a";`, `x required username="a" password="secret"`} {
		if _, _, err := login(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// SASL and TLS, as Kafka's users set them up.
func TestSASL(t *testing.T) {
	address := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "secret"), kfake.Superuser("SCRAM-SHA-512", "bob", "hush"))
	for mechanism, user := range map[string]string{"PLAIN": `username="alice" password="secret"`, "SCRAM-SHA-512": `username="bob" password="hush"`} {
		s, err := Open(t.Context(), Options{Servers: address, Properties: Properties{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism, "sasl.jaas.config": "x required " + user + ";"}})
		if err != nil {
			t.Fatalf("%s: %v", mechanism, err)
		}
		s.Close()
	}
	_, err := Open(t.Context(), Options{Servers: address, Wait: 3 * time.Second, Properties: Properties{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": `x required username="alice" password="wrong";`}})
	if err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("a wrong password: %v", err)
	}
}

// A broker that says no is not asked again, and is not taken for none.
func TestALoginThatIsRefused(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		a := q.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		a.ErrorCode, a.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("Authentication failed: Invalid username or password")
		return a, nil, true
	})
	_, err = Open(t.Context(), Options{Servers: c.ListenAddrs()[0], Wait: time.Hour, Properties: Properties{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": `x required username="alice" password="wrong";`}})
	var denied *Denied
	if !errors.As(err, &denied) || !errors.Is(err, kerr.SaslAuthenticationFailed) || !strings.Contains(err.Error(), "refuses the login") || !strings.Contains(err.Error(), "password") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestTLS(t *testing.T) {
	certificate, key := selfSigned(t)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	address := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	path := filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(path, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := Properties{"security.protocol": "SSL", "ssl.truststore.type": "PEM", "ssl.truststore.location": path}
	if _, err := Open(t.Context(), Options{Servers: address, Properties: trusting, Wait: time.Second}); err == nil {
		t.Error("a certificate for another host was accepted")
	}
	trusting["ssl.endpoint.identification.algorithm"] = ""
	trusting["ssl.keystore.certificate.chain"], trusting["ssl.keystore.key"] = string(certificate), string(key)
	s, err := Open(t.Context(), Options{Servers: address, Properties: trusting})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), Options{Servers: address, Wait: time.Second,
		Properties: Properties{"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": ""}}); err == nil {
		t.Error("a certificate that nobody trusts was accepted")
	}
}

// selfSigned is a certificate for elsewhere.example, which signs itself.
func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"elsewhere.example"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestFailures(t *testing.T) {
	refusal := Refused(kerr.GroupIDNotFound, "Group g not found.")
	for got, want := range map[string]string{
		refusal.Error():                       "GROUP_ID_NOT_FOUND: Group g not found.",
		Message(refusal):                      "Group g not found.",
		Exception(refusal):                    "org.apache.kafka.common.errors.GroupIdNotFoundException: Group g not found.",
		Exception(kerr.NonEmptyGroup):         "org.apache.kafka.common.errors.GroupNotEmptyException: The group is not empty.",
		Message(kerr.UnknownTopicOrPartition): "This server does not host this topic-partition.",
		Exception(errors.New("plain")):        "plain",
		class("TOPIC_ALREADY_EXISTS"):         "TopicExistsException",
		(&Session{}).ErrUnsupported(kmsg.DescribeUserSCRAMCredentials).Error(): "UNSUPPORTED_VERSION: The node does not support DESCRIBE_USER_SCRAM_CREDENTIALS",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if Refused(nil, "x") != nil || !errors.Is(refusal, kerr.GroupIDNotFound) {
		t.Error("Refused loses its error")
	}
}
