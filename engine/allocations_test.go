package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// encoded is a request as it goes over the wire.
func encoded(q kmsg.Request, version int16) []byte {
	q.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("steady")).AppendRequest(nil, q, 7)
}

// steady sends the same request again and again on one connection. It returns how often
// anything in this process, client and broker, allocated memory for one request and
// its answer.
func steady(t *testing.T, b *Broker, request []byte) float64 {
	t.Helper()
	c, err := net.Dial("tcp", b.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return steadyOn(t, c, request)
}

// steadyOn is steady on a connection that there is.
func steadyOn(t *testing.T, c net.Conn, request []byte) float64 {
	t.Helper()
	answer := make([]byte, 1<<20)
	once := func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer[:4]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer[:binary.BigEndian.Uint32(answer)]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 { // pools fill, slices grow
		once()
	}
	return testing.AllocsPerRun(2000, once)
}

func steadyBatch(t *testing.T, size int) []byte {
	var builder batch.Builder
	value := bytes.Repeat([]byte("x"), 100)
	for builder.Len() < size {
		builder.Append(1_700_000_000_000, nil, value, nil)
	}
	b, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func steadyProduce(b *Broker, t *testing.T, acks int16) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = acks, 5000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "steady"
	topic.TopicID = b.registry.Named("steady").ID
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = steadyBatch(t, 16<<10)
	topic.Partitions = append(topic.Partitions, p)
	q.Topics = append(q.Topics, topic)
	return q
}

func steadyFetch(b *Broker) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.MaxWaitMillis, q.MinBytes, q.MaxBytes, q.SessionEpoch = 500, 1, 1<<20, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "steady"
	topic.TopicID = b.registry.Named("steady").ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = 64 << 10
	topic.Partitions = append(topic.Partitions, p)
	q.Topics = append(q.Topics, topic)
	return q
}

func TestSteadyProduceAndFetchAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and makes pools forget on purpose")
	}
	for name, settings := range map[string][]string{
		"commit":                              {"log.flush.mode=commit"},
		"os":                                  {"log.flush.mode=os"},
		"with plugins that other topics have": {"log.flush.mode=os", "plugins=doing", "plugin.doing.type=obedient"},
		"with the standard authorizer": {
			"log.flush.mode=os", "authorizer.class.name=" + acl.StandardName, "allow.everyone.if.no.acl.found=true",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, t.TempDir(), settings...)
			produce(t, client(t, b), "steady", 1)
			if strings.Contains(name, "plugins") {
				p := dial(t, b.Addresses()[0])
				bent := p.topic(1, "interceptors.produce", "doing")
				want(t, "produce", p.produce(9, bent, 0, records("bad")).ErrorCode, kerr.InvalidRecord)
			}
			if b.rights.acls != nil {
				dial(t, b.Addresses()[0]).rule(acl.Allow, administratorHost, right{sdk.OperationAll, sdk.ResourceTopic, "steady"})
			}
			for name, request := range map[string][]byte{
				"produce by name, acks=all": encoded(steadyProduce(b, t, -1), 9),
				"produce by id, acks=1":     encoded(steadyProduce(b, t, 1), 13),
				"fetch by name":             encoded(steadyFetch(b), 11),
				"fetch by id":               encoded(steadyFetch(b), 17),
			} {
				t.Run(name, func(t *testing.T) {
					if n := steady(t, b, request); n != 0 {
						t.Fatalf("%v allocations for a request and its answer, want 0", n)
					}
					label.Begin() // as while somebody takes a profile
					defer label.End()
					if n := steady(t, b, request); n != 0 {
						t.Fatalf("%v allocations with labels set, want 0", n)
					}
				})
			}
		})
	}
}
