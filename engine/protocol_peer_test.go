package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// patience bounds every wait for an answer, so that a broker that does not answer fails
// the test and not the suite.
const patience = time.Minute

// peer is one connection that says exactly what a test wants, in any version, and checks
// that every answer is what its version says, to the last byte.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	last int32 // correlation id
}

// served is the address of a broker that lives as long as the test. With
// MILLRACE_PROTOCOL_PEER=host:port in the environment it is that broker's, so that what
// the tests expect can be held against a real Kafka; tests that need settings of their
// own, or know more than the protocol does, are then passed over.
func served(t testing.TB, overrides ...string) string {
	t.Helper()
	if foreign() {
		if len(overrides) > 0 {
			t.Skip("needs settings of its own")
		}
		return os.Getenv("MILLRACE_PROTOCOL_PEER")
	}
	return start(t, t.TempDir(), overrides...).Addresses()[0]
}

// foreign reports whether the broker is not ours.
func foreign() bool { return os.Getenv("MILLRACE_PROTOCOL_PEER") != "" }

// onlyOurs passes a test over that asks for more than the protocol says.
func onlyOurs(t testing.TB) {
	t.Helper()
	if foreign() {
		t.Skip("is about this broker alone")
	}
}

// dialed is a connection to a broker of the test's own.
func dialed(t testing.TB, overrides ...string) *peer {
	t.Helper()
	return dial(t, served(t, overrides...))
}

func dial(t testing.TB, address string) *peer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newPeer(t, conn)
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	return &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// another is a second connection to the same broker.
func (p *peer) another() *peer {
	p.t.Helper()
	return dial(p.t, p.conn.RemoteAddr().String())
}

// at is the same connection within a test of its own.
func (p *peer) at(t testing.TB) *peer {
	p.t = t
	return p
}

// write sends bytes as they are.
func (p *peer) write(raw []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(raw); err != nil {
		p.t.Fatal(err)
	}
}

// frame puts the length in front of a request.
func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// header is what a request of a classic version begins with.
func header(key, version int16, correlation int32) []byte {
	h := binary.BigEndian.AppendUint16(nil, uint16(key))
	h = binary.BigEndian.AppendUint16(h, uint16(version))
	h = binary.BigEndian.AppendUint32(h, uint32(correlation))
	return append(h, 0, 4, 't', 'e', 's', 't')
}

// request is one whole frame.
func (p *peer) request(version int16, q kmsg.Request) []byte {
	p.last++
	q.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, q, p.last)
}

// send asks and does not wait.
func (p *peer) send(version int16, q kmsg.Request) {
	p.t.Helper()
	p.write(p.request(version, q))
}

// receive reads one answer as it is.
func (p *peer) receive() (body []byte, err error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(p.in, size[:]); err != nil {
		return nil, err
	}
	body = make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(p.in, body)
	return body, err
}

// ended waits for the broker to close the connection, and fails the test if it answers.
func (p *peer) ended() {
	p.t.Helper()
	body, err := p.receive()
	if err == nil {
		p.t.Fatalf("the broker answered %x, want the connection closed", body)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		p.t.Fatal("the broker keeps the connection open")
	}
}

// alive checks that the broker still answers on this connection.
func (p *peer) alive() {
	p.t.Helper()
	if a := ask[*kmsg.ApiVersionsResponse](p, 0, kmsg.NewPtrApiVersionsRequest()); len(a.ApiKeys) == 0 {
		p.t.Fatal("ApiVersions lists nothing")
	}
}

// expect reads the answer to the request with a correlation id.
func expect[A kmsg.Response](p *peer, version int16, q kmsg.Request, correlation int32) A {
	p.t.Helper()
	body, err := p.receive()
	if err != nil {
		p.t.Fatalf("answer to %s version %d: %v", kmsg.NameForKey(q.Key()), version, err)
	}
	return decode[A](p.t, body, version, q, correlation)
}

func decode[A kmsg.Response](t testing.TB, body []byte, version int16, q kmsg.Request, correlation int32) A {
	t.Helper()
	name := kmsg.NameForKey(q.Key())
	q.SetVersion(version)
	r := kbin.Reader{Src: body}
	if got := r.Int32(); got != correlation {
		t.Fatalf("answer to %s version %d has correlation id %d, want %d", name, version, got, correlation)
	}
	if q.IsFlexible() && q.Key() != int16(kmsg.ApiVersions) {
		if tags := r.Uvarint(); tags != 0 {
			t.Fatalf("answer to %s version %d: %d tagged fields in its header", name, version, tags)
		}
	}
	a := q.ResponseKind()
	a.SetVersion(version)
	if err := a.ReadFrom(r.Src); err != nil {
		t.Fatalf("answer to %s version %d: %v in %x", name, version, err, r.Src)
	}
	if again := a.AppendTo(nil); len(again) != len(r.Src) {
		t.Fatalf("answer to %s version %d has %d bytes, and %d once decoded and encoded again", name, version, len(r.Src), len(again))
	}
	return a.(A)
}

// ask sends one request and waits for its answer.
func ask[A kmsg.Response](p *peer, version int16, q kmsg.Request) A {
	p.t.Helper()
	p.send(version, q)
	return expect[A](p, version, q, p.last)
}

// want compares an error code with the expected error, nil for none.
func want(t testing.TB, what string, code int16, expected *kerr.Error) {
	t.Helper()
	wanted := int16(0)
	if expected != nil {
		wanted = expected.Code
	}
	if code != wanted {
		t.Fatalf("%s: got %s, want %s", what, errorName(code), errorName(wanted))
	}
}

func errorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	var known *kerr.Error
	if errors.As(kerr.ErrorForCode(code), &known) {
		return fmt.Sprintf("%s (%d)", known.Message, code)
	}
	return fmt.Sprintf("error %d", code)
}

var names atomic.Int64

// unused is a topic or group name that nobody has used, on a foreign broker either.
func unused(t testing.TB) string {
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%s-%d-%d", clean, os.Getpid(), names.Add(1))
}

// subject is a topic that a test made.
type subject struct {
	name string
	id   [16]byte
}

// topic creates a topic; settings are name, value, name, value …
func (p *peer) topic(partitions int32, settings ...string) subject {
	p.t.Helper()
	return p.topicNamed(unused(p.t), partitions, settings...)
}

func (p *peer) topicNamed(name string, partitions int32, settings ...string) subject {
	p.t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(settings); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = settings[i], kmsg.StringPtr(settings[i+1])
		t.Configs = append(t.Configs, c)
	}
	q.Topics = append(q.Topics, t)
	a := ask[*kmsg.CreateTopicsResponse](p, 7, q)
	want(p.t, "create topic "+name, a.Topics[0].ErrorCode, nil)
	s := subject{name, a.Topics[0].TopicID}
	p.led(s)
	return s
}

// led waits until a topic has leaders, which a Kafka tells its brokers only after the
// answer.
func (p *peer) led(s subject) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		m := p.metadata(s.name)
		last := len(m.Partitions) - 1
		if m.ErrorCode == 0 && last >= 0 && m.TopicID == s.id && p.offsetAt(4, s, int32(last), -1, -1).ErrorCode == 0 {
			return
		}
	}
	p.t.Fatalf("topic %s has no leader", s.name)
}

func (p *peer) metadata(name string) kmsg.MetadataResponseTopic {
	p.t.Helper()
	q := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	q.Topics = append(q.Topics, t)
	return ask[*kmsg.MetadataResponse](p, 12, q).Topics[0]
}

// records builds a batch of values, all of the same moment, that no idempotent producer
// sends.
func records(values ...string) []byte {
	return recordsAt(time.Now().UnixMilli(), batch.NoProducer(), values...)
}

// recordsAt builds a batch whose records are a millisecond apart, from millis on.
func recordsAt(millis int64, o batch.BatchOptions, values ...string) []byte {
	var b batch.Builder
	for i, v := range values {
		b.Append(millis+int64(i), []byte("key"), []byte(v), nil)
	}
	built, err := b.Finish(o)
	if err != nil {
		panic(err)
	}
	return built
}

// produceRequest sends one batch to one partition.
func produceRequest(version int16, s subject, partition int32, acks int16, batches []byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = acks, 5000
	t := kmsg.NewProduceRequestTopic()
	if version >= 13 {
		t.TopicID = s.id
	} else {
		t.Topic = s.name
	}
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, batches
	t.Partitions = append(t.Partitions, part)
	q.Topics = append(q.Topics, t)
	return q
}

// produce sends one batch with acks=all and tells what became of it.
func (p *peer) produce(version int16, s subject, partition int32, batches []byte) kmsg.ProduceResponseTopicPartition {
	p.t.Helper()
	a := ask[*kmsg.ProduceResponse](p, version, produceRequest(version, s, partition, -1, batches))
	if len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 || a.Topics[0].Partitions[0].Partition != partition {
		p.t.Fatalf("produce to one partition is answered with %+v", a.Topics)
	}
	if t := a.Topics[0]; version >= 13 && t.TopicID != s.id || version < 13 && t.Topic != s.name {
		p.t.Fatalf("produce to %+v is answered for %+v", s, t)
	}
	return a.Topics[0].Partitions[0]
}

// put appends a batch that must be taken, and tells its offset.
func (p *peer) put(s subject, partition int32, batches []byte) int64 {
	p.t.Helper()
	r := p.produce(9, s, partition, batches)
	want(p.t, "produce to "+s.name, r.ErrorCode, nil)
	return r.BaseOffset
}

// from is a fetch of one partition from an offset, without session and without waiting.
func from(s subject, partition int32, offset int64) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.MinBytes, q.MaxBytes = 1, 64<<20
	q.Topics = []kmsg.FetchRequestTopic{fetchTopic(s, partition, offset)}
	return q
}

func fetchTopic(s subject, partition int32, offset int64) kmsg.FetchRequestTopic {
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = s.name, s.id
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 16<<20
	t.Partitions = append(t.Partitions, part)
	return t
}

// fetch asks for one partition and tells what there is.
func (p *peer) fetch(version int16, q *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	p.t.Helper()
	a := ask[*kmsg.FetchResponse](p, version, q)
	want(p.t, "fetch", a.ErrorCode, nil)
	if len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 {
		p.t.Fatalf("fetch of one partition is answered with %+v", a.Topics)
	}
	return a.Topics[0].Partitions[0]
}

// values are those of all records of whole batches.
func values(t testing.TB, raw []byte) (all []string) {
	t.Helper()
	for _, b := range batches(t, raw) {
		r, err := b.Records(nil, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			all = append(all, string(r.Record().Value))
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	return all
}

// batches cuts and checks the batches of a fetch.
func batches(t testing.TB, raw []byte) (all []batch.Batch) {
	t.Helper()
	for len(raw) > 0 {
		size, err := batch.Peek(raw)
		if errors.Is(err, batch.ErrShort) && len(all) > 0 {
			return all // Kafka cuts the last one short
		}
		if err != nil {
			t.Fatal(err)
		}
		b := batch.Batch(raw[:size])
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		all, raw = append(all, b), raw[size:]
	}
	return all
}
